import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Fills one directory of a new folder backup after the other: shares what the plan calls unchanged, copies and hashes
/// the rest.
final class FileFiller: Sendable {
    /// What one worker uses again and again.
    struct State: ~Copyable {
        // What was read is hashed and written while it is still in the core's own cache.
        let buffer = Buffer(size: 1 << 18)
        var hash = SHA256()
        /// Where a backup is copied.
        let stored: (any ContentReader)?

        init(_ stored: sending (any ContentReader)?) {
            self.stored = stored
        }
    }

    private let plan: SourcePlan
    private let stop: StopFlag
    private let ownership = Ownership.byNumber()
    private let way: Mutex<Way>

    /// How files are shared: the file system decides at the first of them.
    private enum Way {
        case untried, reflink, hardLink, none
    }

    init(_ plan: SourcePlan, stop: StopFlag) {
        self.plan = plan
        self.stop = stop
        way = Mutex(plan.parent == nil ? .none : .untried)
    }

    var sharing: BackupMetadata.Sharing {
        switch way.withLock({ $0 }) {
        case .reflink: .reflink
        case .hardLink: .hardLink
        case .untried, .none: .none
        }
    }

    func fill(
        _ unit: TreeBuild.Unit, in target: Directory, _ state: inout State, meter: ProgressMeter?
    ) throws -> FilledUnit {
        let places = Places(plan, directory: unit.directory)
        var filled = FilledUnit()
        for index in unit.entries {
            try stop.check()
            do {
                filled.add(try fill(index, places, in: target, &state))
            } catch let error as DiskError {
                throw error.naming(plan.table.path(of: index))
            }
            let bytes = plan.isWritten(index) ? plan.table[index].size : 0
            meter?.advance(entries: 1, bytes: bytes) { self.plan.table.path(of: index) }
        }
        return filled
    }

    /// The directory of a unit in the source and in the parent, each opened when first needed.
    private final class Places {
        private let plan: SourcePlan
        private let directory: Int
        private var sourceDirectory: Directory?
        private var parentDirectory: Directory?
        private var newOwner: FileOwner?

        init(_ plan: SourcePlan, directory: Int) {
            self.plan = plan
            self.directory = directory
        }

        func source() throws(DiskError) -> Directory {
            if let sourceDirectory { return sourceDirectory }
            let opened = try plan.sourceDirectory(at: plan.table.path(of: directory))
            sourceDirectory = opened
            return opened
        }

        /// Whom new files of this unit belong to; told by the first.
        func owner(of file: borrowing NewFile) throws(DiskError) -> FileOwner {
            if let newOwner { return newOwner }
            let owner = try file.status().owner
            newOwner = owner
            return owner
        }

        func parent(_ folder: Directory) throws(DiskError) -> Directory {
            if let parentDirectory { return parentDirectory }
            let opened = try folder.directory(at: plan.table.path(of: directory))
            parentDirectory = opened
            return opened
        }
    }

    private func fill(
        _ index: Int, _ places: Places, in target: Directory, _ state: inout State
    ) throws -> FilledEntry {
        let name = plan.table.withName(of: index) { Array($0) }
        if plan.table[index].kind == .link {
            return try makeLink(index, name, in: target)
        }
        if case .shared(let old) = plan.content(of: index), case .folder(let parent, let held) = plan.parent?.store,
            let shared = try share(index, name, from: parent, held[old], places, in: target)
        {
            return shared
        }
        if case .prepared(let file) = plan.content(of: index) {
            return try take(file, index, name, in: target, &state)
        }
        // Also what could not be shared after all.
        if let reader = state.stored {
            return try copyStored(index, name, reader, in: target, &state)
        }
        return try copy(index, name, places, in: target, &state)
    }

    /// A file that was made for this backup is hashed and moved in: it is written once.
    private func take(
        _ prepared: SourcePlan.PreparedFile, _ index: Int, _ name: [UInt8], in target: Directory,
        _ state: inout State
    ) throws -> FilledEntry {
        let file = try OpenFile(prepared.name.utf8, in: prepared.directory)
        do {
            try FileCopy.read(file, through: state.buffer.bytes, stop: stop) { state.hash.update($0) }
        } catch let error as SourceUnreadable {
            throw error.cause
        }
        let status = try file.status()
        var entry = FilledEntry(index: index)
        var record = plan.table[index]
        record.size = status.size
        record.digest = state.hash.finish()
        record.flags.insert(.hashed)
        entry.record = record
        entry.extended = plan.table.extended(of: index)
        entry.bytesWritten = status.size
        try prepared.directory.move(prepared.name.utf8, to: target, as: name)
        entry.held = try setAttributes(plan.table.attributes(of: index), of: file.descriptor, now: status.owner)
        return entry
    }

