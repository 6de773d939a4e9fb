import Model
import Storage
import Synchronization
import Workers

/// A repository that a run works on: opened when it is first needed, and what was read of it.
package final class RepositoryState: Sendable {
    private struct Known {
        var snapshots: [Repository.StoredSnapshot]?
        var unreadableSnapshots: [UnreadableDocument] = []
        var index: BlobIndex?
    }

    /// What a run does with the repository: which lock that needs.
    package enum Use: Sendable {
        /// Reads what a prune could remove meanwhile. Goes on without a lock where none can be made: on a read-only disk.
        case reading
        case writing
        case removing
    }

    private struct Locking {
        let use: Use
        let verb: String
        var lock: RepositoryLock?
        /// Nil until the repository is first needed.
        var repository: Repository?
    }

    private let opening: @Sendable () throws -> Repository
    /// For how many seconds a lock is tried for again.
    private let patience: Int
    private let run: RunContext
    /// Its own threads: a repository is read beside the walk of the app.
    let pool: ThreadPool
    private let known = Mutex(Known())
    private let locking = Mutex<Locking?>(nil)

    /// `opening` opens the repository, which may take a second, and returns it at once when it is called again.
    package init(in run: RunContext, patience: Int = 0, opening: @escaping @Sendable () throws -> Repository) {
        self.run = run
        self.patience = patience
        self.opening = opening
        pool = ThreadPool(threads: run.threads)
    }

    /// Calls `body` with the lock that `use` needs. It is taken when the repository is first needed, which may be on another thread: so
    /// opening and locking go on beside other work. Inside another `locking`, whose lock must suffice, it only calls `body`.
    package func locking<R>(_ use: Use, for verb: String, _ body: () throws -> R) throws -> R {
        let isInner = locking.withLock { locking in
            if locking != nil { return true }
            locking = Locking(use: use, verb: verb)
            return false
        }
        if isInner { return try body() }
        // What was read before may be gone.
        if use == .removing { forget() }
        defer {
            let lock = locking.withLock { locking in
                defer { locking = nil }
                return locking?.lock
            }
            lock?.abandon()
        }
        do {
            return try body()
        } catch {
            // That the lock was lost is why, whatever came of it.
            throw locking.withLock { $0?.lock?.failure } ?? error
        }
    }

    func repository() throws -> Repository {
        try locking.withLock { locking in
            guard let current = locking else { return try opening() }
            if let repository = current.repository { return repository }
            let repository = try opening()
            let lock = try lock(repository, for: current)
            locking?.lock = lock
            let usable = lock?.guarded ?? repository
            locking?.repository = usable
            return usable
        }
    }

    private func lock(_ repository: Repository, for locking: Locking) throws -> RepositoryLock? {
        let kind: LockKind = locking.use == .removing ? .exclusive : .shared
        do {
            let lock = try repository.lock(kind, for: locking.verb, patience: patience, in: run)
            do {
                if kind == .exclusive { try lock.confirm() }
                return lock
            } catch {
                lock.abandon()
                throw error
            }
        } catch let error as StorageError {
            guard locking.use == .reading, error.forbidsLocks else {
                throw error.code == .noSpace ? .noRoomForLock(in: repository.backend.place) : BackupError(error)
            }
            run.report(error.tellsOfMissingLock(in: repository.backend.place))
            return nil
        }
    }

    /// All snapshots that can be read, the oldest first.
    func snapshots() throws -> [Repository.StoredSnapshot] {
        if let known = known.withLock({ $0.snapshots }) { return known }
        let (snapshots, unreadable) = try repository().allSnapshots(on: pool)
        warn(unreadable.map(\.finding))
        known.withLock { ($0.snapshots, $0.unreadableSnapshots) = (snapshots, unreadable) }
        return snapshots
    }

    /// The snapshots that cannot be read, of which nothing is known but their IDs.
    func unreadableSnapshots() throws -> [UnreadableDocument] {
        _ = try snapshots()
        return known.withLock { $0.unreadableSnapshots }
    }

    /// Where all blobs are. Snapshots are read before: those that others add meanwhile may name blobs that it does not have.
    func index() throws -> BlobIndex {
        if let known = known.withLock({ $0.index }) { return known }
        _ = try snapshots()
        let (index, findings) = try repository().index(on: pool)
        warn(findings)
        known.withLock { $0.index = index }
        return index
    }

    /// After a change all is read again.
    func forget() { known.withLock { $0 = Known() } }

    private func warn(_ findings: [Finding]) {
        for finding in findings { run.report(.warning("\(finding.subject) is damaged: \(finding.message)")) }
    }
}
