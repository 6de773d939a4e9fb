import Model

extension Skipped {
    /// A file that is read as it is, and turns out to begin as a database does.
    package static func unknownDatabase(_ path: EntryPath) -> Skipped {
        Skipped(
            path: path, reason: "live database: it was none when the backup began, or is cut off; it is saved as it is",
            isKept: true, code: .liveDatabase)
    }
}

/// An SQLite database that a backup holds.
package struct StoredDatabase: Sendable, Equatable {
    /// How its content was taken.
    package enum Way: String, Sendable {
        /// By SQLite's online backup, while others may have written.
        case online
        /// As files, while nobody had it open; its log was taken over into it.
        case quiescent
        /// As files with their companions: consistent only if nobody wrote.
        case raw
    }

    package let path: EntryPath
    package let pages: UInt64
    /// In bytes.
    package let pageSize: UInt64
    /// `wal` or `rollback`.
    package let journalMode: String
    package let way: Way

    package init(path: EntryPath, pages: UInt64, pageSize: UInt64, journalMode: String, way: Way) {
        self.path = path
        self.pages = pages
        self.pageSize = pageSize
        self.journalMode = journalMode
        self.way = way
    }
}
