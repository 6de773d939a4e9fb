import Codec
import Model
import Synchronization
import Workers

/// Reads the trees that snapshots need, each once, on all workers. It remembers which it has read: a bit for each.
final class TreeTraversal: Sendable {
    /// A tree that was read, or was to be.
    struct Visit: Sendable {
        let id: SHA256Digest
        /// The number of the tree in the index; nil if that does not have it.
        let number: Int?
        /// Empty where the tree cannot be read.
        let nodes: [TreeNode]
        let failure: FormatError?
        /// Numbers of copies that cannot be read.
        let damaged: [Int]
    }

    private struct State: Sendable {
        var visited: BlobMarks
        /// Trees that are not in the index.
        var missing: Set<SHA256Digest> = []
    }

    private let repository: Repository
    private let index: BlobIndex
    private let pool: ThreadPool
    private let run: RunContext
    private let coders: PerWorker<RepositoryCoder>
    private let state: Mutex<State>

    init(_ repository: Repository, _ index: BlobIndex, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.index = index
        self.pool = pool
        self.run = run
        coders = PerWorker(pool) { repository.coder() }
        state = Mutex(State(visited: BlobMarks(size: index.count)))
    }

    /// The trees that were read.
    var visited: BlobMarks { state.withLock { $0.visited } }

    /// Calls `body` with `roots` and all trees below them that were not visited before, from several workers at once. Those that
    /// cannot be read are visits, too. Where a place fails, and not a tree, the error is thrown.
    func visit(_ roots: [SHA256Digest], _ body: @escaping @Sendable (_ worker: Int, Visit) throws -> Void) throws {
        var level = try claim(roots, worker: 0, body)
        while !level.isEmpty {
            // As they stand in packs.
            level.sort()
            let current = level
            let next = Mutex<[Int]>([])
            try pool.forEach(current.count) { worker, number in
                try self.run.stop.check()
                let visit = try self.read(current[number], worker: worker)
                let subtrees = visit.nodes.compactMap(\.subtree)
                try body(worker, visit)
                let claimed = try self.claim(subtrees, worker: worker, body)
                next.withLock { $0 += claimed }
            }
            level = next.withLock { $0 }
        }
    }

    /// The numbers of those that nobody has visited. Missing ones are visited at once.
    private func claim(
        _ ids: [SHA256Digest], worker: Int, _ body: (_ worker: Int, Visit) throws -> Void
    ) throws -> [Int] {
        if ids.isEmpty { return [] }
        let numbers = ids.map { index.number(of: BlobKey(.tree, $0)) }
        let (new, missing) = state.withLock { state in
            var (new, missing): ([Int], [SHA256Digest]) = ([], [])
            for (id, number) in zip(ids, numbers) {
                if let number {
                    if state.visited.insert(number) { new.append(number) }
                } else if state.missing.insert(id).inserted {
                    missing.append(id)
                }
            }
            return (new, missing)
        }
        for id in missing {
            let failure = FormatError("the index does not have it")
            try body(worker, Visit(id: id, number: nil, nodes: [], failure: failure, damaged: []))
        }
        return new
    }

    private func read(_ number: Int, worker: Int) throws -> Visit {
        let key = index.key(number)
        var damaged: [Int] = []
        do {
            let bytes = try coders.with(worker) { coder in
                try repository.withBlob(key, in: index, &coder, damaged: &damaged) { Array($0) }
            }
            let nodes = try TreeReader.nodes(of: bytes)
            return Visit(id: key.id, number: number, nodes: nodes, failure: nil, damaged: damaged)
        } catch let error as FormatError {
            return Visit(id: key.id, number: number, nodes: [], failure: error, damaged: damaged)
        }
    }
}
