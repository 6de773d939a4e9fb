import ArgumentParser
import ChastiPiBackup
import Glibc
import Model

struct VerifyVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "verify", abstract: "Read backups back and compare every byte with what was backed up.")

    @Argument(help: ArgumentHelp("Names, 'latest', or paths (default: latest).", valueName: "backup"))
    var backups: [String] = []

    @Flag(help: "Verify every backup.")
    var all = false

    @Option(help: ArgumentHelp("Read only so much of the files, chosen anew each time.", valueName: "percent"))
    var sample: String?

    @Flag(help: "Have SQLite look through every database, in a copy in TMPDIR.")
    var deep = false

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var request = VerifyRequest()
        if deep { request.databaseScratch = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp" }
        request.backups = backups
        request.all = all
        if all && !backups.isEmpty { throw BackupError(.usage, "--all and names do not go together") }
        if let sample {
            guard let percent = Double(sample.hasSuffix("%") ? String(sample.dropLast()) : sample) else {
                throw BackupError(.usage, "--sample '\(printable(sample.utf8))' is no percentage")
            }
            request.percent = percent
        }
        let verifications = try session.manager().verify(request)
        session.print(
            .command("verify", [("verifications", .array(verifications.map { json($0) }))]),
            text: { verifications.flatMap { text($0, session) } })
        if verifications.contains(where: \.isDamaged) { return ExitStatus.damaged }
        return verifications.compactMap(\.failure).first.map { ExitStatus.of($0.code) } ?? ExitStatus.done
    }

    private func text(_ verification: Verification, _ session: Session) -> [String] {
        if let failure = verification.failure {
            return ["\(verification.backup.name): not verified: \(failure.message)"]
        }
        let read = "\(counted(verification.files, "file")), \(ByteCount(verification.bytes)) read"
        let damages = verification.findings.filter { $0.severity == .damage }
        let notes = verification.findings.filter { $0.severity == .note }
        var lines = [
            damages.isEmpty
                ? "\(verification.backup.name): whole (\(read))"
                : "\(verification.backup.name): DAMAGED, \(counted(damages.count, "finding")) (\(read))"
        ]
        lines += damages.map { "  \($0.subject): \($0.message)" }
        lines += abbreviated(
            notes.map { "  note: \($0.subject): \($0.message)" }, most: 10, verbose: session.options.verbose)
        return lines
    }

    private func json(_ verification: Verification) -> JSONOutput {
        .object([
            ("backup", .string(verification.backup.name.text)), ("damaged", .bool(verification.isDamaged)),
            ("wrong_password", .bool(verification.failure?.code == .wrongPassword)),
            ("failure", verification.failure.map { .string($0.message) } ?? .null),
            ("files", .number(Int64(verification.files))), ("bytes", .unsigned(verification.bytes)),
            ("findings", .array(verification.findings.map(\.json))),
        ])
    }
}
