import Containers
import Disk
import Model
import ResticFormat
import Workers

/// Where the app and its backups are.
struct AppPlaces: Sendable {
    let appPath: String
    let backupPath: String
    /// Whether the backup directory is the app's own `backups/` and may be made.
    let isDefault: Bool
    let app: Directory
    /// The repository that is worked on instead of the backup directory, if any.
    var repository: NamedRepository?
    /// Whether it was named for this run, so that backups elsewhere do not matter.
    var isRepositoryNamed = false
    /// Those that the configuration names.
    var configuredRepositories: [RepositoryPlace] = []
    /// Of those, the ones that are only read: nobody is asked for their passwords.
    var otherRepositories: [NamedRepository] = []
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

    /// The directory in which the backups lie that are worked on; nil if there is none yet.
    func existingStore() throws -> Directory? {
        guard let repository else { return try existingBackups() }
        do throws(DiskError) {
            return try Directory(path: repository.opening.place.path)
        } catch {
            // What is wrong with it is said by who opens it.
            guard [.notFound, .notDirectory, .denied].contains(error.code) else { throw error }
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
        var identities: Set<FileIdentity> = []
        if let backups = try existingBackups() { identities.insert(try backups.status().identity) }
        for repository in configuredRepositories + [repository?.opening.place].compactMap(\.self) {
            if let identity = try repository.identity() { identities.insert(identity) }
        }
        return identities
    }
}

/// A repository that a manager works on.
struct NamedRepository: Sendable {
    let opening: RepositoryOpening
    let state: RepositoryState

    /// `patience`: for how many seconds a lock that somebody else holds is tried for again.
    /// `mayAsk`: whether somebody may be asked for its password.
    /// `pool`: whose threads may have other work while it is opened.
    init(
        _ place: RepositoryPlace, patience: Int, mayAsk: Bool = true, beside pool: ThreadPool? = nil, in run: RunContext
    ) {
        let opening = RepositoryOpening(place, mayAsk: mayAsk, beside: pool, run: run)
        self.opening = opening
        state = RepositoryState(in: run, patience: patience) { try opening.open() }
    }

    func container(_ places: AppPlaces, pool: ThreadPool, in run: RunContext) throws -> RepositoryContainer {
        let surroundings = try RepositoryContainer.Surroundings(app: places.app, isItem: places.isItem)
        return RepositoryContainer(state, surroundings, pool: pool, in: run)
    }
}

extension RepositoryPlace {
    /// Its directory, if it is there and can be reached.
    func identity() throws(DiskError) -> FileIdentity? {
        do throws(DiskError) {
            return try Directory(path: path).status().identity
        } catch {
            // What this user cannot reach is no directory of the app that could be saved.
            guard [.notFound, .notDirectory, .denied].contains(error.code) else { throw error }
            return nil
        }
    }
}

extension AppPlaces {
    /// The backups that are worked on: those of the repository, or those in `directory`.
    func chosen(beside directory: Directory, pool: ThreadPool, in run: RunContext) throws -> AppBackups {
        guard let repository else { return AppBackups(directory, isItem: isItem, pool: pool, in: run) }
        let container = try repository.container(self, pool: pool, in: run)
        return AppBackups(container, beside: directory, pool: pool, in: run)
    }

    /// The same for who only looks; nil if there is no backup directory and no repository is worked on.
    func existing(pool: ThreadPool, in run: RunContext) throws -> AppBackups? {
        if let directory = try existingBackups() { return try chosen(beside: directory, pool: pool, in: run) }
        return repository == nil ? nil : try chosen(beside: app, pool: pool, in: run)
    }

    /// Other places where the app has backups: the backup directory where a repository is worked on, and the repositories that
    /// the configuration names. None if a repository was named for this run.
    func others() -> [AppPlaces] {
        guard !isRepositoryNamed else { return [] }
        var others: [AppPlaces] = []
        if repository != nil {
            var local = self
            local.repository = nil
            others.append(local)
        }
        for repository in otherRepositories {
            var other = self
            other.repository = repository
            others.append(other)
        }
        return others
    }

    /// Names the repositories that verbs look into besides the one that they work on.
    mutating func nameOthers(in run: RunContext) {
        let places = configuredRepositories.filter { repository?.opening.place.isSame(as: $0) != true }
        otherRepositories =
            isRepositoryNamed ? [] : places.map { NamedRepository($0, patience: 0, mayAsk: false, in: run) }
    }

    /// For people: `the repository usb`.
    var shown: String {
        guard let place = repository?.opening.place else { return "the backup directory" }
        return "the repository \(place.name ?? place.shownPath)"
    }
}

extension AppPlaces {
    /// Opens the backup that `text` names: a name, `latest`, or a path. A name that is not found where backups are worked on is
    /// looked for in the app's other places.
    func open(_ text: String, pool: ThreadPool, in run: RunContext) throws -> FoundBackup {
        if text.contains("/") { return try open(path: text, in: run) }
        do {
            return try openHere(text, pool: pool, in: run)
        } catch let error as BackupError where error.code == .notFound {
            for other in others() {
                do {
                    return try other.openHere(text, pool: pool, in: run)
                } catch let missing as BackupError where missing.code == .notFound {
                    continue
                } catch let failure as BackupError where failure.code != .interrupted {
                    run.report(.warning("\(other.shown) was not looked through: \(failure.message)"))
                }
            }
            throw error
        }
    }

    /// Where the backup is that `text` names; nil if it is nowhere. Places that cannot be looked through are told by who opens it.
    func placeOf(_ text: String, pool: ThreadPool, in run: RunContext) throws -> AppPlaces? {
        if try has(text, pool: pool, in: run) { return self }
        for other in others() {
            do {
                if try other.has(text, pool: pool, in: run) { return other }
            } catch let error as BackupError where error.code != .interrupted {
                continue
            }
        }
        return nil
    }

    /// Whether `place` is where the verbs work.
    func isWorked(on place: AppPlaces) -> Bool { place.repository?.state === repository?.state }

    private func has(_ text: String, pool: ThreadPool, in run: RunContext) throws -> Bool {
        guard let backups = try existing(pool: pool, in: run) else { return false }
        do {
            _ = try backups.find(text)
            return true
        } catch let error as BackupError where error.code == .notFound {
            return false
        }
    }

    private func openHere(_ text: String, pool: ThreadPool, in run: RunContext) throws -> FoundBackup {
        guard let backups = try existing(pool: pool, in: run) else { throw BackupError.noBackup(text) }
        return try backups.open(text)
    }

    private func open(path: String, in run: RunContext) throws -> FoundBackup {
        let contents = try AppBackups.open(path: path, isItem: isItem, in: run)
        var isTrusted = false
        if contents.isRecorded, let backups = try existingBackups() {
            let file = Array((path.split(separator: "/").last ?? "").utf8)
            isTrusted = try backups.status(of: file)?.identity == contents.identity
        }
        return FoundBackup(name: contents.name, contents: contents, isTrusted: isTrusted, place: nil)
    }
}
