import Containers
import Disk
import Model
import Workers

/// Where the app and its backups are.
struct AppPlaces: Sendable {
    let appPath: String
    let backupPath: String
    /// Whether the backup directory is the app's own `backups/` and may be made.
    let isDefault: Bool
    let app: Directory
    /// Whether an entry of this name at the top is one that backups of this app hold.
    var isItem: @Sendable (EntryPath) -> Bool = { _ in true }

    init(app: String, backupDirectory: String?) throws {
        appPath = app
        do throws(DiskError) {
            self.app = try Directory(path: app)
        } catch {
            throw BackupError(
                .usage, "cannot open the app's directory \(printable(app.utf8)): \(error.reason)",
                advice: "Name it with --app DIR")
        }
        isDefault = backupDirectory == nil
        backupPath = backupDirectory ?? app + (app.hasSuffix("/") ? "backups" : "/backups")
    }

    /// The backup directory; nil if the app's own does not exist.
    func existingBackups() throws -> Directory? {
        do throws(DiskError) {
            return try Directory(path: backupPath)
        } catch {
            if error.code == .notDirectory {
                throw BackupError(
                    .system, "the backup directory \(printable(backupPath.utf8)) is not a directory",
                    advice: "Name another with --backup-dir")
            }
            guard error.code == .notFound else { throw error }
            guard isDefault else {
                // "No backups found" would be said of a disk that is not mounted.
                throw BackupError(
                    .system, "the backup directory \(printable(backupPath.utf8)) does not exist",
                    advice: "Is its disk mounted? Else make it with mkdir")
            }
            return nil
        }
    }

    /// The backup directory, made if it is the app's own.
    func backups() throws -> Directory {
        if let existing = try existingBackups() { return existing }
        let made = try app.directory(making: "backups".utf8)
        try app.fsync()
        return made
    }

    /// What is never part of a backup, wherever it lies (promise 4).
    func containers() throws -> Set<FileIdentity> {
        guard let backups = try existingBackups() else { return [] }
        return [try backups.status().identity]
    }
}

extension AppPlaces {
    /// Opens the backup that `text` names: a name, `latest`, or a path.
    func open(_ text: String, pool: ThreadPool, in run: RunContext) throws -> FoundBackup {
        guard text.contains("/") else {
            guard let directory = try existingBackups() else { throw BackupError.noBackup(text) }
            return try LocalBackups(directory, isItem: isItem, pool: pool, in: run).open(text)
        }
        let contents = try LocalBackups.open(path: text, isItem: isItem, in: run)
        var isTrusted = false
        if contents.manifest != nil, let backups = try existingBackups() {
            let file = Array((text.split(separator: "/").last ?? "").utf8)
            isTrusted = try backups.status(of: file)?.identity == contents.identity
        }
        return FoundBackup(name: contents.name, contents: contents, isTrusted: isTrusted, place: nil)
    }
}
