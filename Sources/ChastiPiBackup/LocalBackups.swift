import Containers
import Disk
import FolderFormat
import Model
import Workers
import ZipFormat

/// The backups of one backup directory, in whatever format: the one place that names the formats.
struct LocalBackups: Sendable {
    let place: BackupDirectory
    /// What shares files with the backup before.
    typealias Folders = FolderContainer
    /// Folders alone share files with the backup before.
    let folders: FolderContainer
    private let containers: [any Container]
    private let run: RunContext

    /// `isItem`: see ``ZipContents/Surroundings``.
    init(
        _ directory: Directory, isItem: @escaping @Sendable (EntryPath) -> Bool, pool: ThreadPool, in run: RunContext
    ) {
        place = BackupDirectory(directory, in: run)
        folders = FolderContainer(place, pool: pool, in: run)
        let surroundings = ZipContents.Surroundings(in: run, isItem: isItem)
        containers = [folders, ZipContainer(place, surroundings, pool: pool, in: run)]
        self.run = run
    }

    func container(for format: BackupFormat) -> any Container {
        containers.first { $0.format == format } ?? folders
    }

    /// All backups of all formats; content is not read, sizes are not measured.
    func backups() throws -> BackupListing {
        var all = BackupListing()
        for container in containers {
            let listing = try container.backups()
            all.backups += listing.backups
            all.foreign += listing.foreign
        }
        return all
    }

    /// Fills in what deleting each alone would free. Returns what all occupy together.
    func measure(_ backups: inout [Backup]) throws -> UInt64 {
        var together: UInt64 = 0
        for container in containers {
            let sizes = try container.sizes(of: backups.filter { $0.format == container.format })
            for index in backups.indices where backups[index].format == container.format {
                backups[index].bytesAlone = sizes.alone[backups[index].name.text]
            }
            together.add(saturating: sizes.together)
        }
        return together
    }

    func remove(_ backup: Backup) throws { try container(for: backup.format).remove(backup.name) }
}

// Finding one.
extension LocalBackups {
    /// The backup behind `NAME`, `FORMAT:NAME` or `latest`.
    func find(_ text: String) throws -> (name: BackupName, container: any Container) {
        if text == "latest" {
            let latest = try latest()
            return (latest.name, container(for: latest.format))
        }
        if let name = try zipName(text) { return (name, container(for: .zip)) }
        let form = BackupFormat.allCases.first { text.hasPrefix("\($0.rawValue):") }
        let plain = form.map { String(text.dropFirst($0.rawValue.count + 1)) } ?? text
        let name: BackupName
        do throws(BackupNameError) { name = try BackupName(plain) } catch { throw BackupError.noBackup(text) }
        let found = try containers.filter { try (form == nil || $0.format == form) && $0.isTaken(name) }
        guard let first = found.first else { throw BackupError.noBackup(text) }
        guard found.count == 1 else {
            let forms = found.map { "'\($0.format.rawValue):\(name)'" }.joined(separator: " and ")
            throw BackupError(
                .usage, "there are \(found.count) backups named '\(name)'", advice: "Say which: \(forms)")
        }
        return (name, first)
    }

    /// `NAME.zip` is a file that the user sees; unless a folder is called that.
    private func zipName(_ text: String) throws -> BackupName? {
        guard text.hasSuffix(".zip"), try place.directory.status(of: text.utf8)?.kind == .file else { return nil }
        do throws(BackupNameError) { return try BackupName(String(text.dropLast(4))) } catch { return nil }
    }

    /// The newest complete, undamaged backup of `backups` that is no safety backup (promise 12); nil if there is none.
    ///
    /// One from the future only if there is no other: a run with a wrong date must not make its backup the newest for ever.
    func newestComplete(of backups: [Backup]) -> Backup? {
        let candidates = backups.filter { backup in
            if case .damaged = backup.state { return false }
            return !backup.isIncomplete && backup.trigger != .preRestore
        }
        let tomorrow = run.now().moment.adding(seconds: 86_400)
        let past = candidates.filter { $0.time.moment <= tomorrow }
        return (past.isEmpty ? candidates : past).max { $0.isOlder(than: $1) }
    }

    private func latest() throws -> Backup {
        guard let newest = newestComplete(of: try backups().backups) else {
            throw BackupError(.notFound, "there is no complete, undamaged backup yet", advice: "'create' makes one")
        }
        return newest
    }
}

extension Backup {
    /// Earlier in the order of backups; names decide between equal times.
    func isOlder(than other: Backup) -> Bool {
        (time.moment, name) < (other.time.moment, other.name)
    }
}

/// A backup that was found by what the user called it.
struct FoundBackup {
    let name: String
    let contents: any BackupContents
    /// Whether owners and set-id bits of it may be taken over: it has our manifest and lies where our backups lie
    /// (promise 11).
    let isTrusted: Bool
    /// Where it lies, if it was found by its name, and what it is called there.
    let place: (directory: Directory, file: String)?

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
        guard let place, try place.directory.status(of: place.file.utf8)?.identity != contents.identity else { return }
        throw BackupError(
            .notFound, "the backup '\(name)' was deleted while it was read", advice: "'list' shows those there are")
    }
}

extension LocalBackups {
    /// Opens the backup that `text` names.
    func open(_ text: String) throws -> FoundBackup {
        let (name, container) = try find(text)
        let contents = try container.contents(of: name)
        return FoundBackup(
            name: name.text, contents: contents, isTrusted: contents.manifest != nil,
            place: (place.directory, container.format.fileName(of: name)))
    }

    /// Opens the backup at `path`, wherever it lies.
    static func open(
        path: String, isItem: @escaping @Sendable (EntryPath) -> Bool, in run: RunContext
    ) throws -> any BackupContents {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let file = trimmed.split(separator: "/").last ?? ""
        do {
            let directory = try Directory(path: String(trimmed))
            return try FolderContents(printable(file.utf8), in: directory, offset: run.clock.offset)
        } catch let error as DiskError where [.notFound, .notDirectory].contains(error.code) {
            // Perhaps a file.
        }
        let above = trimmed.dropLast(file.utf8.count)
        do {
            let directory = try Directory(path: above.isEmpty ? "." : String(above))
            guard try directory.status(of: file.utf8)?.kind == .file else { throw noBackup(at: path) }
            let name = file.hasSuffix(".zip") ? file.dropLast(4) : file
            return try ZipContents(
                printable(name.utf8), try OpenFile(file.utf8, in: directory),
                .init(in: run, isItem: isItem))
        } catch let error as DiskError where [.notFound, .notDirectory].contains(error.code) {
            throw noBackup(at: path)
        }
    }

    private static func noBackup(at path: String) -> BackupError {
        BackupError(.notFound, "there is no backup at \(printable(path.utf8))")
    }
}
