import Model
import ResticFormat
import Storage

/// Who uses a repository, as its lock says.
public struct RepositoryUser: Sendable {
    /// Of the lock: 64 hexadecimal digits.
    public let id: String
    /// `user@host (process 7, create)`, safe to print.
    public let holder: String
    /// Whether nobody else may use the repository meanwhile.
    public let isExclusive: Bool
    /// When the lock was last refreshed.
    public let time: LocalTime

    init(_ stored: StoredLock) {
        id = stored.id.hex
        holder = stored.lock.holder
        isExclusive = stored.lock.kind == .exclusive
        time = stored.lock.time
    }
}

/// Which locks `unlock` removes.
public enum UnlockExtent: Sendable {
    /// Those that nobody has refreshed for half an hour, or whose process, on this computer, is not there.
    case leftBehind
    /// All of them: only where nobody uses the repository.
    case everything

    fileprivate var removal: LockRemoval { self == .everything ? .all : .stale }
}

/// What ``RepositoryManager/unlock(_:)`` did, or would do.
public struct UnlockOutcome: Sendable {
    public let removed: [RepositoryUser]
    /// IDs of files that are gone, and could not be read as locks.
    public let removedUnread: [String]
    /// Locks that are in use, as far as that can be known.
    public let kept: [RepositoryUser]
    /// Files that stay and cannot be read.
    public let findings: [Finding]

    fileprivate init(_ result: UnlockResult) {
        removed = result.removed.map { RepositoryUser($0) }
        removedUnread = result.removedUnread.map(\.hex)
        kept = result.kept.map { RepositoryUser($0) }
        findings = result.findings
    }
}

extension RepositoryManager {
    /// What ``unlock(_:)`` would do.
    public func previewUnlock(_ extent: UnlockExtent) throws -> UnlockOutcome {
        try BackupManager.reporting { UnlockOutcome(try opening.open().unlockPlan(extent.removal, in: run)) }
    }

    /// Removes locks that dead runs have left behind.
    public func unlock(_ extent: UnlockExtent) throws -> UnlockOutcome {
        try BackupManager.reporting { UnlockOutcome(try opening.open().unlock(extent.removal, in: run)) }
    }

    /// Does `body` with the opened repository, locked. Under a shared lock others may add backups meanwhile.
    func locked<R>(_ kind: LockKind, for verb: String, _ body: (Repository) throws -> R) throws -> R {
        try BackupManager.reporting(
            interrupted: "what was done so far stays, and no backup has lost anything: run it again to go on"
        ) {
            try opening.open().withLock(kind, for: verb, patience: patience, in: run) { try body($0.guarded) }
        }
    }

    /// The same for who only reads, under a shared lock; without one where none can be made, as on a disk that is mounted for reading.
    func reading<R>(for verb: String, _ body: (Repository) throws -> R) throws -> R {
        try BackupManager.reporting {
            let repository = try opening.open()
            let lock: RepositoryLock?
            do {
                lock = try repository.lock(.shared, for: verb, patience: patience, in: run)
            } catch let error as StorageError {
                guard error.forbidsLocks else { throw error }
                run.report(error.tellsOfMissingLock(in: place.shownPath))
                lock = nil
            }
            defer { lock?.abandon() }
            do {
                return try body(lock?.guarded ?? repository)
            } catch {
                throw lock?.failure ?? error
            }
        }
    }
}
