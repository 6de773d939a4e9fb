import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Reads the trees of a snapshot: what the app's directory held, as a table in path order.
struct SnapshotReading: Sendable {
    private let repository: Repository
    private let index: BlobIndex
    private let surroundings: RepositoryContainer.Surroundings
    private let pool: ThreadPool
    private let run: RunContext

    init(
        _ repository: Repository, index: BlobIndex, _ surroundings: RepositoryContainer.Surroundings,
        pool: ThreadPool, in run: RunContext
    ) {
        self.repository = repository
        self.index = index
        self.surroundings = surroundings
        self.pool = pool
        self.run = run
    }

    /// Throws ``FormatError`` where a tree is damaged.
    func contents(of stored: Repository.StoredSnapshot, name: String) throws -> RepositoryContents {
        let record = SnapshotRecord(of: stored)
        let place = try record?.place ?? place(of: stored)
        guard let position = try record?.place.components ?? position(of: place, in: stored.snapshot) else {
            throw FormatError("it does not hold \(place.path)")
        }
        var tree = try tree(at: position, of: place, below: stored.snapshot.tree)
        let metadata = record?.metadata ?? plainMetadata(stored, name, tree.table)
        if let record { Self.mark(record.metadata.items, in: &tree.table) }
        return RepositoryContents(
            name: name, metadata: metadata, isRecorded: record != nil, snapshot: stored, tree: tree,
            repository: repository, index: index)
    }

    // MARK: Where the app is

    private func place(of stored: Repository.StoredSnapshot) throws -> SnapshotPlace {
        if let place = SnapshotPlace(stored.snapshot.paths, within: surroundings.path) { return place }
        return try SnapshotPlace(stored.snapshot.paths, isItem: surroundings.isItem) { components in
            guard let position = try position(of: SnapshotPlace(components), in: stored.snapshot) else { return nil }
            var coder = repository.coder()
            return try self.tree(position, below: stored.snapshot.tree, &coder)?.map(\.name)
        }
    }

    /// Where in the tree of a snapshot that others made a directory stands. That is its path, but for targets that were given to
    /// restic relative to its working directory: their trees begin there, and only the paths are absolute. `backup .` has in the
    /// root what the directory holds. Nil if it is not there.
    private func position(of place: SnapshotPlace, in snapshot: Snapshot) throws -> [[UInt8]]? {
        var coder = repository.coder()
        if try subtree(place.components, below: snapshot.tree, &coder)?.subtree != nil { return place.components }
        let targets = snapshot.paths.compactMap { place.firstName(of: $0) }
        for count in (0...place.components.count).reversed() {
            let position = Array(place.components.suffix(count))
            if try holds(targets, at: position, below: snapshot.tree, &coder) { return position }
        }
        return nil
    }

    /// Whether the tree has one way to a position, and there all of these names.
    private func holds(
        _ names: [[UInt8]], at position: [[UInt8]], below root: SHA256Digest, _ coder: inout RepositoryCoder
    ) throws -> Bool {
        var nodes = try repository.tree(root, in: index, &coder)
        for name in position {
            guard nodes.count == 1, nodes[0].name == name, let subtree = nodes[0].subtree else { return false }
            nodes = try repository.tree(subtree, in: index, &coder)
        }
        let there = Set(nodes.map(\.name))
        return names.allSatisfy { there.contains($0) }
    }

    /// What the directory at a position holds; nil if there is none.
    private func tree(
        _ position: [[UInt8]], below root: SHA256Digest, _ coder: inout RepositoryCoder
    ) throws -> [TreeNode]? {
        let tree = position.isEmpty ? root : try subtree(position, below: root, &coder)?.subtree
        return try tree.map { try repository.tree($0, in: index, &coder) }
    }

    /// The node at a path, but for a root without nodes of its own.
    private func subtree(
        _ components: [[UInt8]], below root: SHA256Digest, _ coder: inout RepositoryCoder
    ) throws -> TreeNode? {
        var node: TreeNode?
        var tree: SHA256Digest? = root
        for component in components {
            guard let current = tree else { return nil }
            let nodes = try repository.tree(current, in: index, &coder)
            node = nodes.first { $0.name == component } ?? Self.onlyNode(readAs: component, nodes)
            tree = node?.subtree
        }
        return node
    }

