import Disk
import Model
import ResticFormat
import Storage
import Synchronization
import Workers

/// A repository that is opened when it is first needed, and once: its password may have to be typed, and trying one takes a second.
final class RepositoryOpening: Sendable {
    let place: RepositoryPlace
    private let run: RunContext
    private let mayAsk: Bool
    /// Whose threads do other work while the key is derived.
    private let pool: ThreadPool?
    private let opened = Mutex<Repository?>(nil)
    /// How often a password may be mistyped.
    private static let tries = 3

    /// - Parameters:
    ///   - mayAsk: whether somebody may be asked for the password.
    ///   - pool: whose threads may have other work while the key is derived.
    init(_ place: RepositoryPlace, mayAsk: Bool = true, beside pool: ThreadPool? = nil, run: RunContext) {
        self.place = place
        self.pool = pool
        self.mayAsk = mayAsk
        self.run = run
    }

    /// Where its objects are. Throws `BackupError.notFound` where no repository is.
    func backend() throws -> any Backend {
        let backend: LocalBackend
        do throws(StorageError) {
            backend = try LocalBackend(path: place.path)
        } catch {
            guard error.code == .notFound else { throw BackupError(error) }
            throw BackupError(
                .notFound, "there is no repository at \(place.shownPath): the directory does not exist",
                advice: "Is its disk mounted? 'repository init' makes a new one")
        }
        do {
            for kind in [ObjectKind.key, .configuration] where try !backend.list(kind).isEmpty { return backend }
            for kind in [ObjectKind.snapshot, .index] where try !backend.list(kind).isEmpty {
                throw BackupError(
                    .damaged, "the repository \(place.shownPath) has lost its keys and its configuration",
                    advice: "Bring back its directory 'keys' and its file 'config' from a copy")
            }
        } catch let error as StorageError {
            throw BackupError(error)
        }
        throw BackupError(
            .notFound, "there is no repository at \(place.shownPath)",
            advice: "Is its disk mounted? 'repository init' makes a new one")
    }

    /// The repository; the same one for all who ask.
    func open() throws -> Repository {
        try opened.withLock { opened in
            if let opened { return opened }
            let repository = try find()
            opened = repository
            return repository
        }
    }

    /// False only if it is certain that the password does not open it now.
    func mayOpen(with password: Password) -> Bool {
        do {
            _ = try Repository(try backend(), password)
            return true
        } catch {
            return (error as? BackupError)?.code != .wrongPassword
        }
    }

    private func find() throws -> Repository {
        let backend = try backend()
        let search = RepositoryPasswordSearch(place: place, run: run)
        if let password = try search.known() { return try open(backend, password) }
        for number in 1... {
            guard mayAsk, let typed = try run.repositoryPasswords.ask(.opening(place.shownPath)) else { break }
            do {
                return try open(backend, typed)
            } catch let error as BackupError {
                guard error.code == .wrongPassword, number < Self.tries else { throw error }
                run.report(.warning(error.message))
            }
        }
        throw BackupError(
            .wrongPassword, "no password was given for the repository \(place.shownPath)",
            advice: "Give it with --password-file FILE, or 'password_file' in backup.yaml")
    }

    private func open(_ backend: any Backend, _ password: Password) throws -> Repository {
        do {
            return try pool?.lending { try Repository(backend, password) } ?? Repository(backend, password)
        } catch let error as StorageError {
            throw BackupError(error)
        }
    }
}

// What lower floors say of repositories, for people.
extension BackupError {
    init(_ error: StorageError) {
        let text = error.description
        switch error.code {
        case .noSpace: self.init(.noSpace, text, advice: "Free space and try again")
        case .denied: self.init(.system, text, advice: "Run as the repository's owner or as root")
        case .readOnly: self.init(.system, text, advice: "Remount it for writing")
        case .notFound, .unavailable:
            self.init(
                .system, text, advice: "Is the repository still there? Another program may be changing it: try again")
        case .tooShort, .invalid:
            self.init(.damaged, text, advice: "'repository check' tells what else is damaged")
        case .exists, .other: self.init(.system, text)
        }
    }

    init(_ error: FormatError) {
        self.init(.damaged, "\(error)", advice: "'repository check' tells what else is damaged")
    }
}
