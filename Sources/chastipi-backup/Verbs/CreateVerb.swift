import ArgumentParser
import ChastiPiBackup
import Model

/// What `create` and `auto` share.
struct CreateOptions: ParsableArguments {
    @Flag(help: "Save logs/ and *.log at the top level as well.")
    var includeLogs = false

    @Option(help: ArgumentHelp("Save this instead of the configured items; '.' is the whole app.", valueName: "path"))
    var item: [String] = []

    @Option(help: ArgumentHelp("Leave this out too (.gitignore's syntax).", valueName: "pattern"))
    var exclude: [String] = []

    @Flag(help: "Do not leave out caches, environments and logs.")
    var noDefaultExclusions = false

    @Option(help: ArgumentHelp("Mark the backup with a word.", valueName: "word"))
    var tag: [String] = []

    @Flag(help: "Read every file, and share none with the previous backup.")
    var full = false

    @Flag(help: "Read the finished backup back.")
    var verify = false

    @Option(
        help: ArgumentHelp("How hard a repository compresses: auto, off or max (default: auto).", valueName: "how"))
    var compression: RepositoryCompression?

    @OptionGroup var encryption: EncryptionOptions

    func request(
        named name: String?, trigger: BackupTrigger, format: BackupFormat?, _ options: SharedOptions
    ) throws -> CreateRequest {
        var request = CreateRequest()
        if let name {
            do throws(BackupNameError) {
                request.name = try BackupName(name)
            } catch {
                throw BackupError(.usage, "\(error)")
            }
        }
        request.trigger = trigger
        request.format = format
        request.includesLogs = includeLogs
        request.items = item
        request.exclude = exclude
        request.usesDefaultExclusions = !noDefaultExclusions
        request.tags = tag
        request.isFull = full
        request.verifies = verify
        request.compression = compression
        request.encrypts = encryption.isWanted(options)
        return request
    }
}

struct CreateVerb: Verb {
    static let configuration = CommandConfiguration(commandName: "create", abstract: "Make a backup.")

    @Option(help: ArgumentHelp("The backup's name (default: chastipi_backup_YYYYMMDD_HHMMSS).", valueName: "name"))
    var name: String?

    @Option(help: ArgumentHelp("folder, zip or repository (default: as configured, else folder).", valueName: "format"))
    var format: BackupFormat?

    @OptionGroup var what: CreateOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        try Creation(session: session, isDryRun: change.dryRun)
            .run(try what.request(named: name, trigger: .manual, format: format, options), command: "create")
    }
}

struct ZipVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "zip", abstract: "Make a backup as one zip file, NAME.zip in the backup directory.")

    @Option(help: ArgumentHelp("The backup's name (default: chastipi_backup_YYYYMMDD_HHMMSS).", valueName: "name"))
    var name: String?

    @OptionGroup var what: CreateOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        try Creation(session: session, isDryRun: change.dryRun)
            .run(try what.request(named: name, trigger: .manual, format: .zip, options), command: "zip")
    }
}

extension BackupFormat: ExpressibleByArgument {}
extension RepositoryCompression: ExpressibleByArgument {}

struct AutoVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "auto", abstract: "Make a backup before an update, named auto_backup_YYYYMMDD_HHMMSS.")

    @Option(help: ArgumentHelp("folder, zip or repository (default: as configured, else folder).", valueName: "format"))
    var format: BackupFormat?

    @OptionGroup var what: CreateOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        try Creation(session: session, isDryRun: change.dryRun)
            .run(try what.request(named: nil, trigger: .auto, format: format, options), command: "auto")
    }
}

/// Makes a backup and tells of it.
private struct Creation {
    let session: Session
    let isDryRun: Bool

    func run(_ request: CreateRequest, command: String) throws -> Int32 {
        // Only who asks for a repository is asked which: no backup goes elsewhere because of a variable.
        let isOpen = request.format == .repository && session.options.repository == nil
        let manager = try session.manager(repository: isOpen ? try Environment.repository() : nil)
        let began = session.run.clock.monotonic()
        let result = isDryRun ? try manager.previewCreate(request) : try manager.create(request)
        let seconds = Double(session.run.clock.monotonic() - began) / 1e9
        session.insist(problems(of: result))
        session.tell(notes(on: result))
        session.print(.command(command, members(result, seconds)), text: { text(result, seconds) })
        if result.findings.contains(where: { $0.severity == .damage }) { return ExitStatus.damaged }
        return result.skipped.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }

    private func problems(of result: CreateResult) -> [String] {
        let lines = result.skipped.map { skipped in
            "\(skipped.isKept ? "changed" : "skipped"): \(skipped.path): \(skipped.reason)"
        }
        return abbreviated(lines, most: 50, verbose: session.options.verbose)
            + result.findings.map { "\($0.severity.rawValue): \($0.subject): \($0.message)" }
    }

    private func notes(on result: CreateResult) -> [String] {
        var lines: [String] = []
        if !result.absentItems.isEmpty {
            let list = result.absentItems.map { printable($0.utf8) }.joined(separator: ", ")
            lines.append("not there: \(list)")
        }
        return lines + uncoveredLine(result.uncovered)
    }

    private func text(_ result: CreateResult, _ seconds: Double) -> [String] {
        let backup = result.backup
        let size = "\(counted(backup.entries ?? 0, "entry")), \(ByteCount(backup.bytes ?? 0))"
        let shared = result.sharedFiles > 0 ? "\(counted(result.sharedFiles, "file")) shared, " : ""
        if isDryRun {
            return ["would create \(backup.name): \(size) (\(shared)\(ByteCount(result.bytesWritten)) to write)"]
        }
        var line = "created \(backup.name): \(size) (\(shared)\(ByteCount(result.bytesWritten)) written)"
        line += " in \(tenths(seconds)) s"
        if !result.skipped.isEmpty {
            line += "; incomplete: \(counted(result.skipped.count, "entry")) not read as they should"
        }
        if case .verified = backup.state { line += "; verified" }
        return [line]
    }

    private func members(_ result: CreateResult, _ seconds: Double) -> [(String, JSONOutput)] {
        [
            ("dry_run", .bool(isDryRun)), ("backup", result.backup.json),
            ("skipped", .array(result.skipped.map { .object(JSONOutput.skipped($0)) })),
            ("absent_items", .array(result.absentItems.map { .string($0) })),
            ("not_covered", JSONOutput.uncovered(result.uncovered)),
            ("shared_files", .number(Int64(result.sharedFiles))), ("bytes_written", .unsigned(result.bytesWritten)),
            ("findings", .array(result.findings.map(\.json))), ("milliseconds", .number(Int64(seconds * 1000))),
        ]
    }
}

func tenths(_ seconds: Double) -> String {
    let tenths = Int((seconds * 10).rounded())
    return "\(tenths / 10).\(tenths % 10)"
}

extension Finding {
    var json: JSONOutput {
        .object([
            ("severity", .string(severity.rawValue)), ("subject", .string(subject)), ("message", .string(message)),
        ])
    }
}
