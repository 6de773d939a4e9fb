import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryInitVerb: RepositoryVerb {
    static let words = "init"
    static let configuration = CommandConfiguration(
        commandName: words, abstract: "Make a repository, in a directory that is missing or empty.",
        discussion: """
            Whoever loses the password loses all that is in the repository: nobody can help. --emergency-kit writes a page to \
            print, with what is needed to get the data back without this program.
            """)

    @Flag(help: "Make a password that nobody can guess; it goes to a new --password-file, or to the kit.")
    var generatePassword = false

    @Option(help: ArgumentHelp("Write a page to print into this new file.", valueName: "file"))
    var emergencyKit: String?

    @Flag(help: "Leave the password out of the kit; it says where it is kept.")
    var kitWithoutPassword = false

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        if kitWithoutPassword && emergencyKit == nil {
            throw BackupError(.usage, "--kit-without-password is for --emergency-kit")
        }
        var request = NewRepositoryRequest()
        request.generatesPassword = generatePassword
        request.kit = emergencyKit
        request.kitHasPassword = !kitWithoutPassword
        let manager = try session.repository()
        let result = dry.dryRun ? try manager.previewCreate(request) : try manager.create(request)
        session.print(.command(Self.fullName, members(result)), text: { text(result) })
        return ExitStatus.done
    }

    private func text(_ result: NewRepositoryResult) -> [String] {
        let what = kitWithoutPassword ? "" : ", with the password"
        guard let id = result.id else {
            var lines = ["to make: a repository at \(printable(result.path.utf8))"]
            if let file = result.passwordFile { lines.append("to write: its password to \(printable(file.utf8))") }
            if let kit = result.kit { lines.append("to write: the emergency kit to \(printable(kit.utf8))\(what)") }
            return lines
        }
        var lines = ["made the repository \(id.prefix(8)) at \(printable(result.path.utf8))"]
        if let file = result.passwordFile { lines.append("its password is in \(printable(file.utf8))") }
        if let kit = result.kit {
            lines.append("the emergency kit is in \(printable(kit.utf8))\(what): print it, and keep it elsewhere")
        }
        return lines
    }

    private func members(_ result: NewRepositoryResult) -> [(String, JSONOutput)] {
        [
            dry.member, ("id", result.id.map { .string($0) } ?? .null), ("location", .string(result.path)),
            ("password_file", result.passwordFile.map { .string($0) } ?? .null),
            ("emergency_kit", result.kit.map { .string($0) } ?? .null),
        ]
    }
}
