import Codec
import Containers
import Disk
import Model
import Workers

/// Saves the trees of directories, the deepest first. A directory in which nothing has changed keeps the parent's tree.
struct TreeSaving: Sendable {
    /// How many files and directories are new, have changed, or are as they were.
    struct Changes: Sendable {
        var files = Snapshot.Changes()
        var directories = Snapshot.Changes()

        mutating func add(_ other: Changes) {
            files.add(other.files)
            directories.add(other.directories)
        }
    }

    private struct State: Sendable {
        /// By directory.
        var trees: [Int: SHA256Digest] = [:]
        /// The parent's index of directories that it has.
        var before: [Int: Int] = [:]
        /// Directories whose trees are the parent's.
        var kept: Set<Int> = []
        var changes = Changes()
    }

    private let files: SavedFiles
    private let parent: RepositoryContents?
    private let index: BlobIndex
    private let writer: RepositoryWriter
    private let pool: ThreadPool
    private let run: RunContext
    private let state = Monitor(State())

    /// What the scan found. What was saved of its files stands in `files`.
    private let table: EntryTable

    init(
        files: SavedFiles, plan: SourcePlan, parent: RepositoryContents?, index: BlobIndex, writer: RepositoryWriter,
        pool: ThreadPool, in run: RunContext
    ) {
        (self.files, self.table, self.parent, self.index) = (files, plan.table, parent, index)
        (self.writer, self.pool, self.run) = (writer, pool, run)
    }

    func save() throws -> (tree: SHA256Digest, changes: Changes) {
        let workers = PerWorker(pool) { TreeMaker(run.clock) }
        for level in levels().reversed() {
            // In runs of neighbours: a small directory costs more to hand out than to write.
            let size = 16
            try pool.forEach((level.count + size - 1) / size) { worker, number in
                try workers.with(worker) { maker in
                    for directory in level[number * size..<min(level.count, (number + 1) * size)] {
                        try run.stop.check()
                        try save(directory, &maker, worker)
                    }
                }
            }
        }
        return try state.withLock { state in
            guard let tree = state.trees[0] else { throw FormatError("the tree of the app was not saved") }
            return (tree, state.changes)
        }
    }

    /// Directories by their depth.
    private func levels() -> [[Int]] {
        var depths = [Int32](repeating: 0, count: table.count)
        var levels: [[Int]] = [[0]]
        for index in 1..<max(1, table.count) where table.kind(of: index) == .directory {
            let depth = depths[Int(table[index].parent)] + 1
            depths[index] = depth
            if levels.count <= Int(depth) { levels.append([]) }
            levels[Int(depth)].append(index)
        }
        return levels
    }

    private func save(_ directory: Int, _ maker: inout TreeMaker, _ worker: Int) throws {
        let children = table.children(of: directory).filter { !files.missing.contains($0) }
        var changes = Changes()
        let before = parentIndex(of: directory)
        if let before { state.withLock { $0.before[directory] = before } }
        let isUnchanged = compare(children, directory, with: before, &changes)
        if isUnchanged, let before, let tree = parent?.trees[before], index.contains(BlobKey(.tree, tree)) {
            return state.withLock { state in
                state.trees[directory] = tree
                state.kept.insert(directory)
                state.changes.add(changes)
            }
        }
        let directories = children.filter { table.kind(of: $0) == .directory }
        var subtrees: [Int: SHA256Digest] = [:]
        if !directories.isEmpty {
            state.withLock { state in
                for child in directories { subtrees[child] = state.trees[child] }
            }
        }
        let id = try maker.tree(of: children, files, table, subtrees: subtrees) { bytes in
            try writer.save(.tree, bytes, worker: worker).id
        }
        state.withLock { state in
            state.trees[directory] = id
            state.changes.add(changes)
        }
    }

    // MARK: The parent

    private func parentIndex(of directory: Int) -> Int? {
        guard let parent else { return nil }
        return directory == 0 ? 0 : table.withPath(of: directory) { parent.table.index(ofBytes: $0) }
    }

