import Codec
import Model
import Storage
import Synchronization
import Workers

/// How large a repository is, what for, and how it grew.
///
/// Reads all trees. The caller holds a shared lock, or none: then numbers may be those of different moments.
package struct RepositoryStatistics: Sendable {
    /// What one snapshot adds to the older ones.
    package struct Growth: Sendable {
        package let snapshot: Repository.StoredSnapshot
        /// Bytes in packs of the blobs that no older snapshot needs.
        package fileprivate(set) var stored: UInt64 = 0
        /// Bytes of their content.
        package fileprivate(set) var content: UInt64 = 0
        /// Files in the snapshot, each name of one.
        package fileprivate(set) var files = 0
        /// Bytes of these: what a restore takes. A file with several names counts with each.
        package fileprivate(set) var restored: UInt64 = 0
    }

    /// The oldest first.
    package fileprivate(set) var snapshots: [Growth] = []
    /// Blobs, each once.
    package fileprivate(set) var dataBlobs = 0
    package fileprivate(set) var treeBlobs = 0
    package fileprivate(set) var packs = 0
    /// Bytes of all packs.
    package fileprivate(set) var packed: UInt64 = 0
    /// Bytes of index files, snapshots, keys, locks and the configuration.
    package fileprivate(set) var others: UInt64 = 0
    /// Bytes that blobs, each once, take in packs.
    package fileprivate(set) var stored: UInt64 = 0
    /// Bytes of their content.
    package fileprivate(set) var content: UInt64 = 0
    /// Bytes of packs that no snapshot needs: blobs, further copies of blobs, packs that no index names.
    package fileprivate(set) var unused: UInt64 = 0
    /// Damage that was met: numbers are too small then.
    package fileprivate(set) var findings: [Finding] = []

    /// All bytes of the repository.
    package var total: UInt64 { [packed, others].saturatingSum() }

    /// How many bytes of content a stored byte has; 1 where there is nothing.
    package var compressionRatio: Double { stored == 0 ? 1 : Double(content) / Double(stored) }

    /// What restoring all snapshots would take.
    package var restored: UInt64 { snapshots.map(\.restored).saturatingSum() }
}

extension Repository {
    package func statistics(on pool: ThreadPool, in run: RunContext) throws -> RepositoryStatistics {
        var statistics = RepositoryStatistics()
        let (snapshots, unreadable) = try readableSnapshots(on: pool)
        let files = try indexFiles(on: pool)
        let listing = PackListing(files, try backend.list(.pack))
        statistics.findings = (unreadable.map(\.finding) + files.findings + listing.findings)
            .filter { $0.severity == .damage }
        statistics.packs = listing.indexed.count + listing.unindexed.count
        statistics.packed = listing.size
        for kind in ObjectKind.allCases where kind != .pack {
            statistics.others.add(saturating: try backend.list(kind).map(\.size).saturatingSum())
        }
        var survey = StatisticsSurvey(self, files.index, on: pool, in: run)
        for stored in snapshots { statistics.snapshots.append(try survey.growth(by: stored)) }
        statistics.findings += survey.findings
        statistics.count(files.index, survey.needed)
        statistics.unused.add(saturating: listing.unindexed.map(\.info.size).saturatingSum())
        return statistics
    }
}

extension RepositoryStatistics {
    fileprivate mutating func count(_ index: BlobIndex, _ needed: BlobMarks) {
        for number in 0..<index.count {
            let (key, place) = (index.key(number), index.place(number))
            if !needed.contains(number) { unused.add(saturating: UInt64(place.length)) }
            guard index.number(of: key) == number else { continue }
            if key.type == .data { dataBlobs += 1 } else { treeBlobs += 1 }
            stored.add(saturating: UInt64(place.length))
            content.add(saturating: UInt64(place.contentLength))
        }
    }
}

/// Goes through the snapshots one after the other, and through each tree once.
private struct StatisticsSurvey {
    /// A directory: what is in it, and numbers of those below it.
    private struct Tree: Sendable {
        var files = 0
        var bytes: UInt64 = 0
        var subtrees: [Int] = []
    }

    private struct Found: Sendable {
        /// By the numbers of trees.
        var trees: [Int: Tree] = [:]
        var needed: BlobMarks
        var growth: RepositoryStatistics.Growth
        var findings: [Finding] = []
    }

    private let index: BlobIndex
    private let traversal: TreeTraversal
    /// What is below trees, them included, by number.
    private var sums: [Int: (files: Int, bytes: UInt64)] = [:]
    private(set) var needed: BlobMarks
    private(set) var findings: [Finding] = []

    init(_ repository: Repository, _ index: BlobIndex, on pool: ThreadPool, in run: RunContext) {
        self.index = index
        traversal = TreeTraversal(repository, index, on: pool, in: run)
        needed = BlobMarks(size: index.count)
    }

    mutating func growth(by stored: Repository.StoredSnapshot) throws -> RepositoryStatistics.Growth {
        let index = index
        let found = Mutex(Found(needed: needed, growth: .init(snapshot: stored)))
        try traversal.visit([stored.snapshot.tree]) { _, visit in
            let tree = Self.tree(visit, index)
            let blobs = visit.nodes.filter { $0.kind == .file }.flatMap { $0.content ?? [] }
                .compactMap { index.number(of: BlobKey(.data, $0)) }
            found.withLock { found in
                if let failure = visit.failure {
                    found.findings.append(Finding(.damage, "\(BlobKey(.tree, visit.id))", "\(failure)"))
                }
                for number in (visit.number.map { [$0] } ?? []) + blobs where found.needed.insert(number) {
                    found.growth.stored.add(saturating: UInt64(index.place(number).length))
                    found.growth.content.add(saturating: UInt64(index.place(number).contentLength))
                }
                if let number = visit.number { found.trees[number] = tree }
            }
        }
        let result = found.withLock { $0 }
        needed = result.needed
        findings += result.findings
        var growth = result.growth
        if let root = index.number(of: BlobKey(.tree, stored.snapshot.tree)) {
            (growth.files, growth.restored) = sum(root, result.trees)
        }
        return growth
    }

    private static func tree(_ visit: TreeTraversal.Visit, _ index: BlobIndex) -> Tree {
        var tree = Tree()
        for node in visit.nodes {
            if node.kind == .file {
                tree.files += 1
                tree.bytes.add(saturating: node.size)
            }
            if let subtree = node.subtree, let number = index.number(of: BlobKey(.tree, subtree)) {
                tree.subtrees.append(number)
            }
        }
        return tree
    }

    /// Adds up what is below a tree; `trees` are those whose sums are not known yet.
    private mutating func sum(_ root: Int, _ trees: [Int: Tree]) -> (Int, UInt64) {
        // Each is met before and after what is below it.
        var pending = [root]
        while let number = pending.last {
            guard sums[number] == nil, let tree = trees[number] else {
                pending.removeLast()
                continue
            }
            let unknown = tree.subtrees.filter { sums[$0] == nil && trees[$0] != nil }
            guard unknown.isEmpty else {
                pending += unknown
                continue
            }
            var total = (files: tree.files, bytes: tree.bytes)
            for subtree in tree.subtrees {
                guard let below = sums[subtree] else { continue }
                total.files += below.files
                total.bytes.add(saturating: below.bytes)
            }
            sums[number] = total
            pending.removeLast()
        }
        let total = sums[root] ?? (0, 0)
        return (total.files, total.bytes)
    }
}
