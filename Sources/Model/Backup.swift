/// How a backup is kept.
public enum BackupFormat: String, Sendable, CaseIterable {
    case folder
    case zip
    /// In a repository of restic's.
    case repository

    /// Those that lie in a backup directory.
    package static let local: [BackupFormat] = [.folder, .zip]

    /// Whether backups of this format hold entries of the kind; others are named instead. Nothing of a socket could be kept.
    package func holds(_ kind: EntryKind) -> Bool {
        switch self {
        case .folder, .zip: kind.isOrdinary
        case .repository: kind != .socket
        }
    }

    /// What a backup is called in its backup directory, or in what is known beside its backups.
    package func fileName(of name: BackupName) -> String {
        switch self {
        case .folder: name.text
        case .zip: name.text + ".zip"
        case .repository: name.text + ".snapshot"
        }
    }
}

/// Why a backup was made.
public enum BackupTrigger: String, Sendable, CaseIterable {
    /// By hand, by a script, or by the library.
    case manual
    /// Before an update (`auto`).
    case auto
    /// The safety backup before a restore (promise 9).
    case preRestore = "pre-restore"
}

/// A backup as a listing shows it: known without reading its content.
public struct Backup: Sendable {
    /// What is known of its integrity.
    public enum State: Sendable, Equatable {
        /// Nobody has read it back yet.
        case unverified
        /// Every byte was as recorded, at that time.
        case verified(Timestamp)
        /// Something is wrong: a clause.
        case damaged(String)
    }

    /// What it was made by.
    public enum Origin: Sendable, Equatable {
        case ours
        /// By the original Python tool: there is no manifest.
        case original
        /// By neither: someone packed an app.
        case plain
    }

    public var name: BackupName
    /// What it was called when it was made, if that is the name of another one here.
    public var givenName: BackupName?
    public var format: BackupFormat
    public var origin: Origin
    public var time: LocalTime
    public var trigger: BackupTrigger
    public var tags: [String]
    public var state: State
    /// Whether something could not be read when it was made.
    public var isIncomplete: Bool
    /// Whether only its password opens it.
    public var isEncrypted = false
    /// Entries; nil where nothing tells.
    public var entries: Int?
    /// Bytes of all files, as if nothing were shared; nil where nothing tells.
    public var bytes: UInt64?
    /// Bytes that deleting it alone would free; nil where that is not known.
    public var bytesAlone: UInt64?
    /// Bytes that were written for it, and not shared with another; nil where nothing tells.
    public var bytesWritten: UInt64?
    /// Files that were written for it, each a file of its own on the disk; nil where nothing tells.
    public var filesWritten: Int?
    /// When all that it holds was last read anew; backups that share files have the same. Nil where nothing tells.
    public var lastFull: LocalTime?
    /// The hash that ends its manifest, or the ID of its snapshot; nil where nothing seals it.
    public var seal: SHA256Digest?
    /// The repository that it is in: what the configuration calls it, or its path, safe to print; nil elsewhere.
    public var repository: String?
    /// In a repository, which app on which machine it is of: `HOST:PATH`, safe to print. Nil elsewhere.
    public var source: String?
    /// Items that the app had when it was made.
    public var items: [EntryPath] = []
    /// What was left out when it was made: patterns, as text.
    public var excludedItems: [String] = []

    public init(
        name: BackupName, format: BackupFormat, origin: Origin, time: LocalTime, trigger: BackupTrigger = .manual,
        tags: [String] = [], state: State = .unverified, isIncomplete: Bool = false, entries: Int? = nil,
        bytes: UInt64? = nil, bytesAlone: UInt64? = nil, seal: SHA256Digest? = nil
    ) {
        self.name = name
        self.format = format
        self.origin = origin
        self.time = time
        self.trigger = trigger
        self.tags = tags
        self.state = state
        self.isIncomplete = isIncomplete
        self.entries = entries
        self.bytes = bytes
        self.bytesAlone = bytesAlone
        self.seal = seal
    }
}