    /// Whether the parent's tree of the directory says just what there is: then it needs not be written to be known. Counts what
    /// has changed in it.
    private func compare(_ children: [Int], _ directory: Int, with before: Int?, _ changes: inout Changes) -> Bool {
        guard let parent, let before else {
            for child in children { changes.count(table[child].kind, isNew: true, isChanged: false) }
            return false
        }
        let known = state.withLock { state in children.map { (state.kept.contains($0), state.before[$0]) } }
        var isSame = true
        for (child, (isKept, directory)) in zip(children, known) {
            // The plan has found it in the parent, and nothing of it has changed.
            if files.isShared(child) {
                changes.count(.file, isNew: false, isChanged: false)
                continue
            }
            let old = directory ?? table.withPath(of: child) { parent.table.index(ofBytes: $0) }
            let isUnchanged: Bool
            switch (table[child].kind, old) {
            case (_, nil), (.file, _): isUnchanged = false
            case (.directory, let old?): isUnchanged = isKept && table[child].isUnchanged(since: parent.table[old])
            case (_, let old?):
                isUnchanged =
                    table[child].isUnchanged(since: parent.table[old])
                    && table.hasSameTarget(child, as: old, of: parent.table)
            }
            changes.count(table[child].kind, isNew: old == nil, isChanged: !isUnchanged)
            isSame = isSame && isUnchanged
        }
        return isSame && parent.table.children(of: before).reduce(0) { count, _ in count + 1 } == children.count
    }
}

extension EntryRecord {
    /// Whether this is the entry that `other` was, with the attributes that it had.
    fileprivate func isUnchanged(since other: EntryRecord) -> Bool {
        kind == other.kind && inode == other.inode && device == other.device && changed == other.changed
            && modified == other.modified && mode == other.mode && user == other.user && group == other.group
    }
}

extension TreeSaving.Changes {
    fileprivate mutating func count(_ kind: EntryKind, isNew: Bool, isChanged: Bool) {
        switch kind {
        case .file: files.count(isNew: isNew, isChanged: isChanged)
        case .directory: directories.count(isNew: isNew, isChanged: isChanged)
        default: break
        }
    }
}

extension Snapshot.Changes {
    fileprivate mutating func count(isNew: Bool, isChanged: Bool) {
        if isNew { new += 1 } else if isChanged { changed += 1 } else { unmodified += 1 }
    }

    fileprivate mutating func add(_ other: Self) {
        new += other.new
        changed += other.changed
        unmodified += other.unmodified
    }
}

/// Writes trees. Belongs to one worker.
struct TreeMaker: ~Copyable {
    private var writer = TreeWriter()
    private var zone: ZoneOffsets

    init(_ clock: Clock) {
        zone = ZoneOffsets(clock)
    }

    /// Calls `body` with the tree that holds `children`, in order.
    mutating func tree(
        of children: [Int], _ files: SavedFiles, _ table: EntryTable, subtrees: [Int: SHA256Digest],
        _ body: (UnsafeRawBufferPointer) throws -> SHA256Digest
    ) throws -> SHA256Digest {
        for child in children {
            let saved = files.record(child)
            guard var node = TreeNode(table, child, saved, offset: { zone.offset(at: $0) }) else { continue }
            node.extended = files.extended(of: child).byRank()
            if node.kind == .file { node.content = files.content(of: child) }
            node.subtree = subtrees[child]
            try writer.add(node)
        }
        return try writer.finish(body)
    }

    /// The tree that holds one directory.
    mutating func tree(
        of directory: Int, _ table: EntryTable, subtree: SHA256Digest,
        _ body: (UnsafeRawBufferPointer) throws -> SHA256Digest
    ) throws -> SHA256Digest {
        if var node = TreeNode(table, directory, offset: { zone.offset(at: $0) }) {
            node.subtree = subtree
            try writer.add(node)
        }
        return try writer.finish(body)
    }
}

/// Offsets of local time, remembered: they change at quarters of an hour, and asking the system takes longer than all else that a
/// node needs.
struct ZoneOffsets {
    private static let slots = 1024
    private let clock: Clock
    private var quarters = [Int64](repeating: .min, count: slots)
    private var offsets = [Int](repeating: 0, count: slots)

    init(_ clock: Clock) {
        self.clock = clock
    }

    mutating func offset(at moment: Timestamp) -> Int {
        // Rounded down, also before 1970.
        let quarter = (moment.seconds - (moment.seconds % 900 + 900) % 900) / 900
        let slot = Int(truncatingIfNeeded: quarter) & (Self.slots - 1)
        if quarters[slot] != quarter {
            quarters[slot] = quarter
            offsets[slot] = clock.offset(moment)
        }
        return offsets[slot]
    }
}
