import Disk
import FolderFormat
import Model
import Workers

/// Where the app and its backups are.
struct AppPlaces: Sendable {
    let appPath: String
    let backupPath: String
    /// Whether the backup directory is the app's own `backups/` and may be made.
    let isDefault: Bool
    let app: Directory

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
    /// A backup that was found by what the user called it.
    struct Found {
        let name: String
        let contents: FolderContents
        /// Whether owners and set-id bits of it may be taken over: it has our manifest and lies where our backups lie
        /// (promise 11).
        let isTrusted: Bool
        /// The backup directory, if the backup was found there by its name.
        let container: Directory?

        /// Calls `body`, which reads the backup. Damage that it finds because someone deleted the backup meanwhile is none
        /// (promise 15).
        func reading<R>(_ body: () throws -> R) throws -> R {
            do {
                return try body()
            } catch let error as BackupError where error.code == .damaged {
                try checkThere()
                throw error
            }
        }

        /// Fails if the backup is not there any more.
        func checkThere() throws {
            guard let container else { return }
            let there = try container.status(of: name.utf8)
            guard try there?.identity != contents.directory.status().identity else { return }
            throw BackupError(
                .notFound, "the backup '\(name)' was deleted while it was read", advice: "'list' shows those there are")
        }
    }

    /// Opens the backup that `text` names: a name, `latest`, or a path.
    func open(_ text: String, pool: ThreadPool, in run: RunContext) throws -> Found {
        guard !text.contains("/") else { return try openPath(text, in: run) }
        let container = try existing(for: text, pool: pool, in: run)
        let name = try Self.name(text, in: container, now: run.now())
        let contents: FolderContents
        do {
            contents = try container.contents(of: name)
        } catch let error as BackupError where error.code == .damaged {
            // Deleted since it was looked up?
            guard try container.directory.status(of: name.text.utf8) == nil else { throw error }
            throw FolderContainer.notFound(text)
        }
        return Found(
            name: name.text, contents: contents, isTrusted: contents.manifest != nil, container: container.directory)
    }

    private func existing(for text: String, pool: ThreadPool, in run: RunContext) throws -> FolderContainer {
        guard let directory = try existingBackups() else { throw FolderContainer.notFound(text) }
        return FolderContainer(directory, pool: pool, in: run)
    }

    /// The name behind `NAME`, `folder:NAME` or `latest`.
    static func name(_ text: String, in container: FolderContainer, now: LocalTime) throws -> BackupName {
        if text == "latest" { return try latest(in: container, now: now) }
        let plain = text.hasPrefix("folder:") ? String(text.dropFirst("folder:".count)) : text
        do throws(BackupNameError) {
            return try BackupName(plain)
        } catch {
            throw FolderContainer.notFound(text)
        }
    }

    /// The newest complete, undamaged backup that is no safety backup (promise 12).
    ///
    /// One from the future only if there is no other: a run with a wrong date must not make its backup the newest for ever.
    private static func latest(in container: FolderContainer, now: LocalTime) throws -> BackupName {
        let candidates = try container.backups().backups.filter { backup in
            if case .damaged = backup.state { return false }
            return !backup.isIncomplete && backup.trigger != .preRestore
        }
        let tomorrow = now.moment.adding(seconds: 86_400)
        let past = candidates.filter { $0.time.moment <= tomorrow }
        guard let newest = (past.isEmpty ? candidates : past).max(by: { $0.isOlder(than: $1) }) else {
            throw BackupError(.notFound, "there is no complete, undamaged backup yet", advice: "'create' makes one")
        }
        return newest.name
    }

    private func openPath(_ path: String, in run: RunContext) throws -> Found {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let name = String(trimmed.split(separator: "/").last ?? "")
        let directory: Directory
        do throws(DiskError) {
            directory = try Directory(path: String(trimmed))
        } catch {
            guard [.notFound, .notDirectory].contains(error.code) else { throw error }
            throw BackupError(.notFound, "there is no folder backup at \(printable(path.utf8))")
        }
        let contents = try FolderContents(printable(name.utf8), in: directory, offset: run.clock.offset)
        var isTrusted = false
        if contents.manifest != nil, let backups = try existingBackups(),
            let ours = try backups.status(of: name.utf8), ours.identity == (try directory.status().identity)
        {
            isTrusted = true
        }
        return Found(name: printable(name.utf8), contents: contents, isTrusted: isTrusted, container: nil)
    }
}

extension Backup {
    /// Earlier in the order of backups; names decide between equal times.
    func isOlder(than other: Backup) -> Bool {
        (time.moment, name) < (other.time.moment, other.name)
    }
}
