import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryVerbs: VerbGroup {
    static let configuration = CommandConfiguration(
        commandName: "repository", abstract: "Make a repository, check it, and look after it.",
        discussion: """
            A repository keeps backups encrypted, compressed, and each part of them once. restic opens it, too.

            Which one is meant says --repository: its path, or its name in backup.yaml. Else it is the one in \
            RESTIC_REPOSITORY, or the usual one in backup.yaml (the only one, or the one that 'repository:' names). \
            Its password comes from the first of these: --password-file; \
            password_file or password_command in backup.yaml; CHASTIPI_BACKUP_PASSWORD_FILE; RESTIC_PASSWORD_FILE; \
            RESTIC_PASSWORD_COMMAND; RESTIC_PASSWORD; systemd's credential chastipi-backup-password; the terminal.
            """,
        subcommands: [
            RepositoryInitVerb.self, RepositoryCheckVerb.self, RepositoryStatsVerb.self, RepositoryPruneVerb.self,
            RepositoryRepairVerbs.self, RepositoryKeyVerbs.self, RepositoryUnlockVerb.self,
        ])
}

/// A verb of `repository`. It needs no app.
protocol RepositoryVerb: Verb {
    /// The last words of it.
    static var words: String { get }
}

extension RepositoryVerb {
    static var name: String? { fullName }
    static var fullName: String { "repository \(words)" }
}

extension Session {
    /// The repository that is meant.
    func repository() throws -> RepositoryManager {
        let text = try options.repository ?? Environment.repository()
        let configuration = try repositoryConfiguration(for: text)
        let patience = try options.patience()
        guard let text else {
            return RepositoryManager(try RepositoryPlace.usual(in: configuration), patience: patience, run: run)
        }
        return RepositoryManager(try RepositoryPlace.named(text, in: configuration), patience: patience, run: run)
    }

    /// Nil where there is no app, and no file was named.
    private func repositoryConfiguration(for repository: String?) throws -> Configuration? {
        if let file = options.config { return try Configuration.read(file) }
        guard let app = try options.backupDir == nil ? options.knownApp() : options.appPath() else { return nil }
        // Named to it: of several that are configured it could not tell which one is meant.
        return try BackupManager(app: app, backupDirectory: options.backupDir, repository: repository, run: run)
            .configuration
    }
}
