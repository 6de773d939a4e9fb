/// What a new backup is called and what is recorded of how it was made.
public struct NewBackup: Sendable {
    public var name: BackupName
    public var time: LocalTime
    public var trigger: BackupTrigger
    public var tags: [String]
    public var isFull: Bool
    /// What it is encrypted with, if it is.
    public var password: Password?

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
