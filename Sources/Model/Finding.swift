/// Something that a verification found. Damage is data: a container with a hundred damaged files has a hundred findings.
public struct Finding: Hashable, Sendable {
    public enum Severity: String, Sendable, Codable {
        /// Worth knowing; nothing is lost.
        case note
        /// Bytes or attributes differ from what was backed up.
        case damage
    }

    public var severity: Severity
    /// The path or the file that it is about, safe to print.
    public var subject: String
    /// What is wrong with it: a clause.
    public var message: String

    public init(_ severity: Severity, _ subject: String, _ message: String) {
        self.severity = severity
        self.subject = subject
        self.message = message
    }
}

/// An entry that a run could not read or keep, with the reason.
public struct Skipped: Hashable, Sendable {
    public var path: EntryPath
    /// A clause, such as `permission denied`.
    public var reason: String
    /// Whether the backup holds the entry all the same, with content that changed while it was read.
    public var isKept: Bool
    /// What programs can tell it by, where there is a word for it.
    public var code: Code?

    public enum Code: String, Sendable {
        /// A database that could not be copied consistently: it is in the backup as its files were.
        case liveDatabase = "live_database"
    }

    public init(path: EntryPath, reason: String, isKept: Bool = false, code: Code? = nil) {
        self.path = path
        self.reason = reason
        self.isKept = isKept
        self.code = code
    }
}
