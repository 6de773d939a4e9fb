import ArgumentParser
import ChastiPiBackup
import Model

struct CopyVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "copy",
        abstract: "Turn backups into another format, or carry them to another directory; each copy is read back.",
        discussion: """
            What is no format is a repository. With --backup-dir DIR the copies go to DIR; the backups are those of the \
            app's own backups/, or named by a path. A copy has the backup's name, or that with _2, _3 where it is taken.
            """)

    @Argument(help: ArgumentHelp("Names of backups, 'latest', or paths.", valueName: "backup"))
    var backups: [String]

    @Option(
        help: ArgumentHelp(
            "folder, zip, or a repository: its path, or its name in backup.yaml; 'repository' for the usual one there.",
            valueName: "format"))
    var to: String

    @Option(help: ArgumentHelp("The copy's name (default: the backup's own).", valueName: "name"))
    var name: String?

    @Flag(help: "Take over owners and set-id bits also from a backup of unknown origin.")
    var trust = false

    @OptionGroup var encryption: EncryptionOptions
    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let format = BackupFormat(rawValue: to) ?? .repository
        var request = CopyRequest(backups, to: format)
        request.trusts = trust
        if format == .repository { request.repository = format.rawValue == to ? try Environment.repository() : to }
        request.encrypts = encryption.encrypt
        if let name {
            do throws(BackupNameError) {
                request.name = try BackupName(name)
            } catch {
                throw BackupError(.usage, "\(error)")
            }
        }
        let manager = try session.manager()
        let copies = change.dryRun ? try manager.previewCopy(request) : try manager.copy(request)
        let verb = change.dryRun ? "would copy" : "copied"
        session.print(
            .command(
                "copy",
                [
                    ("dry_run", .bool(change.dryRun)),
                    (
                        "copies",
                        .array(
                            copies.map {
                                .object([
                                    ("source", .string($0.source)), ("backup", $0.backup.json),
                                    ("bytes_written", .unsigned($0.bytesWritten)),
                                    ("not_held", .array($0.notHeld.map { .object(JSONOutput.skipped($0)) })),
                                ])
                            })
                    ),
                ]),
            text: {
                copies.map { copy in
                    let written = change.dryRun ? "" : " (\(ByteCount(copy.bytesWritten)) written, verified)"
                    return
                        "\(verb) \(printable(copy.source.utf8)) to the \(format.rawValue) \(copy.backup.name)\(written)"
                }
            })
        let left = copies.flatMap(\.notHeld)
        session.insist(
            abbreviated(
                left.map { "skipped: \($0.path): \($0.reason)" }, most: 50, verbose: session.options.verbose))
        return left.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }
}

struct DiffVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "diff", abstract: "Tell what differs between two backups, or between a backup and the app.")

    @Argument(help: ArgumentHelp("A backup: its name, 'latest', or a path.", valueName: "backup"))
    var backup: String

    @Argument(help: ArgumentHelp("Another one (default: the app as it is).", valueName: "other"))
    var other: String?

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let difference = try session.manager().compare(backup, with: other)
        session.insist(difference.unread.map { "not compared: \($0.path): \($0.reason)" })
        session.print(.command("diff", members(difference)), text: { lines(difference) })
        return difference.unread.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }

    private func lines(_ difference: BackupDifference) -> [String] {
        if difference.changes.isEmpty { return ["\(difference.before) and \(difference.after) are equal"] }
        func count(_ kind: BackupDifference.Kind) -> Int { difference.changes.count { $0.kind == kind } }
        let lines = difference.changes.map { change in
            let sign =
                switch change.kind {
                case .added: "+"
                case .removed: "-"
                case .changed: "M"
                }
            let what = change.what.isEmpty ? "" : " (\(change.what.joined(separator: ", ")))"
            return "\(sign) \(change.path)\(what)"
        }
        return lines + [
            "from \(difference.before) to \(difference.after): \(count(.added)) added, \(count(.removed)) removed, "
                + "\(count(.changed)) changed"
        ]
    }

    private func members(_ difference: BackupDifference) -> [(String, JSONOutput)] {
        let changes = difference.changes.map { change in
            JSONOutput.object(
                JSONOutput.members(of: change.path) + [
                    ("change", .string(change.kind.rawValue)), ("what", .array(change.what.map { .string($0) })),
                    ("bytes_before", .optional(change.bytesBefore)), ("bytes_after", .optional(change.bytesAfter)),
                ])
        }
        return [
            ("before", .string(difference.before)), ("after", .string(difference.after)), ("changes", .array(changes)),
            ("not_compared", .array(difference.unread.map { .object(JSONOutput.skipped($0)) })),
        ]
    }
}