    /// The one directory whose name is not UTF-8 and was written as `component` among the paths of a snapshot, where what is not
    /// UTF-8 is lost: there stand one or more U+FFFD for it. Nil if none or several could be meant.
    private static func onlyNode(readAs component: [UInt8], _ nodes: [TreeNode]) -> TreeNode? {
        func legible(_ name: [UInt8]) -> [Substring] {
            String(decoding: name, as: UTF8.self).split(separator: "\u{fffd}", omittingEmptySubsequences: true)
        }
        guard String(decoding: component, as: UTF8.self).contains("\u{fffd}") else { return nil }
        let wanted = legible(component)
        let found = nodes.filter { node in
            node.subtree != nil && String(validating: node.name, as: UTF8.self) == nil && legible(node.name) == wanted
        }
        return found.count == 1 ? found[0] : nil
    }

    private func tree(
        at position: [[UInt8]], of place: SnapshotPlace, below root: SHA256Digest
    ) throws -> SnapshotTree {
        var coder = repository.coder()
        var top = EntryRecord(kind: .directory, flags: .ancestor)
        var extended: [ExtendedAttribute] = []
        var tree = root
        if !position.isEmpty {
            guard let node = try subtree(position, below: root, &coder), let subtree = node.subtree else {
                throw FormatError("it does not hold \(place.path)")
            }
            (top, extended, tree) = (EntryRecord(node), node.extended, subtree)
        }
        let loading = Mutex(SnapshotTree.Loading(top, extended, tree))
        let coders = PerWorker(pool) { self.repository.coder() }
        var (last, listings) = ([SHA256Digest](), [SnapshotTree.Listing]())
        while true {
            let trees = loading.withLock { $0.next() }
            if trees.isEmpty && last.isEmpty { break }
            // One thread adds to the table what was read before, while others read on.
            let read = try pool.map(trees.count + 1) { [last, listings] worker, number in
                try run.stop.check()
                if number == 0 {
                    try loading.withLock { try $0.absorb(listings, of: last, checking: run.stop.check) }
                    return SnapshotTree.Listing?.none
                }
                return try coders.with(worker) { coder in
                    try repository.withBlob(BlobKey(.tree, trees[number - 1]), in: index, &coder) {
                        try SnapshotTree.Listing($0)
                    }
                }
            }
            (last, listings) = (trees, read.compactMap { $0 })
        }
        return loading.withLock { $0.finish() }
    }

    // MARK: What is known of it

    /// Of a snapshot that others made, or wrote anew.
    private func plainMetadata(
        _ stored: Repository.StoredSnapshot, _ name: String, _ table: EntryTable
    ) -> BackupMetadata {
        var metadata = BackupMetadata(
            backupName: name, time: stored.snapshot.time, items: table.children(of: 0).map { table.path(of: $0) },
            excludedItems: stored.snapshot.excludes, details: nil)
        metadata.format = .repository
        return metadata
    }

    /// Directories that are only on the way to an item are marked as such.
    private static func mark(_ items: [EntryPath], in table: inout EntryTable) {
        if !items.contains(.root) { table[0].flags.insert(.ancestor) }
        for item in items {
            var above = item.parent
            while let path = above, !path.isRoot {
                if !items.contains(where: { path.isAtOrBelow($0) }), let index = table.index(of: path) {
                    table[index].flags.insert(.ancestor)
                }
                above = path.parent
            }
        }
        if items.contains(.root) { table[0].flags.remove(.ancestor) }
    }
}

extension EntryRecord {
    /// What a node says of its entry, but for name, target and extended attributes.
    init(_ node: TreeNode) {
        self.init(
            kind: EntryKind(node.kind), mode: node.permissions, user: node.user, group: node.group,
            size: node.kind == .file ? node.size : 0, modified: node.modified.moment)
        device = node.device
        inode = node.inode
        changed = node.changed.moment
        links = UInt32(clamping: max(1, node.links))
    }
}

extension EntryKind {
    fileprivate init(_ kind: TreeNode.Kind) {
        self =
            switch kind {
            case .file: .file
            case .directory: .directory
            case .link: .link
            case .fifo: .fifo
            case .blockDevice: .blockDevice
            case .characterDevice: .characterDevice
            // Restic stores neither.
            case .socket, .irregular: .socket
            }
    }
}
