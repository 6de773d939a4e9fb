import Model
import ResticFormat

extension Doctor {
    /// Those of the configuration, and the one that was named for this run.
    mutating func lookAtRepositories(_ configuration: Configuration, named text: String?) {
        var places = configuration.repositories.value
        if let text {
            attempt("repository") { _ in
                let named = try RepositoryPlace.named(text, in: configuration)
                if !places.contains(where: { $0.isSame(as: named) }) { places.append(named) }
            }
        }
        for place in places {
            let name = "repository \(place.name ?? place.shownPath)"
            attempt(name) { try $0.lookAt(place, as: name) }
        }
    }

    /// Opens a repository as a backup would, but asks nobody for its password. Takes no lock.
    private mutating func lookAt(_ place: RepositoryPlace, as name: String) throws {
        let repository = NamedRepository(place, patience: 0, mayAsk: false, in: run)
        let backups: [Backup]
        do {
            let container = try repository.container(places, pool: pool, in: run)
            backups = try container.backups().backups
            for (backup, finding) in try container.unreadable() {
                add(
                    name, .problem, "\(backup.name) is damaged: \(finding.message)",
                    do: "'repository check' tells what else is damaged; then 'delete \(backup.name)'")
            }
            let isComplete = backups.contains { backup in
                backup.source == container.ownSource && !backup.isIncomplete && backup.trigger != .preRestore
            }
            if isComplete { hasCompleteBackup = true }
        } catch let error as BackupError where error.code == .wrongPassword {
            // One that is typed for each run is nothing wrong.
            guard try RepositoryPasswordSearch(place: place, run: run).origin() == nil else { throw error }
            return add(name, .warning, error.message, do: error.advice)
        }
        add(name, .ok, "opens and has \(backups.count) \(backups.count == 1 ? "backup" : "backups")")
    }
}
