import ArgumentParser
import ChastiPiBackup
import Model

struct DoctorVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "doctor", abstract: "Look for what keeps backups and restores from working, and say what to do.",
        discussion: """
            Changes nothing. Each finding is 'ok', a 'note', a 'warning' or a 'problem'; the exit status is 1 if there is a \
            problem, else 0.
            """)

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let checks = try BackupManager.diagnose(
            app: try options.appPath(), backupDirectory: options.backupDir, configurationFile: options.config,
            repository: options.repository, python: PythonProbe.version(), run: session.run)
        session.print(.command("doctor", [("checks", .array(checks.map { json($0) }))]), text: { text(checks) })
        return checks.contains { $0.level == .problem } ? ExitStatus.failed : ExitStatus.done
    }

    private func text(_ checks: [Check]) -> [String] {
        var table = TextTable()
        for check in checks {
            let text = BackupError(.system, check.finding, advice: check.advice).description
            table.add([check.level.rawValue, check.name, text])
        }
        return table.lines
    }

    private func json(_ check: Check) -> JSONOutput {
        .object([
            ("check", .string(check.name)), ("level", .string(check.level.rawValue)),
            ("finding", .string(check.finding)), ("advice", .string(check.advice)),
        ])
    }
}