    /// A file of the backup that is copied, with the attributes that are recorded there.
    private func copyStored(
        _ index: Int, _ name: [UInt8], _ reader: any ContentReader, in target: Directory, _ state: inout State
    ) throws -> FilledEntry {
        var file = try NewFile(name, in: target)
        var record = plan.table[index]
        if record.flags.contains(.hashed) {
            try reader.copy(index, to: &file)
        } else {
            let isSparse = record.flags.contains(.sparse)
            var writing = SparseWriting()
            try reader.read(index) { bytes in
                state.hash.update(bytes)
                if isSparse { try writing.write(bytes, to: &file) } else { try file.write(bytes) }
            }
            try writing.finish(&file)
            record.digest = state.hash.finish()
            record.flags.insert(.hashed)
        }
        record.size = file.size
        // A snapshot does not say it of every file; whoever restores this one must know.
        if file.hasHoles { record.flags.insert(.sparse) }
        var entry = FilledEntry(index: index)
        entry.record = record
        entry.extended = plan.table.extended(of: index)
        entry.bytesWritten = file.size
        entry.held = try setAttributes(
            plan.table.attributes(of: index), of: file.descriptor, now: try file.status().owner)
        return entry
    }

    private func makeLink(_ index: Int, _ name: [UInt8], in target: Directory) throws -> FilledEntry {
        var entry = FilledEntry(index: index)
        do throws(DiskError) {
            try target.makeLink(name, to: plan.table.target(of: index))
        } catch {
            guard error.meansNoSymbolicLink else { throw error }
            entry.skipped = Skipped(
                path: plan.table.path(of: index), reason: "the backup directory's file system holds no symbolic links")
            return entry
        }
        let unset = try FileAttributes.apply(
            plan.table.attributes(of: index), toUnopened: name, in: target, ownership: ownership)
        if !unset.isEmpty, let status = try target.status(of: name) {
            entry.held = .init(
                user: status.user, group: status.group, mode: plan.table[index].mode,
                lacksExtended: !plan.table.extended(of: index).isEmpty)
        }
        return entry
    }

    // MARK: Sharing

    /// Nil if the file must be copied after all.
    private func share(
        _ index: Int, _ name: [UInt8], from parent: Directory, _ held: Manifest.Held?, _ places: Places,
        in target: Directory
    ) throws -> FilledEntry? {
        // The plan has found the recorded size and time equal to these.
        let recorded = plan.table[index]
        let directory: Directory
        do throws(DiskError) {
            directory = try places.parent(parent)
            // Someone may have changed the parent's file: then it is not shared but read from the source.
            guard let status = try directory.status(of: name), status.kind == .file, status.size == recorded.size,
                status.modified == recorded.modified
            else { return nil }
        } catch {
            return nil
        }
        var entry = FilledEntry(index: index)
        entry.isShared = true
        entry.held = held
        switch way.withLock({ $0 }) {
        case .untried, .reflink:
            if try reflink(index, name, from: directory, in: target, &entry) {
                way.withLock { $0 = .reflink }
                return entry
            }
            way.withLock { if $0 == .untried { $0 = .hardLink } }
            fallthrough
        case .hardLink:
            return try link(name, from: directory, in: target) ? entry : nil
        case .none: return nil
        }
    }

    /// A new file of our own with the parent's blocks. False if the file system cannot.
    private func reflink(
        _ index: Int, _ name: [UInt8], from parent: Directory, in target: Directory, _ entry: inout FilledEntry
    ) throws -> Bool {
        if way.withLock({ $0 == .hardLink }) { return false }
        let source = try OpenFile(name, in: parent)
        var file = try NewFile(name, in: target)
        do throws(DiskError) {
            try file.reflink(from: source)
        } catch {
            guard [.unsupported, .crossesDevices].contains(error.code) else { throw error }
            try target.unlink(name)
            return false
        }
        entry.held = try setAttributes(
            plan.table.attributes(of: index), of: file.descriptor, now: try file.status().owner)
        return true
    }

    /// No attribute is ever set on a shared inode. False if there can be no further link, and a copy must do.
    private func link(_ name: [UInt8], from parent: Directory, in target: Directory) throws -> Bool {
        do throws(DiskError) {
            try parent.link(name, to: target, as: name)
            return true
        } catch {
            guard error.meansNoHardLink else { throw error }
            return false
        }
    }

    // MARK: Copying

