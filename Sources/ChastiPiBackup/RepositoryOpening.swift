import Model
import ResticFormat
import Storage
import Synchronization

/// Opens a repository, once in a run.
final class RepositoryOpening: Sendable {
    let place: RepositoryPlace
    private let run: RunContext
    private let opened = Mutex<Repository?>(nil)

    init(_ place: RepositoryPlace, run: RunContext) {
        self.place = place
        self.run = run
    }

    func open() throws -> Repository {
        try opened.withLock { opened in
            if let opened { return opened }
            guard let password = try run.passwords.toRead(place.location) else {
                throw BackupError(.wrongPassword, "no password")
            }
            let repository = try Repository(try LocalBackend(path: place.location), password)
            opened = repository
            return repository
        }
    }
}
