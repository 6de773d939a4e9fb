import Containers
import Disk
import FolderFormat
import Model
import ResticFormat
import Workers
import ZipFormat

/// The backups of one backup directory, or those of a repository: the one place that names the formats.
struct AppBackups: Sendable {
    /// Where local ones lie, and what is known of others.
    let place: BackupDirectory
    /// What shares files with the backup before.
    typealias Folders = FolderContainer
    /// Folders alone share files with the backup before.
    let folders: FolderContainer
    /// If they are those of a repository.
    let repository: RepositoryContainer?
    private let containers: [any Container]
    private let run: RunContext

    /// Those in `directory`.
    init(
        _ directory: Directory, isItem: @escaping @Sendable (EntryPath) -> Bool, pool: ThreadPool, in run: RunContext
    ) {
        place = BackupDirectory(directory, in: run)
        folders = FolderContainer(place, pool: pool, in: run)
        let surroundings = ZipContents.Surroundings(in: run, isItem: isItem)
        containers = [folders, ZipContainer(place, surroundings, pool: pool, in: run)]
        repository = nil
        self.run = run
    }

    /// Those of a repository; what must be known beside them lies in `directory`.
    init(_ repository: RepositoryContainer, beside directory: Directory, pool: ThreadPool, in run: RunContext) {
        place = BackupDirectory(directory, in: run)
        folders = FolderContainer(place, pool: pool, in: run)
        containers = [repository]
        self.repository = repository
        self.run = run
    }

    func container(for format: BackupFormat) -> any Container {
        containers.first { $0.format == format } ?? repository ?? folders
    }

    /// Whether the name of a new backup is taken, in any of the formats.
    func isTaken(_ name: BackupName) throws -> Bool {
        try repository?.isTaken(name) ?? place.isTaken(name)
    }

    func checkFree(_ name: BackupName) throws {
        guard try isTaken(name) else { return }
        throw BackupError(.nameTaken, "there is a backup '\(name)' already", advice: "Choose another --name")
    }

    /// All backups of all formats; content is not read, sizes are not measured.
    func backups() throws -> BackupListing {
        var all = BackupListing()
        for container in containers {
            let listing = try container.backups()
            all.backups += listing.backups
            all.foreign += listing.foreign
        }
        if repository != nil, let state = try place.state() { recall(&all.backups, state) }
        return all
    }

    /// What verifications of a repository's backups found is known here, not there.
    private func recall(_ backups: inout [Backup], _ state: StateFolder) {
        for index in backups.indices {
            let record = state.verification(backups[index].format.fileName(of: backups[index].name))
            guard let record, record.seal == backups[index].seal else { continue }
            if let damage = record.damage {
                backups[index].state = .damaged(damage)
            } else if record.percent >= 100 {
                backups[index].state = .verified(record.time.moment)
            }
        }
    }

    /// What a verification of a repository's backup has found wrong, if that is known here.
    func knownDamage(of contents: RepositoryContents, named name: BackupName) throws -> String? {
        guard let state = try place.state() else { return nil }
        let record = state.verification(contents.format.fileName(of: name))
        return record?.seal == contents.seal ? record?.damage : nil
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

    /// What removing these frees at least. For a repository all trees are read, unless it is not `measured`: then nil.
    func bytesFreed(byRemoving backups: [Backup], measured: Bool) throws -> UInt64? {
        guard let repository else { return backups.compactMap(\.bytesAlone).saturatingSum() }
        return measured ? try repository.bytesFreed(byRemoving: Set(backups.compactMap(\.seal))) : nil
    }

    func remove(_ backup: Backup) throws { try container(for: backup.format).remove(backup.name) }

    /// Frees what removed backups alone needed.
    func reclaim() throws {
        for container in containers { try container.reclaim() }
    }
}

// Finding one.
extension AppBackups {
    /// The backup behind `NAME`, `FORMAT:NAME` or `latest`.
    func find(_ text: String) throws -> (name: BackupName, container: any Container) {
        if text == "latest" {
            let latest = try latest()
            return (latest.name, container(for: latest.format))
        }
        if let name = try zipName(text) { return (name, container(for: .zip)) }
        let form = BackupFormat.allCases.first { text.hasPrefix("\($0.rawValue):") }
        let plain = form.map { String(text.dropFirst($0.rawValue.count + 1)) } ?? text
        var found: [(name: BackupName, container: any Container)] = []
        for container in containers where form == nil || container.format == form {
            if let name = try container.name(of: plain) { found.append((name, container)) }
        }
        guard let first = found.first else { throw try noBackup(text) }
        guard found.count == 1 else {
            let forms = found.map { "'\($0.container.format.rawValue):\($0.name)'" }.joined(separator: " and ")
            throw BackupError(
                .usage, "there are \(found.count) backups named '\(plain)'", advice: "Say which: \(forms)")
        }
        return first
    }

    private func noBackup(_ text: String) throws -> BackupError {
        let unreadable = try repository?.unreadable() ?? []
        guard let first = unreadable.first else { return .noBackup(text) }
        let more = unreadable.count > 1 ? " and \(unreadable.count - 1) more" : ""
        return BackupError(
            .notFound,
            "there is no backup '\(printable(text.utf8))' that can be read; it may be the damaged \(first.backup.name)\(more)",
            advice: "'repository check' tells what is damaged")
    }

    /// `NAME.zip` is a file that the user sees; unless a folder is called that.
    private func zipName(_ text: String) throws -> BackupName? {
        guard repository == nil, text.hasSuffix(".zip"), try place.directory.status(of: text.utf8)?.kind == .file else {
            return nil
        }
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

    /// Those of this app on this computer: what a retention policy and an alarm are about. A repository may hold those of others. Of
    /// what others made of this app, which may be a part of it, only where there is nothing of ours.
    func own(_ backups: [Backup]) throws -> [Backup] {
        guard let repository else { return backups }
        let ours = backups.filter { $0.source == repository.ownSource }
        guard ours.isEmpty else { return ours }
        let own = try repository.own()
        return backups.filter { $0.origin != .ours && $0.seal.map { own.contains($0) } == true }
    }

    /// Those among which `latest` is looked for: its own, or all of a repository that has those of one other app: after a disaster
    /// the machine has another name.
    private func ofThisApp(_ backups: [Backup]) throws -> [Backup] {
        let own = try own(backups)
        return own.isEmpty && Set(backups.map(\.source)).count == 1 ? backups : own
    }

    private func latest() throws -> Backup {
        let all = try backups().backups
        let candidates = try ofThisApp(all)
        guard let newest = newestComplete(of: candidates) else {
            if !all.isEmpty, candidates.isEmpty {
                throw BackupError(
                    .notFound, "the repository has backups of several apps, and none of this one",
                    advice: "'list' shows them; name one")
            }
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

extension AppBackups {
    /// Opens the backup that `text` names.
    func open(_ text: String) throws -> FoundBackup {
        let (name, container) = try find(text)
        let contents = try container.contents(of: name)
        let isLocal = container.format != .repository
        return FoundBackup(
            name: name.text, contents: contents, isTrusted: contents.isRecorded,
            place: isLocal ? (place.directory, container.format.fileName(of: name)) : nil)
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
