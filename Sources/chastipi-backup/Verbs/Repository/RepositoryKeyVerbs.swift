import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryKeyVerbs: VerbGroup {
    static let configuration = CommandConfiguration(
        commandName: "key", abstract: "List, add, remove and change the passwords of a repository.",
        discussion: """
            Each password has a key of its own, and all open the same. A key that is removed opens no more; but whoever had its \
            password could have kept what is needed to read all that the repository will ever hold. If a password has become \
            known, make a new repository.
            """,
        subcommands: [
            RepositoryKeyListVerb.self, RepositoryKeyAddVerb.self, RepositoryKeyRemoveVerb.self,
            RepositoryKeyPasswdVerb.self,
        ])
}

struct RepositoryKeyListVerb: RepositoryVerb {
    static let words = "key list"
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the keys, the oldest first.")

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let (keys, findings) = try session.repository().keys()
        session.insist(findings.map { "\($0.subject) cannot be read: \($0.message)" })
        session.print(
            .command(
                Self.fullName,
                [("keys", .array(keys.map { json($0) })), ("findings", .array(findings.map(\.json)))]),
            text: { text(keys) })
        return findings.contains { $0.severity == .damage } ? ExitStatus.damaged : ExitStatus.done
    }

    private func text(_ keys: [RepositoryKey]) -> [String] {
        var table = TextTable(["", "ID", "USER", "HOST", "CREATED"])
        for key in keys {
            table.add([
                key.isInUse ? "*" : "", String(key.id.prefix(8)), key.user, key.host, key.created.readable,
            ])
        }
        return table.lines
    }

    private func json(_ key: RepositoryKey) -> JSONOutput {
        .object([
            ("id", .string(key.id)), ("user", .string(key.user)), ("host", .string(key.host)),
            ("created", .time(key.created)), ("in_use", .bool(key.isInUse)),
        ])
    }
}

/// For verbs that make a password known.
struct NewPasswordOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The file with the new password (else it is asked for).", valueName: "file"))
    var newPasswordFile: String?

    @Flag(help: "Make a password that nobody can guess; it goes to a new --new-password-file.")
    var generatePassword = false

    /// Where a generated password is, for people.
    var place: [String] {
        guard generatePassword, let newPasswordFile else { return [] }
        return ["its password is in \(printable(newPasswordFile.utf8))"]
    }

    /// Where it would be.
    var plan: [String] {
        guard generatePassword, let newPasswordFile else { return [] }
        return ["to write: its password to \(printable(newPasswordFile.utf8))"]
    }

    /// The same for programs.
    var members: [(String, JSONOutput)] {
        [("password_file", newPasswordFile.map { .string($0) } ?? .null)]
    }
}

struct RepositoryKeyAddVerb: RepositoryVerb {
    static let words = "key add"
    static let configuration = CommandConfiguration(
        commandName: "add", abstract: "Add a password that opens the repository as well.")

    @OptionGroup var new: NewPasswordOptions
    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        if dry.dryRun {
            try manager.previewAddKey(passwordFile: new.newPasswordFile, generates: new.generatePassword)
            session.print(
                .command(Self.fullName, [dry.member, ("id", .null)] + new.members),
                text: { ["to add: a key"] + new.plan })
            return ExitStatus.done
        }
        let id = try manager.addKey(passwordFile: new.newPasswordFile, generates: new.generatePassword)
        session.print(
            .command(Self.fullName, [dry.member, ("id", .string(id))] + new.members),
            text: { ["added the key \(id.prefix(8))"] + new.place })
        return ExitStatus.done
    }
}

struct RepositoryKeyRemoveVerb: RepositoryVerb {
    static let words = "key remove"
    static let configuration = CommandConfiguration(
        commandName: "remove", abstract: "Remove a key: its password opens the repository no more.")

    @Argument(help: ArgumentHelp("The first digits of its ID.", valueName: "id"))
    var id: String

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        let removed = dry.dryRun ? try manager.previewRemoveKey(id) : try manager.removeKey(id)
        session.print(
            .command(Self.fullName, [dry.member, ("id", .string(removed))]),
            text: { ["\(dry.dryRun ? "to remove:" : "removed") the key \(removed.prefix(8))"] })
        return ExitStatus.done
    }
}

struct RepositoryKeyPasswdVerb: RepositoryVerb {
    static let words = "key passwd"
    static let configuration = CommandConfiguration(
        commandName: "passwd", abstract: "Change the password that opens the repository now.")

    @OptionGroup var new: NewPasswordOptions
    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        if dry.dryRun {
            let old = try manager.previewChangePassword(
                passwordFile: new.newPasswordFile, generates: new.generatePassword)
            session.print(
                .command(Self.fullName, [dry.member, ("id", .null), ("removed", .string(old))] + new.members),
                text: { ["to replace: the key \(old.prefix(8))"] + new.plan })
            return ExitStatus.done
        }
        let (old, key) = try manager.changePassword(
            passwordFile: new.newPasswordFile, generates: new.generatePassword)
        session.print(
            .command(Self.fullName, [dry.member, ("id", .string(key)), ("removed", .string(old))] + new.members),
            text: {
                ["changed the password: the key \(key.prefix(8)) is in the place of \(old.prefix(8))"] + new.place
            })
        session.tell(["files, commands and emergency kits with the old password are out of date now"])
        return ExitStatus.done
    }
}
