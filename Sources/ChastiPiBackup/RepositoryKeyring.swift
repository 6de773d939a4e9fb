import Disk
import Model
import ResticFormat

/// A password of a repository, as far as everyone may know it.
public struct RepositoryKey: Sendable {
    /// 64 hexadecimal digits.
    public let id: String
    public let created: LocalTime
    /// Who made it; safe to print.
    public let user: String
    public let host: String
    /// Whether the repository was opened with it.
    public let isInUse: Bool

    init(_ stored: StoredKey) {
        id = stored.id.hex
        created = stored.created
        user = printable(stored.userName.utf8)
        host = printable(stored.hostName.utf8)
        isInUse = stored.isInUse
    }
}

// Several passwords may open a repository.
extension RepositoryManager {
    /// All of them, the oldest first, and what cannot be read.
    public func keys() throws -> (keys: [RepositoryKey], findings: [Finding]) {
        try BackupManager.reporting {
            let (keys, findings) = try opening.open().storedKeys()
            return (keys.map { RepositoryKey($0) }, findings)
        }
    }

    /// Adds a password: the one in the file at `path`, or one that is asked for, or, if `generates`, one that nobody can guess, which
    /// goes to a new file at `path`. Returns the new key's ID.
    public func addKey(passwordFile path: String?, generates: Bool = false) throws -> String {
        try withNewPassword(path, generates: generates) { new in
            try locked(.shared, for: "key add") { try $0.addKey(new, .own, now: run.now()).hex }
        }
    }

    /// Does everything that ``addKey(passwordFile:generates:)`` does before it adds something.
    public func previewAddKey(passwordFile path: String?, generates: Bool = false) throws {
        try previewNewPassword(path, generates: generates)
        try locked(.shared, for: "key add") { try $0.checkRoomForKey() }
    }

    /// Replaces the password that opens the repository for this run. Returns the IDs of the key that goes and of the new one.
    public func changePassword(passwordFile path: String?, generates: Bool = false) throws -> (old: String, new: String)
    {
        try withNewPassword(path, generates: generates) { new in
            try locked(.exclusive, for: "key passwd") { repository in
                (repository.keyID.hex, try repository.changePassword(to: new, .own, now: run.now()).hex)
            }
        }
    }

    /// The ID of the key that ``changePassword(passwordFile:generates:)`` would remove.
    public func previewChangePassword(passwordFile path: String?, generates: Bool = false) throws -> String {
        try previewNewPassword(path, generates: generates)
        return try locked(.exclusive, for: "key passwd") { $0.keyID.hex }
    }

    /// The ID of the key that ``removeKey(_:)`` would remove.
    public func previewRemoveKey(_ prefix: String) throws -> String {
        try locked(.exclusive, for: "key remove") { try $0.removableKey(prefix).id.hex }
    }

    /// Removes the key whose ID begins with `prefix`; not the one that has opened the repository. Returns its ID.
    public func removeKey(_ prefix: String) throws -> String {
        try locked(.exclusive, for: "key remove") { try $0.removeKey(prefix).hex }
    }

    private func withNewPassword<R>(
        _ path: String?, generates: Bool, _ body: (Password) throws -> R
    ) throws -> R {
        guard generates else { return try body(newPassword(path)) }
        let file = try newFile(path)
        let generated = try PasswordText.random()
        try BackupManager.reporting {
            _ = try opening.open()
            // Before the key: none is ever there whose password nobody has.
            try file.create(Array("\(generated.text)\n".utf8))
        }
        do {
            return try body(generated.password)
        } catch {
            // The error may have come after the key.
            if !opening.mayOpen(with: generated.password) { try file.remove() }
            throw error
        }
    }

    private func previewNewPassword(_ path: String?, generates: Bool) throws {
        if generates { _ = try newFile(path) } else { _ = try newPassword(path) }
    }

    /// For a generated password.
    private func newFile(_ path: String?) throws -> SecretFile {
        guard let path else {
            throw BackupError(
                .usage, "a generated password must be kept somewhere",
                advice: "Name a new file for it with --new-password-file")
        }
        return try SecretFile(path: path, what: "the password file")
    }

    private func newPassword(_ path: String?) throws -> Password {
        try BackupManager.reporting {
            // Opened before it is asked for another: whoever has not the first password need not type a second one.
            _ = try opening.open()
            if let path { return try RepositoryPasswordSearch(place: place, run: run).read(.file(path)) }
            if let typed = try run.repositoryPasswords.ask(.new) { return typed }
            throw BackupError(
                .usage, "no new password was given, and there is no terminal to ask for it",
                advice: "Name the file that has it with --new-password-file")
        }
    }
}

extension NewKey {
    fileprivate static var own: NewKey {
        var new = NewKey()
        new.userName = OwnerNames.user(ProcessIdentity.user) ?? ""
        new.hostName = HostName.current
        return new
    }
}
