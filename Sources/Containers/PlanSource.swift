import Disk
import Model

/// Reads entries of a plan, wherever the plan says that their bytes are. For one thread; the last directory stays open.
package final class PlanSource {
    /// A file that was read whole.
    package struct Read: Sendable {
        package let count: Int
        /// As it was when it was read, but for size and hash.
        package let record: EntryRecord
        package let extended: [ExtendedAttribute]
        /// Whether it did not change meanwhile.
        package let isStable: Bool
    }

    private let plan: SourcePlan
    private var last: (index: Int, directory: Directory)?

    private let stored: (any ContentReader)?

    package init(_ plan: SourcePlan, _ stored: (any ContentReader)? = nil) {
        self.plan = plan
        self.stored = stored
    }

    package func open(_ index: Int) throws(SourceUnreadable) -> OpenFile {
        do throws(DiskError) {
            if case .prepared(let file) = plan.content(of: index) {
                return try OpenFile(file.name.utf8, in: file.directory)
            }
            let parent = Int(plan.table[index].parent)
            let directory: Directory
            if let last, last.index == parent {
                directory = last.directory
            } else {
                directory = try plan.sourceDirectory(at: plan.table.path(of: parent))
                last = (parent, directory)
            }
            return try OpenFile(plan.table.withName(of: index) { Array($0) }, in: directory)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    /// Reads a file into `buffer`; one that changes meanwhile is read again, up to three times.
    package func read(_ index: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Read {
        if case .stored = plan.content(of: index), let stored {
            return try Self.read(index, of: stored, plan.table, into: buffer)
        }
        var before = plan.table[index]
        for attempt in 1...4 {
            let file = try open(index)
            if attempt > 1 { before = try Self.status(of: file).record }
            // One byte more than there should be shows that it has grown.
            let size = min(buffer.count, Int(clamping: before.size) + 1)
            let count = try Self.read(file, at: 0, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<size]))
            if isPrepared(index) {
                return Read(
                    count: count, record: plan.table[index], extended: plan.table.extended(of: index), isStable: true)
            }
            let after = try Self.status(of: file)
            let isStable = Self.isSame(after, before) && UInt64(count) == after.size
            if isStable || attempt == 4 {
                var record = after.record
                record.linkGroup = plan.table[index].linkGroup
                if !isStable { record.inode = 0 }
                return Read(count: count, record: record, extended: try Self.extended(of: file), isStable: isStable)
            }
        }
        preconditionFailure("the last attempt returns")
    }

    /// A file of the backup that is copied, with the attributes that are recorded there.
    private static func read(
        _ index: Int, of stored: any ContentReader, _ table: EntryTable, into buffer: UnsafeMutableRawBufferPointer
    ) throws -> Read {
        var count = 0
        try stored.read(index) { bytes in
            // The reader never passes more than the recorded size, for which there is room.
            let rest = UnsafeMutableRawBufferPointer(rebasing: buffer[count...])
            rest.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[..<min(bytes.count, rest.count)]))
            count += min(bytes.count, rest.count)
        }
        return Read(count: count, record: table[index], extended: table.extended(of: index), isStable: true)
    }

    package func isPrepared(_ index: Int) -> Bool {
        if case .prepared = plan.content(of: index) { return true }
        return false
    }

    package static func isSame(_ now: FileStatus, _ then: EntryRecord) -> Bool {
        now.size == then.size && now.modified == then.modified && now.changed == then.changed
            && now.inode == then.inode
    }

    package static func read(
        _ file: borrowing OpenFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SourceUnreadable) -> Int {
        do throws(DiskError) {
            return try file.read(at: offset, into: buffer)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    package static func status(of file: borrowing OpenFile) throws(SourceUnreadable) -> FileStatus {
        do throws(DiskError) {
            let status = try file.status()
            if status.kind == .file { return status }
            throw DiskError(.invalid, "read", "", because: "it became a \(status.kind.name) while it was backed up")
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    package static func extended(of file: borrowing OpenFile) throws(SourceUnreadable) -> [ExtendedAttribute] {
        do throws(DiskError) {
            return try FileAttributes.extended(of: file.descriptor)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }
}

extension SourceUnreadable {
    /// Why, as a clause.
    package var clause: String {
        switch cause.code {
        case .notFound: "it vanished while the backup was made"
        case .isLink: "it became a symbolic link while it was backed up"
        default: cause.reason
        }
    }
}

extension Skipped {
    package static func changing(_ path: EntryPath) -> Skipped {
        Skipped(path: path, reason: "it changed each time it was read", isKept: true)
    }
}

/// Reads a backup of which some entries are left out, by the places of the others among themselves.
final class PartReader: ContentReader {
    private let reader: any ContentReader
    private let indices: [Int]

    init(_ reader: any ContentReader, of indices: [Int]) {
        (self.reader, self.indices) = (reader, indices)
    }

    func copy(_ index: Int, to target: inout NewFile) throws { try reader.copy(indices[index], to: &target) }

    func copy(_ index: Int, to target: inout NewFile, reusing old: borrowing OpenFile) throws {
        try reader.copy(indices[index], to: &target, reusing: old)
    }

    func isSame(_ index: Int, as file: borrowing OpenFile) throws -> Bool? {
        try reader.isSame(indices[index], as: file)
    }

    func read(_ index: Int, _ each: (UnsafeRawBufferPointer) throws -> Void) throws {
        try reader.read(indices[index], each)
    }

    func head(of index: Int, count: Int) throws -> [UInt8] { try reader.head(of: indices[index], count: count) }
}
