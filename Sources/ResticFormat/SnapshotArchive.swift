import Codec
import Containers
import Disk
import Model
import Workers

/// Writes a plan into a repository: first what files hold, then the trees, from the deepest directories up. Nothing can be seen of
/// it until a snapshot names its root.
struct SnapshotArchive {
    /// What became of the plan.
    struct Written {
        /// The entries that the snapshot holds, as they were read.
        var table: EntryTable
        var skipped: [Skipped]
        /// The tree of the app's directory.
        var tree: SHA256Digest
        var changes = TreeSaving.Changes()
        var sharedFiles = 0
    }

    let plan: SourcePlan
    let writer: RepositoryWriter
    let repository: Repository
    let index: BlobIndex
    let pool: ThreadPool
    let run: RunContext

    /// The snapshot that the plan was joined with.
    private var parent: RepositoryContents? {
        guard case .backup(let contents) = plan.parent?.store else { return nil }
        return contents as? RepositoryContents
    }

    func write() throws -> Written {
        var bytes: UInt64 = 0
        for index in 0..<plan.table.count where plan.isWritten(index) { bytes.add(saturating: plan.table[index].size) }
        let meter = ProgressMeter(.saving, entries: plan.table.count, bytes: bytes, in: run)
        let saved = Monitor(SavedFiles(plan))
        let chunker = Chunker(repository.configuration.polynomial)
        try saveSmall(into: saved, chunker, meter)
        let large = LargeFileSaving(
            plan, parent: parent, index: index, writer: writer, chunker, pool: pool, in: run)
        try large.save(into: saved, meter)
        let files = saved.withLock { $0 }
        let trees = TreeSaving(
            files: files, plan: plan, parent: parent, index: index, writer: writer, pool: pool, in: run)
        let result = try trees.save()
        var written = Written(
            table: files.table(), skipped: files.skipped, tree: result.tree, changes: result.changes)
        written.sharedFiles = files.sharedFiles
        return written
    }

    // MARK: Small files

    /// Entries that one worker takes at once, and their bytes.
    private static let batch = (entries: 64, bytes: UInt64(4 << 20))

    private func saveSmall(into saved: Monitor<SavedFiles>, _ chunker: Chunker, _ meter: ProgressMeter) throws {
        let batches = batches()
        let workers = PerWorker(pool) {
            SmallFileSaving(
                plan, parent: parent, index: index, writer: writer, chunker,
                stored: plan.makeStoredReader(stop: run.stop), stop: run.stop)
        }
        try pool.forEach(batches.count) { worker, number in
            let filled = try workers.with(worker) { saving in
                try saving.save(batches[number], worker: worker, meter)
            }
            saved.withLock { saved in
                for file in filled.read { saved.take(file) }
                if let parent { saved.share(filled.shared, with: parent) }
            }
        }
    }

    private func batches() -> [Range<Int>] {
        var batches: [Range<Int>] = []
        var (start, bytes) = (1, UInt64(0))
        for index in 1..<max(1, plan.table.count) {
            if plan.isWritten(index) { bytes.add(saturating: plan.table[index].size) }
            if index - start >= Self.batch.entries || bytes >= Self.batch.bytes {
                batches.append(start..<index + 1)
                (start, bytes) = (index + 1, 0)
            }
        }
        if start < plan.table.count { batches.append(start..<plan.table.count) }
        return batches
    }
}

/// One file of a plan that was saved, or could not be.
struct SavedFile: Sendable {
    let index: Int
    /// As it was read; nil if the plan's record stays.
    var record: EntryRecord?
    var extended: [ExtendedAttribute]?
    /// The blobs of its content.
    var content: [SHA256Digest] = []
    var isMissing = false
    var skipped: Skipped?

    init(_ index: Int) {
        self.index = index
    }
}

/// One file of a plan that has not changed since the parent.
struct SharedFile: Sendable {
    let index: Int
    /// Its index there.
    let old: Int
}

/// All files of a plan that were saved so far: of each only what the plan does not say.
struct SavedFiles: Sendable {
    private let plan: SourcePlan
    /// The first blob of each file; that of no content where there is none.
    private var blobs: [SHA256Digest]
    /// The blobs of files that have several.
    private var chunks: [Int: [SHA256Digest]] = [:]
    /// What was read is not what the scan found: mostly nothing.
    private var records: [Int: EntryRecord] = [:]
    private var extended: [Int: [ExtendedAttribute]] = [:]
    private var isShared: [Bool]
    private(set) var sharedFiles = 0
    private(set) var missing: Set<Int> = []
    private(set) var skipped: [Skipped]

    init(_ plan: SourcePlan) {
        self.plan = plan
        skipped = plan.skipped
        blobs = Array(repeating: SnapshotTree.empty, count: plan.table.count)
        isShared = Array(repeating: false, count: plan.table.count)
    }

    mutating func take(_ file: SavedFile) {
        let index = file.index
        if let skipped = file.skipped { self.skipped.append(skipped) }
        if file.isMissing {
            missing.insert(index)
            return
        }
        if let record = file.record, !record.isSame(as: plan.table[index]) { records[index] = record }
        if let extended = file.extended, extended != plan.table.extended(of: index) { self.extended[index] = extended }
        if file.content.count > 1 { chunks[index] = file.content }
        blobs[index] = file.content.first ?? SnapshotTree.empty
    }

    mutating func share(_ files: [SharedFile], with parent: RepositoryContents) {
        for file in files {
            let content = parent.chunks(of: file.old)
            if let content { chunks[file.index] = content }
            if let first = content?.first ?? parent.onlyBlob(of: file.old) { blobs[file.index] = first }
            isShared[file.index] = true
        }
        sharedFiles += files.count
    }

    /// The entry as it was saved.
    func record(_ index: Int) -> EntryRecord {
        var record = plan.table[index]
        if let read = records[index] { record.take(read) }
        return record
    }

    func extended(of index: Int) -> [ExtendedAttribute] {
        extended[index] ?? plan.table.extended(of: index)
    }

    func content(of index: Int) -> [SHA256Digest] {
        chunks[index] ?? (blobs[index] == SnapshotTree.empty ? [] : [blobs[index]])
    }

    /// Whether the file is as the parent has it.
    func isShared(_ index: Int) -> Bool { isShared[index] }

    /// The entries as they were saved, without those that could not be read.
    func table() -> EntryTable {
        var table = plan.table
        for (index, record) in records { table[index].take(record) }
        for (index, extended) in extended { table.setExtended(extended, of: index) }
        return missing.isEmpty ? table : table.filtered { !missing.contains($0) }
    }
}

extension EntryRecord {
    /// Whether this says the same of an entry as `other`, but for where it stands and what its content is.
    fileprivate func isSame(as other: EntryRecord) -> Bool {
        kind == other.kind && flags.subtracting(.hashed) == other.flags.subtracting(.hashed) && mode == other.mode
            && user == other.user && group == other.group && size == other.size && modified == other.modified
            && device == other.device && inode == other.inode && changed == other.changed && links == other.links
    }
}
