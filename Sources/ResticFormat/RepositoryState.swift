import Model
import Storage
import Synchronization
import Workers

/// A repository that a run works on: opened when it is first needed, and what was read of it.
package final class RepositoryState: Sendable {
    private struct Known {
        var snapshots: [Repository.StoredSnapshot]?
        var index: BlobIndex?
    }

    private let opening: @Sendable () throws -> Repository
    private let run: RunContext
    /// Its own threads: a repository is read beside the walk of the app.
    let pool: ThreadPool
    private let known = Mutex(Known())

    /// `opening` opens the repository, which may take a second; it is called again each time.
    package init(in run: RunContext, opening: @escaping @Sendable () throws -> Repository) {
        self.run = run
        self.opening = opening
        pool = ThreadPool(threads: run.threads)
    }

    func repository() throws -> Repository { try opening() }

    /// All snapshots that can be read, the oldest first.
    func snapshots() throws -> [Repository.StoredSnapshot] {
        if let known = known.withLock({ $0.snapshots }) { return known }
        let (snapshots, findings) = try repository().snapshots(on: pool)
        warn(findings)
        known.withLock { $0.snapshots = snapshots }
        return snapshots
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
