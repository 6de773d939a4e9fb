import Model

/// What differs between two states of an app.
public struct BackupDifference: Sendable {
    public enum Kind: String, Sendable {
        case added, removed, changed
    }

    public struct Change: Sendable {
        public let path: EntryPath
        public let kind: Kind
        /// What is different: `content`, `mode`, `owner`, `time`, `kind`, `target`, `attributes`. Empty unless changed.
        public let what: [String]
        /// Bytes before and after; nil where there is no such entry.
        public let bytesBefore: UInt64?
        public let bytesAfter: UInt64?
    }

    /// The two states, as they were named; the second may be `the app`.
    public let before: String
    public let after: String
    /// In path order.
    public let changes: [Change]
    /// What could not be read, with the reason.
    public let unread: [Skipped]
}
