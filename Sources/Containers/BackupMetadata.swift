import Model

/// `backup_metadata.json`: `Documentation/Formats/metadata.md` has the keys. The original tool's keys keep its meaning.
package struct BackupMetadata: Sendable {
    package static let fileName = "backup_metadata.json"

    /// What the original wrote into each backup.
    package var backupName: String
    /// Its `created_at`, or our `time`: decides the order of backups.
    package var time: LocalTime
    /// Items that the app had, as paths.
    package var items: [EntryPath]
    package var excludedItems: [String]
    /// Nil for a backup of the original tool.
    package var details: Details?

    /// How the backup was kept when this was written.
    package var format = BackupFormat.folder

    /// What the original did not know.
    package struct Details: Sendable {
        package struct Rule: Sendable, Equatable {
            package var pattern: [UInt8]
            package var origin: String

            package init(pattern: [UInt8], origin: String) {
                self.pattern = pattern
                self.origin = origin
            }
        }

        package var host = ""
        package var toolVersion = ""
        package var trigger = BackupTrigger.manual
        package var tags: [String] = []
        package var absentItems: [String] = []
        package var rules: [Rule] = []
        package var skipped: [Skipped] = []
        package var databases: [StoredDatabase] = []
        /// Entries that the backup holds.
        package var entries = 0
        package var files = 0
        package var bytes: UInt64 = 0
        package var bytesWritten: UInt64 = 0
        package var sharedFiles = 0
        /// The backup that files are shared with.
        package var parent: String?
        package var sharing = Sharing.none
        package var isFull = false
        /// When everything was last read: rot in shared files cannot be older.
        package var lastFull: LocalTime?
        package var milliseconds: UInt64 = 0

        /// Whether the backup is encrypted.
        package var isEncrypted = false
        /// Whether something was skipped that stands elsewhere: see ``BackupMetadata/withheld``.
        package var isIncompleteElsewhere = false

        package init() {}

        package var isIncomplete: Bool { !skipped.isEmpty || isIncompleteElsewhere }
    }

    /// How files are shared with the parent.
    package enum Sharing: String, Sendable {
        case none, reflink
        case hardLink = "hard_link"
    }

    package init(backupName: String, time: LocalTime, items: [EntryPath], excludedItems: [String], details: Details?) {
        self.backupName = backupName
        self.time = time
        self.items = items
        self.excludedItems = excludedItems
        self.details = details
    }
}

extension BackupMetadata {
    /// What of it stays readable where the backup is encrypted: all but names of files and patterns, which stand in the
    /// encrypted manifest.
    package var withheld: BackupMetadata {
        var open = self
        (open.items, open.excludedItems) = ([], [])
        guard var details else { return open }
        details.isIncompleteElsewhere = details.isIncomplete
        (details.absentItems, details.rules) = ([], [])
        (details.skipped, details.databases) = ([], [])
        open.details = details
        return open
    }
}

extension Backup {
    /// What the metadata tells a listing.
    package mutating func take(_ metadata: BackupMetadata) {
        time = metadata.time
        items = metadata.items
        excludedItems = metadata.excludedItems
        guard let details = metadata.details else { return }
        trigger = details.trigger
        tags = details.tags
        isIncomplete = details.isIncomplete
        isEncrypted = details.isEncrypted
        entries = details.entries
        bytes = details.bytes
        bytesWritten = details.bytesWritten
        let (files, shared) = (details.files, details.sharedFiles)
        // Numbers of a damaged backup can be anything.
        let own = shared >= 0 && files >= shared ? files - shared : 0
        filesWritten = format == .folder ? own : 1
        lastFull = details.lastFull
    }
}

/// Metadata that cannot be used: what is wrong with it, as a clause.
package struct MetadataError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
