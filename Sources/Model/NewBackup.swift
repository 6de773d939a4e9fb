/// How hard a repository compresses what it stores.
public enum RepositoryCompression: String, Sendable, CaseIterable {
    /// As fast as restic's default, and about as small.
    case auto
    case off
    /// Several times slower, for slow lines and small disks.
    case max
}

/// What a new backup is called and what is recorded of how it was made.
public struct NewBackup: Sendable {
    public var name: BackupName
    public var time: LocalTime
    public var trigger: BackupTrigger
    public var tags: [String]
    public var isFull: Bool
    /// What it is encrypted with, if it is.
    public var password: Password?
    /// Of what goes into a repository.
    public var compression = RepositoryCompression.auto

    public init(
        name: BackupName, time: LocalTime, trigger: BackupTrigger = .manual, tags: [String] = [], isFull: Bool = false
    ) {
        self.name = name
        self.time = time
        self.trigger = trigger
        self.tags = tags
        self.isFull = isFull
    }
}
