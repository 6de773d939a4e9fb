import Codec
import Containers
import Disk
import Model
import Workers

/// Saves files that fit into one buffer, one worker's. Those that have not changed since the parent are not read.
struct SmallFileSaving: ~Copyable {
    /// Of files that are read whole.
    static let limit = UInt64(Chunker.maximum)

    private let plan: SourcePlan
    private let parent: RepositoryContents?
    private let index: BlobIndex
    private let writer: RepositoryWriter
    private let chunker: Chunker
    private let stored: (any ContentReader)?
    private let stop: StopFlag
    /// One byte more shows that a file has grown.
    private let buffer = Buffer(size: Chunker.maximum + 4096)

    init(
        _ plan: SourcePlan, parent: RepositoryContents?, index: BlobIndex, writer: RepositoryWriter,
        _ chunker: Chunker, stored: sending (any ContentReader)?, stop: StopFlag
    ) {
        (self.plan, self.parent, self.index, self.writer) = (plan, parent, index, writer)
        (self.chunker, self.stored, self.stop) = (chunker, stored, stop)
    }

    /// What became of some entries.
    struct Saved {
        /// Files that were read, or could not be.
        var read: [SavedFile] = []
        /// Files that the parent has.
        var shared: [SharedFile] = []
    }

    /// The files among `entries`; what is too large is another's.
    func save(_ entries: Range<Int>, worker: Int, _ meter: ProgressMeter) throws -> Saved {
        let source = PlanSource(plan, stored)
        var saved = Saved()
        for index in entries where plan.table.kind(of: index) == .file {
            try stop.check()
            if let file = share(index) {
                saved.shared.append(file)
                continue
            } else if !LargeFileSaving.isLarge(index, in: plan) {
                saved.read.append(try read(index, source, worker))
            } else if let stored, plan.content(of: index) == .stored {
                saved.read.append(try stream(index, stored, worker))
            } else {
                continue
            }
            meter.advance(entries: 1, bytes: plan.isWritten(index) ? plan.table[index].size : 0) {
                plan.table.path(of: index)
            }
        }
        if let last = saved.shared.last {
            meter.advance(entries: saved.shared.count, bytes: 0) { plan.table.path(of: last.index) }
        }
        return saved
    }

    /// What the parent holds, if the repository still has all of it: what is lost is read again.
    private func share(_ index: Int) -> SharedFile? {
        guard case .shared(let old) = plan.content(of: index), let parent,
            parent.allBlobs(of: old, where: { self.index.contains(BlobKey(.data, $0)) })
        else { return nil }
        return SharedFile(index: index, old: old)
    }

    private func read(_ index: Int, _ source: PlanSource, _ worker: Int) throws -> SavedFile {
        var file = SavedFile(index)
        let read: PlanSource.Read
        do {
            read = try source.read(index, into: buffer.bytes)
        } catch let error as SourceUnreadable {
            file.skipped = Skipped(path: plan.table.path(of: index), reason: error.clause)
            file.isMissing = true
            return file
        }
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<read.count])
        var rest = bytes
        while !rest.isEmpty {
            let cut = chunker.firstChunk(of: rest)
            file.content.append(
                try writer.save(.data, UnsafeRawBufferPointer(rebasing: rest[..<cut]), worker: worker).id)
            rest = UnsafeRawBufferPointer(rebasing: rest[cut...])
        }
        file.finish(read.record, size: UInt64(read.count), read.extended, isPrepared: source.isPrepared(index))
        if !read.isStable { file.skipped = .changing(plan.table.path(of: index)) }
        if plan.content(of: index) == .file, DatabaseFiles.isHeader(bytes) {
            file.skipped = .unknownDatabase(plan.table.path(of: index))
        }
        return file
    }

    /// A large file of a backup that is copied, which can only be read from its beginning on.
    private func stream(_ index: Int, _ stored: any ContentReader, _ worker: Int) throws -> SavedFile {
        var file = SavedFile(index)
        let window = Buffer(size: 2 * Chunker.maximum)
        let memory = window.bytes
        var (filled, size) = (0, UInt64(0))
        func save(untilBelow least: Int) throws {
            var start = 0
            while filled - start > least {
                let rest = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[start..<filled])
                let cut = chunker.firstChunk(of: rest)
                let chunk = UnsafeRawBufferPointer(rebasing: rest[..<cut])
                file.content.append(try writer.save(.data, chunk, worker: worker).id)
                start += cut
            }
            memory.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory[start..<filled]))
            filled -= start
        }
        try stored.read(index) { bytes in
            size += UInt64(bytes.count)
            var rest = bytes
            while !rest.isEmpty {
                let count = min(rest.count, memory.count - filled)
                UnsafeMutableRawBufferPointer(rebasing: memory[filled...]).copyMemory(
                    from: UnsafeRawBufferPointer(rebasing: rest[..<count]))
                filled += count
                rest = UnsafeRawBufferPointer(rebasing: rest[count...])
                if filled == memory.count { try save(untilBelow: Chunker.maximum) }
            }
        }
        try save(untilBelow: 0)
        file.finish(plan.table[index], size: size, plan.table.extended(of: index), isPrepared: false)
        return file
    }
}

extension SavedFile {
    /// What was read of it. A copy that was made for the backup is not the file that stands there: neither the next backup nor
    /// restic may take that for unchanged.
    mutating func finish(_ read: EntryRecord, size: UInt64, _ extended: [ExtendedAttribute], isPrepared: Bool) {
        var record = read
        record.size = size
        if isPrepared { record.inode = 0 }
        self.record = record
        self.extended = extended
    }
}
