import ChastiPiBackup
import Glibc
import Model

/// What the environment says. Restic's variables have restic's meaning.
enum Environment {
    /// Nil where it is empty, too.
    static func text(_ name: String) -> String? {
        guard let value = getenv(name), value.pointee != 0 else { return nil }
        return String(cString: value)
    }

    /// Where the password of a repository is.
    static func repositoryPassword() throws -> PasswordOrigin? {
        if let file = text(PasswordInput.variable) ?? text("RESTIC_PASSWORD_FILE") { return .file(file) }
        if let command = text("RESTIC_PASSWORD_COMMAND") { return try PasswordOrigin(commandText: command) }
        if let password = getenv("RESTIC_PASSWORD").flatMap({ value in
            // Byte for byte, whatever it is.
            Password(UnsafeRawBufferPointer(start: value, count: strlen(value)))
        }) {
            return .known(password)
        }
        return credential.map { .file($0) }
    }

    /// What systemd's `LoadCredential=chastipi-backup-password:…` gives to a service.
    private static var credential: String? {
        guard let directory = text("CREDENTIALS_DIRECTORY") else { return nil }
        let path = directory + "/chastipi-backup-password"
        return access(path, F_OK) == 0 ? path : nil
    }

    /// The repository that is meant where none is named. Only for who asks for one: no backup goes elsewhere because of it.
    static func repository() throws -> String? {
        let file = text("RESTIC_REPOSITORY_FILE")
        guard let location = text("RESTIC_REPOSITORY") else {
            return try file.map { try RepositoryPlace.location(inFile: $0) }
        }
        guard file == nil else {
            throw BackupError(.usage, "RESTIC_REPOSITORY and RESTIC_REPOSITORY_FILE are both set", advice: "Unset one")
        }
        return location
    }
}
