import Codec
import Containers
import Disk
import Model
import Workers

/// Makes members of small entries: each is read whole, hashed and compressed in one go.
struct ZipMemberMaker: Sendable {
    let plan: SourcePlan
    let run: RunContext

    func pack(_ range: Range<Int>, _ worker: inout ZipWorker) throws -> (ZipPart, [ZipFilled]) {
        var part = ZipPart()
        var filled: [ZipFilled] = []
        let places = PlanSource(plan, worker.stored)
        for index in range {
            try run.stop.check()
            let record = plan.table[index]
            switch record.kind {
            case .directory: part.add(header(index, record))
            case .link: add(header(index, record), plan.table.target(of: index), worker.cipher, to: &part)
            default:
                let entry = try pack(file: index, places, &worker, &part)
                filled.append(entry)
            }
        }
        return (part, filled)
    }

    private func header(_ index: Int, _ record: EntryRecord) -> ZipMemberHeader {
        ZipMemberHeader(plan.table, index, record, run.clock)
    }

    /// Adds a member with data that is not compressed.
    private func add(_ header: ZipMemberHeader, _ data: [UInt8], _ cipher: AE2Cipher?, to part: inout ZipPart) {
        var header = header
        header.size = UInt64(data.count)
        data.withUnsafeBytes { data in
            header.checksum = CRC32.update(0, data)
            part.add(header, data, cipher)
        }
    }

    private func pack(
        file index: Int, _ places: PlanSource, _ worker: inout ZipWorker, _ part: inout ZipPart
    ) throws -> ZipFilled {
        var filled = ZipFilled(index: index)
        let read: PlanSource.Read
        do {
            read = try places.read(index, into: worker.input.bytes)
        } catch let error as SourceUnreadable {
            filled.skipped = Skipped(path: plan.table.path(of: index), reason: error.clause)
            return filled
        }
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(worker.input.bytes)[..<read.count])
        worker.hash.update(bytes)
        var record = read.record
        record.size = UInt64(read.count)
        record.digest = worker.hash.finish()
        record.flags.insert(.hashed)
        var header = header(index, record)
        header.checksum = CRC32.update(0, bytes)
        header.size = record.size
        let compressed = worker.compress(bytes)
        if compressed != nil { header.method = ZipMethod.deflated }
        let data =
            compressed.map { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(worker.output.bytes)[..<$0]) }
            ?? bytes
        part.add(header, data, worker.cipher)
        filled.record = record
        filled.extended = read.extended
        if !read.isStable { filled.skipped = .changing(plan.table.path(of: index)) }
        if plan.content(of: index) == .file, DatabaseFiles.isHeader(bytes) {
            filled.skipped = .unknownDatabase(plan.table.path(of: index))
        }
        return filled
    }
}

extension Skipped {
    static func changing(_ path: EntryPath) -> Skipped {
        Skipped(path: path, reason: "it changed each time it was read", isKept: true)
    }
}

extension ZipPart {
    mutating func add(_ header: ZipMemberHeader) {
        members.append((header, bytes.count))
        bytes += header.localBytes
    }
}

extension ZipMemberHeader {
    init(_ table: EntryTable, _ index: Int, _ record: EntryRecord, _ clock: Clock) {
        var name = table.path(of: index).bytes
        if record.kind == .directory { name.append(UInt8(ascii: "/")) }
        self.init(
            name: name, mode: Self.typeBits(record.kind) | UInt32(record.mode),
            modified: LocalTime(moment: record.modified, offset: clock.offset(record.modified)), user: record.user,
            group: record.group)
    }
}

extension ZipWorker {
    /// Compresses into `output`; nil if that gains nothing.
    mutating func compress(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !bytes.isEmpty, !gainsNothing(bytes) else { return nil }
        let isSmall = bytes.count < Self.probedFrom
        let made = isSmall ? quick.compress(bytes, into: output.bytes) : deflate.compress(bytes, into: output.bytes)
        return made.flatMap { $0 < bytes.count ? $0 : nil }
    }
}

/// Reads entries of a plan, wherever the plan says that their bytes are. For one thread; the last directory stays open.
final class PlanSource {
    /// A file that was read whole.
    struct Read {
        let count: Int
        /// As it was when it was read, but for size and hash.
        let record: EntryRecord
        let extended: [ExtendedAttribute]
        /// Whether it did not change meanwhile.
        let isStable: Bool
    }

    private let plan: SourcePlan
    private var last: (index: Int, directory: Directory)?

    private let stored: (any ContentReader)?

    init(_ plan: SourcePlan, _ stored: (any ContentReader)? = nil) {
        self.plan = plan
        self.stored = stored
    }

    func open(_ index: Int) throws(SourceUnreadable) -> OpenFile {
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
    func read(_ index: Int, into buffer: UnsafeMutableRawBufferPointer) throws -> Read {
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

    func isPrepared(_ index: Int) -> Bool {
        if case .prepared = plan.content(of: index) { return true }
        return false
    }

    static func isSame(_ now: FileStatus, _ then: EntryRecord) -> Bool {
        now.size == then.size && now.modified == then.modified && now.changed == then.changed
            && now.inode == then.inode
    }

    static func read(
        _ file: borrowing OpenFile, at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SourceUnreadable) -> Int {
        do throws(DiskError) {
            return try file.read(at: offset, into: buffer)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    static func status(of file: borrowing OpenFile) throws(SourceUnreadable) -> FileStatus {
        do throws(DiskError) {
            let status = try file.status()
            if status.kind == .file { return status }
            throw DiskError(.invalid, "read", "", because: "it became a \(status.kind.name) while it was backed up")
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    static func extended(of file: borrowing OpenFile) throws(SourceUnreadable) -> [ExtendedAttribute] {
        do throws(DiskError) {
            return try FileAttributes.extended(of: file.descriptor)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }
}

extension SourceUnreadable {
    /// Why, as a clause.
    var clause: String {
        switch cause.code {
        case .notFound: "it vanished while the backup was made"
        case .isLink: "it became a symbolic link while it was backed up"
        default: cause.reason
        }
    }
}
