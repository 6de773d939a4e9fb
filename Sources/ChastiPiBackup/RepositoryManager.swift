import Model
import Workers

/// One repository: every verb of `chastipi-backup repository`, as a method. It needs no app.
///
/// Nothing is opened or changed until a verb is called; each takes the lock that it needs and gives it back. All errors are
/// ``BackupError``s with a message for people, or come from the closures that are passed in.
///
/// ```swift
/// let manager = RepositoryManager(try RepositoryPlace(location: "/mnt/usb/repository"), run: run)
/// let result = try manager.check(.everyByte)
/// ```
public struct RepositoryManager: Sendable {
    public let place: RepositoryPlace
    /// For how many seconds a lock that somebody else holds is tried for again.
    let patience: Int
    let run: RunContext
    let pool: ThreadPool
    let opening: RepositoryOpening

    public init(_ place: RepositoryPlace, patience: Int = 0, run: RunContext) {
        self.place = place
        self.patience = patience
        self.run = run
        pool = ThreadPool(threads: run.threads)
        opening = RepositoryOpening(place, run: run)
    }

    /// What ``create(_:)`` would make; the password is read, or asked for, all the same.
    public func previewCreate(_ request: NewRepositoryRequest) throws -> NewRepositoryResult {
        try BackupManager.reporting { try RepositoryMaking(place: place, request: request, run: run).preview() }
    }

    /// Makes the repository, where there is none.
    public func create(_ request: NewRepositoryRequest) throws -> NewRepositoryResult {
        try BackupManager.reporting { try RepositoryMaking(place: place, request: request, run: run).make() }
    }
}
