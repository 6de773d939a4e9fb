import ArgumentParser
import ChastiPiBackup
import Glibc
import Model

/// The whole of a run: from arguments to an exit status. Nothing is thrown out of here.
enum Program {
    static func run(_ arguments: [String]) -> Int32 {
        if let odd = argumentsThatAreNoText().first {
            // Swift would repair it in silence, and something else would be named.
            let advice = "Name it with '\\ooo' for such bytes where --only takes it, or by a path that is UTF-8"
            Terminal.complain("error: the argument '\(odd)' is not UTF-8. \(advice)")
            return ExitStatus.usage
        }
        if let problem = unknownVerb(arguments) {
            Terminal.complain("error: \(problem). See 'chastipi-backup --help'")
            return ExitStatus.usage
        }
        var command: any ParsableCommand
        do {
            command = try RootCommand.parseAsRoot(arguments)
            if command is RootCommand || command is any VerbGroup {
                // 'backup.sh $VERB' with an empty variable must not look like a success.
                throw ValidationError("no verb is given")
            }
            // What is left is the library's own verb for help.
            if !(command is any Verb) { try command.run() }
        } catch {
            return report(parsing: error, arguments)
        }
        guard let verb = command as? any Verb else { return ExitStatus.usage }
        let session = Session(verb.options)
        do {
            return Terminal.status(after: try verb.run(in: session))
        } catch {
            session.progress.clear()
            return report(error, of: type(of: verb).name, session)
        }
    }

    private static func argumentsThatAreNoText() -> [String] {
        let pointers = UnsafeBufferPointer(start: CommandLine.unsafeArgv, count: Int(CommandLine.argc))
        return pointers.dropFirst().compactMap { pointer in
            guard let pointer, String(validatingCString: pointer) == nil else { return nil }
            return printable(UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)))
        }
    }

    /// A misspelt verb would be reported as an unknown option of its own, since backup.sh adds some.
    private static func unknownVerb(_ arguments: [String]) -> String? {
        guard let word = arguments.first, word != "help" else { return nil }
        if word.hasPrefix("-") { return answersAlone(word) ? nil : "no verb is given" }
        var group: any ParsableCommand.Type = RootCommand.self
        var path: [String] = []
        // A word that is missing counts as an option.
        for word in arguments + ["-"] {
            let verbs = group.configuration.subcommands
            if verbs.isEmpty || word == "help" { return nil }
            let names = verbs.compactMap { $0.configuration.commandName }.joined(separator: ", ")
            if word.hasPrefix("-") {
                if arguments.contains(where: answersAlone) { return nil }
                return "no verb is given after '\(path.joined(separator: " "))'; the verbs are \(names)"
            }
            path.append(word)
            guard let next = verbs.first(where: { $0.configuration.commandName == word }) else {
                let shown = printable(path.joined(separator: " ").utf8.prefix(60))
                return "there is no verb '\(shown)'; the verbs are \(names)"
            }
            group = next
        }
        return nil
    }

    /// Options that mean something without a verb.
    private static func answersAlone(_ option: String) -> Bool {
        ["-h", "--help", "--help-hidden", "--version", "--experimental-dump-help"].contains(option)
            || option.hasPrefix("--generate-completion-script")
    }

    /// Help and version are answers; anything else is one line and a hint.
    private static func report(parsing error: any Error, _ arguments: [String]) -> Int32 {
        if RootCommand.exitCode(for: error) == .success {
            Terminal.print(RootCommand.fullMessage(for: error))
            return 0
        }
        // It quotes the arguments as they came.
        let line = RootCommand.message(for: error).split(separator: "\n").first ?? "wrong usage"
        let text = printable(line.utf8)
        let message = text.prefix(1).lowercased() + text.dropFirst()
        if arguments.contains("--json") {
            let usage = BackupError(.usage, message, advice: "See 'chastipi-backup --help'")
            Terminal.complain(JSONOutput.error(usage, command: nil).line)
        } else {
            let end = message.hasSuffix("?") || message.hasSuffix(".") ? "" : "."
            Terminal.complain("error: \(message)\(end) See 'chastipi-backup --help'")
        }
        return ExitStatus.usage
    }

    private static func report(_ error: any Error, of command: String?, _ session: Session) -> Int32 {
        // All others have become BackupErrors in the library; what is left has no text for people but its own.
        let text = "\(error)".split(separator: "\n").first.map(String.init) ?? "unknown"
        let known = error as? BackupError ?? BackupError(.system, "unexpected failure: \(printable(text.utf8))")
        if session.options.json {
            Terminal.complain(JSONOutput.error(known, command: command).line)
        } else {
            Terminal.complain("error: \(known)")
        }
        return ExitStatus.of(known)
    }
}

/// The program's exit statuses; scripts rely on them.
enum ExitStatus {
    static let done: Int32 = 0
    static let failed: Int32 = 1
    static let usage: Int32 = 2
    static let incomplete: Int32 = 3
    static let tooOld: Int32 = 4
    static let wrongPassword: Int32 = 12
    static let damaged: Int32 = 20

    static func of(_ error: BackupError) -> Int32 {
        error.code == .interrupted ? 128 + (error.signal ?? SIGINT) : of(error.code)
    }

    static func of(_ code: BackupError.Code) -> Int32 {
        switch code {
        case .usage: usage
        case .notFound: 10
        case .locked: 11
        case .wrongPassword: wrongPassword
        case .damaged: damaged
        case .interrupted: 128 + SIGINT
        case .configuration, .nameTaken, .refused, .noSpace, .system, .recoveryPending, .recoveryFailed,
            .nothingToUndo, .declined:
            failed
        }
    }
}

struct RootCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "chastipi-backup",
        abstract: "Backs up a self-hosted app, and puts it back: all or nothing.",
        discussion: """
            A backup is a plain folder in the app's backups/ that anyone can open. A restore is complete or did not happen, \
            and 'undo' takes it back.

            Exit statuses: 0 done; 1 failed, nothing was changed or it was taken back; 2 wrong usage; 3 done, but not \
            everything could be read or kept; 4 the newest backup is older than --max-age; 10 no such backup or repository; 11 locked by \
            another run; 12 wrong or missing password; 20 damage found; 129, 130, 143 interrupted.
            """,
        version: ToolVersion.text,
        subcommands: [
            CreateVerb.self, ZipVerb.self, AutoVerb.self, ListVerb.self, ShowVerb.self, VerifyVerb.self,
            RestoreVerb.self, UndoVerb.self, RecoverVerb.self, DeleteVerb.self, PruneVerb.self, CopyVerb.self,
            DiffVerb.self, StatusVerb.self, DoctorVerb.self, RepositoryVerbs.self, ConfigVerbs.self,
        ])
}

/// One verb of the command line.
protocol Verb: ParsableCommand {
    var options: SharedOptions { get }
    /// Returns the exit status.
    func run(in session: Session) throws -> Int32
    /// As documents call it, with the words before it.
    static var name: String? { get }
}

extension Verb {
    static var name: String? { configuration.commandName }
}

/// Verbs below a common word, which is none itself.
protocol VerbGroup: ParsableCommand {}
