import Model
import ResticFormat

extension Doctor {
    /// Opens a configured repository as a backup would, but asks nobody for its password. Takes no lock.
    mutating func lookAt(_ place: RepositoryPlace, as name: String) throws {
        let repository = NamedRepository(place, patience: 0, mayAsk: false, in: run)
        let backups: [Backup]
        do {
            backups = try repository.container(places, pool: pool, in: run).backups().backups
        } catch let error as BackupError where error.code == .wrongPassword {
            return add(name, .warning, error.message, do: error.advice)
        }
        add(name, .ok, "opens and has \(backups.count) \(backups.count == 1 ? "backup" : "backups")")
    }
}
