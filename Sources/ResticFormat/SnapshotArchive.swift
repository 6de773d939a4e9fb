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
        let bytes = (0..<plan.table.count).lazy.filter { self.plan.isWritten($0) }.map { self.plan.table[$0].size }
        let meter = ProgressMeter(.saving, entries: plan.table.count, bytes: bytes.saturatingSum(), in: run)
        let saved = Monitor(SavedFiles(plan))
        let chunker = Chunker(repository.configuration.polynomial)
        try saveSmall(into: saved, chunker, meter)
        try LargeFileSaving(plan, writer, chunker, pool: pool, in: run).save(into: saved, meter)
        // All of it leaves the monitor: a second reference would make the next change copy the table.
        let files = saved.withLock { saved in
            defer { saved = SavedFiles() }
            return saved
        }
        let trees = TreeSaving(
            files: files, plan: plan, parent: parent, index: index, writer: writer, pool: pool, in: run)
        let result = try trees.save()
        var written = Written(
            table: try files.compacted(), skipped: files.skipped, tree: result.tree, changes: result.changes)
        written.sharedFiles = files.shared.count
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
                for file in filled { saved.take(file) }
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
    var isShared = false
    var isMissing = false
    var skipped: Skipped?

    init(_ index: Int) {
        self.index = index
    }
}

/// All files of a plan that were saved so far.
struct SavedFiles: Sendable {
    private(set) var table = EntryTable(root: EntryRecord(kind: .directory))
    /// Blobs of files that have more than one; the only blob of another stands in the table.
    private(set) var chunks: [Int: [SHA256Digest]] = [:]
    private(set) var missing: Set<Int> = []
    private(set) var shared: Set<Int> = []
    private(set) var skipped: [Skipped] = []

    init() {}

    init(_ plan: SourcePlan) {
        table = plan.table
        skipped = plan.skipped
    }

    mutating func take(_ file: SavedFile) {
        let index = file.index
        if let skipped = file.skipped { self.skipped.append(skipped) }
        if file.isMissing {
            missing.insert(index)
            return
        }
        if file.isShared { shared.insert(index) }
        if let record = file.record { table[index].take(record) }
        if let extended = file.extended { table.setExtended(extended, of: index) }
        if file.content.count > 1 {
            chunks[index] = file.content
            table[index].flags.remove(.hashed)
        } else {
            table[index].digest = file.content.first ?? SnapshotTree.empty
            table[index].flags.insert(.hashed)
        }
    }

    func content(of index: Int) -> [SHA256Digest] {
        chunks[index] ?? (table[index].size == 0 ? [] : [table[index].digest])
    }

    /// The entries without those that could not be read.
    func compacted() throws -> EntryTable {
        missing.isEmpty ? table : try table.filtered { !missing.contains($0) }
    }
}
