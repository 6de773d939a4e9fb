import Disk
import Model

/// A place that holds backups of one format. What formats share stands here; which of them there are only the library's
/// ``AppBackups`` knows.
package protocol Container: Sendable {
    var format: BackupFormat { get }

    /// Whether something stands where the backup of this name would.
    func isTaken(_ name: BackupName) throws -> Bool

    /// All backups, from what can be known without reading their content.
    func backups() throws -> BackupListing

    /// Opens a backup. Throws ``BackupError`` with code `notFound`, `damaged`, `refused` or `wrongPassword`.
    func contents(of name: BackupName) throws -> any BackupContents

    /// What is wrong with an encrypted backup, as far as that can be told without its password: its structure, and if `isWhole`
    /// all its bytes.
    func findingsWithoutPassword(of name: BackupName, isWhole: Bool) throws -> [Finding]

    /// Writes a backup: visible under its name only when it is complete and durable (promise 1). The backup directory's
    /// lock is held, and the name is free.
    func write(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup

    /// What backups of this container occupy. `backups` are those of ``backups()``.
    func sizes(of backups: [Backup]) throws -> BackupSizes

    /// The name of the backup that `text`, which a user typed, means here; nil if there is none.
    func name(of text: String) throws -> BackupName?

    /// Removes a backup whole (promise 13). The backup directory's lock is held.
    func remove(_ name: BackupName) throws

    /// Frees what removed backups alone needed, where removing them did not.
    func reclaim() throws
}

extension Container {
    package func reclaim() throws {}

    package func name(of text: String) throws -> BackupName? {
        let name: BackupName
        do throws(BackupNameError) { name = try BackupName(text) } catch { return nil }
        return try isTaken(name) ? name : nil
    }

    package func findingsWithoutPassword(of name: BackupName, isWhole: Bool) throws -> [Finding] { [] }
}

/// What is recorded in a new backup besides what the writing itself tells.
package struct Recording: Sendable {
    package var items: [EntryPath]
    package var excludedItems: [String]
    package var details: BackupMetadata.Details
    /// What the next backup needs to know of the databases; nil if there was no file that could be one.
    package var databases: DatabaseStates?
    /// What makes the backup durable, if its first bytes are on the disk already.
    package var durability: Durability?

    package init(items: [EntryPath], excludedItems: [String], details: BackupMetadata.Details) {
        self.items = items
        self.excludedItems = excludedItems
        self.details = details
    }
}

/// What was made.
package struct CreatedBackup: Sendable {
    package let backup: Backup
    package let metadata: BackupMetadata

    package init(_ backup: Backup, _ metadata: BackupMetadata) {
        self.backup = backup
        self.metadata = metadata
    }
}

package struct BackupListing: Sendable {
    /// In no particular order.
    package var backups: [Backup] = []
    /// What looks like a backup and is none, with the reason.
    package var foreign: [(name: String, reason: String)] = []

    package init() {}
}

/// What backups occupy: folders share files by hard links.
package struct BackupSizes: Sendable {
    /// What deleting a backup alone would free, by name.
    package var alone: [String: UInt64] = [:]
    /// What all backups occupy together.
    package var together: UInt64 = 0

    package init() {}
}
