import Model

/// What an app has at its top level that no item covers and no rule excludes.
public struct Uncovered: Sendable, Equatable {
    public let path: EntryPath
    public let bytes: UInt64
}

/// What `create` made, or, for a dry run, would make.
public struct CreateResult: Sendable {
    public let backup: Backup
    /// Entries that could not be read or kept. The backup is incomplete if there are any.
    public let skipped: [Skipped]
    /// Items that the app does not have, as written.
    public let absentItems: [String]
    public let uncovered: [Uncovered]
    /// Files that were taken over from the previous backup without reading them.
    public let sharedFiles: Int
    /// Bytes that were written.
    public let bytesWritten: UInt64
    /// What reading it back found, if that was asked for.
    public let findings: [Finding]
}

/// A backup that was copied, or, for a dry run, would be.
public struct CopiedBackup: Sendable {
    /// What was copied.
    public let source: String
    public let backup: Backup
    /// Bytes that were written.
    public let bytesWritten: UInt64
    /// What the backup holds and the copy's format does not.
    public let notHeld: [Skipped]
}

/// What lies in a backup directory.
public struct BackupList: Sendable {
    /// Newest first.
    public let backups: [Backup]
    /// What looks like a backup and is none, with the reason.
    public let foreign: [(name: String, reason: String)]
    /// Bytes that all backups occupy together.
    public let bytesTogether: UInt64
    /// Whether a restore was interrupted and waits for `recover`.
    public let isRecoveryPending: Bool
}

/// One backup with all that is known of it.
public struct BackupDetails: Sendable {
    public struct Entry: Sendable {
        public let path: EntryPath
        public let kind: EntryKind
        public let bytes: UInt64
        public let modified: Timestamp
        public let mode: UInt16
    }

    /// An SQLite database in the backup.
    public struct Database: Sendable {
        public let path: EntryPath
        public let pages: UInt64
        /// In bytes.
        public let pageSize: UInt64
        /// `wal`, `rollback` or `unknown`.
        public let journalMode: String
        /// `online`, `quiescent` or `raw`.
        public let copied: String
    }

    public let backup: Backup
    /// Keys and values of the metadata, in order, as text.
    public let metadata: [(key: String, value: String)]
    public let skipped: [Skipped]
    /// Items at the top of the backup: path, entries, bytes.
    public let contents: [(path: EntryPath, entries: Int, bytes: UInt64)]
    /// Every entry, if that was asked for.
    public let entries: [Entry]
    public let uncovered: [Uncovered]
    public let databases: [Database]
}

/// What `verify` found in one backup.
public struct Verification: Sendable {
    public let backup: Backup
    public let findings: [Finding]
    /// Files and bytes that were read.
    public let files: Int
    public let bytes: UInt64
    /// Why it could not be read, as where its password is missing or wrong, or where it was deleted meanwhile.
    public var failure: (code: BackupError.Code, message: String)?

    public var isDamaged: Bool { findings.contains { $0.severity == .damage } }
}

/// How a restore, an undo or a recovery ended, where it ended well.
public struct RestoreResult: Sendable {
    public enum Ending: Sendable, Equatable {
        /// Everything was right already.
        case nothingToDo
        /// The user said no; nothing was changed.
        case declined
        /// The new tree is in place.
        case done
        /// After a failure only going on was possible: the new tree is in place.
        case doneDespite(String)
        /// A recovery took back what a crash had interrupted.
        case takenBack
    }

    public var ending: Ending
    /// The safety backup, if one was made.
    public var safetyBackup: BackupName?
    /// What could not be set or was left alone, as clauses: the restore is done, but not completely.
    public var notKept: [String] = []
    /// Entries that were found where they belonged to neither tree: path, and where they are kept.
    public var conflicts: [(path: EntryPath, keptAt: String)] = []
    public var warnings: [String] = []
    public var isComplete: Bool { notKept.isEmpty && conflicts.isEmpty }
}

/// What `undo` will exchange.
public struct UndoPreview: Sendable {
    /// Whether it takes the restore back; else it brings it again.
    public let isUndo: Bool
    /// The name of the backup that was restored.
    public let backup: String
    public let changes: [(path: EntryPath, action: RestorePlan.Action)]
    /// Paths that were changed since: they are kept, and the next undo brings them back.
    public let changedSince: [EntryPath]
}

/// What `undo --discard` gives up.
public struct DiscardPreview: Sendable {
    /// Entries that are kept for an undo, and what was found in nobody's tree; with sizes.
    public let kept: [(path: String, bytes: UInt64)]
}

/// What `delete` will remove.
public struct DeletePreview: Sendable {
    public let backups: [Backup]
    /// Bytes that this frees, as far as that is known; nil for a repository, where only a preview finds it out.
    public let bytesFreed: UInt64?
}

/// What `delete` removed.
public struct DeleteResult: Sendable {
    public let deleted: [BackupName]
    public let wasDeclined: Bool
}