    /// What cannot be read is skipped and named; what cannot be written fails the run (promise 3).
    private func copy(
        _ index: Int, _ name: [UInt8], _ places: Places, in target: Directory, _ state: inout State
    ) throws -> FilledEntry {
        var hasTarget = false
        do {
            return try copyUntilStable(index, name, places, in: target, &state, &hasTarget)
        } catch let error as SourceUnreadable {
            state.hash.reset()
            if hasTarget { try target.unlink(name) }
            var entry = FilledEntry(index: index)
            entry.skipped = Skipped(path: plan.table.path(of: index), reason: Self.reason(error.cause))
            return entry
        }
    }

    /// A file that changes while it is read is read again, up to three times.
    private func copyUntilStable(
        _ index: Int, _ name: [UInt8], _ places: Places, in target: Directory, _ state: inout State,
        _ hasTarget: inout Bool
    ) throws -> FilledEntry {
        // The walk has just seen the file: only if it is not as it was then is it looked at before it is read.
        var before = plan.table[index]
        var attempt = 1
        while true {
            let source = try openSource(name, places)
            if attempt > 1 { before = try status(of: source).record }
            if hasTarget { try target.unlink(name) }
            hasTarget = false
            var file = try NewFile(name, in: target)
            hasTarget = true
            var isDatabase: Bool?
            try FileCopy.copy(
                source, size: before.size, to: &file, through: state.buffer.bytes,
                isSparse: before.flags.contains(.sparse), stop: stop
            ) { bytes in
                if isDatabase == nil { isDatabase = DatabaseFiles.isHeader(bytes) }
                state.hash.update(bytes)
            }
            let digest = state.hash.finish()
            let after = try status(of: source)
            let isStable =
                after.size == before.size && after.modified == before.modified && after.changed == before.changed
                && after.inode == before.inode && file.size == after.size
            if isStable || attempt == 4 {
                let extended = try extended(of: source)
                let owner = try places.owner(of: file)
                var entry = try finish(index, file, as: after, digest, extended, owner: owner, isStable: isStable)
                if isDatabase == true { entry.skipped = .unknownDatabase(plan.table.path(of: index)) }
                return entry
            }
            attempt += 1
        }
    }

    private func openSource(_ name: [UInt8], _ places: Places) throws(SourceUnreadable) -> OpenFile {
        do throws(DiskError) {
            return try OpenFile(name, in: try places.source())
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    private func status(of source: borrowing OpenFile) throws(SourceUnreadable) -> FileStatus {
        do throws(DiskError) {
            let status = try source.status()
            if status.kind == .file { return status }
            throw DiskError(.invalid, "read", "", because: "it became a \(status.kind.name) while it was backed up")
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    private func extended(of source: borrowing OpenFile) throws(SourceUnreadable) -> [ExtendedAttribute] {
        do throws(DiskError) {
            return try FileAttributes.extended(of: source.descriptor)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    private func finish(
        _ index: Int, _ file: borrowing NewFile, as status: FileStatus, _ digest: SHA256Digest,
        _ extended: [ExtendedAttribute], owner: FileOwner, isStable: Bool
    ) throws -> FilledEntry {
        var entry = FilledEntry(index: index)
        var record = status.record
        record.size = file.size
        record.digest = digest
        record.flags.insert(.hashed)
        // What was read may be older than what the file is now: never taken for unchanged.
        if !isStable { record.inode = 0 }
        entry.record = record
        entry.extended = extended
        entry.bytesWritten = file.size
        entry.held = try setAttributes(status.attributes(with: extended), of: file.descriptor, now: owner)
        if !isStable {
            entry.skipped = Skipped(
                path: plan.table.path(of: index), reason: "it changed each time it was read", isKept: true)
        }
        return entry
    }

    /// What the new file has instead of what it could not be given; nil if it has everything.
    private func setAttributes(
        _ attributes: Attributes, of descriptor: Int32, now owner: FileOwner
    ) throws -> Manifest.Held? {
        let unset = try FileAttributes.apply(
            attributes, to: descriptor, now: owner, ownership: ownership, currentExtended: [])
        guard !unset.isEmpty else { return nil }
        let now = try FileStatus(of: descriptor)
        let lacks = !attributes.extended.isEmpty && unset.contains { !$0.hasPrefix("owner ") }
        return Manifest.Held(user: now.user, group: now.group, mode: now.mode, lacksExtended: lacks)
    }

    private static func reason(_ error: DiskError) -> String {
        switch error.code {
        case .notFound: "it vanished while the backup was made"
        case .isLink: "it became a symbolic link while it was backed up"
        default: error.reason
        }
    }
}
