import Model

/// What `create` is asked for. What is left at its default comes from the configuration.
public struct CreateRequest: Sendable {
    /// The new backup's name; by default one made of the time.
    public var name: BackupName?
    public var trigger: BackupTrigger = .manual
    /// By default what the configuration says.
    public var format: BackupFormat?
    public var includesLogs = false
    /// Instead of the configured items, if there are any.
    public var items: [String] = []
    /// Besides the configured exclusions, in gitignore's syntax.
    public var exclude: [String] = []
    public var usesDefaultExclusions = true
    /// Besides the configured tags.
    public var tags: [String] = []
    /// Reads everything and shares nothing with the previous backup.
    public var isFull = false
    /// Reads the finished backup back.
    public var verifies = false
    /// How hard a repository compresses; only for those.
    public var compression: RepositoryCompression?
    /// Encrypts it, which only a zip can be. A zip is encrypted also where the run knows a password already.
    public var encrypts = false

    public init() {}
}

/// What `copy` is asked for. The copies go to the manager's backup directory, or to a repository; what is copied is looked for in the app's own
/// first.
public struct CopyRequest: Sendable {
    /// Names, `latest` or paths.
    public var backups: [String]
    public var format: BackupFormat
    /// Where the format is `repository`: its path, or its name in the configuration; by default the usual one of the configuration.
    public var repository: String?
    /// Takes over owners and set-id bits also from a backup of unknown origin.
    public var trusts = false
    /// Encrypts the copies, which only zips can be. Zips are encrypted also where the run knows a password already.
    public var encrypts = false
    /// The copy's name, if there is but one; by default the backup's own.
    public var name: BackupName?

    public init(_ backups: [String], to format: BackupFormat) {
        self.backups = backups
        self.format = format
    }
}

/// What `restore` is asked for.
public struct RestoreRequest: Sendable {
    /// A backup's name, `latest`, or the path of a backup anywhere.
    public var backup: String
    /// Paths to bring back; everything if empty.
    public var only: [String] = []
    public var includesLogs = false
    public var skipsSafetyBackup = false
    /// Removes what the backup does not hold, also where it has no manifest.
    public var deletesExtra = false
    /// Takes over owners and set-id bits also from a backup of unknown origin.
    public var trusts = false
    /// Restores also while processes have open what is replaced.
    public var isLive = false

    public init(backup: String) {
        self.backup = backup
    }
}

/// What `verify` is asked for.
public struct VerifyRequest: Sendable {
    /// Names, `latest` or paths; the newest if empty.
    public var backups: [String] = []
    public var all = false
    /// Of the files' content, how much is read: more than 0, at most 100.
    public var percent: Double = 100
    /// A directory for copies of databases, each of which SQLite looks through (`integrity_check`); nil for not.
    public var databaseScratch: String?

    public init() {}
}
