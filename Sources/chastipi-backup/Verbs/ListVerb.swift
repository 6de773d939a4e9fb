import ArgumentParser
import ChastiPiBackup
import Model

struct ListVerb: Verb {
    static let configuration = CommandConfiguration(commandName: "list", abstract: "List the backups, newest first.")

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let list = try session.manager().list()
        if list.isRecoveryPending { session.warn("a restore was interrupted: run 'recover'") }
        session.print(
            .command(
                "list",
                [
                    ("backups", .array(list.backups.map(\.json))),
                    (
                        "foreign",
                        .array(
                            list.foreign.map { .object([("name", .string($0.name)), ("reason", .string($0.reason))]) })
                    ),
                    ("bytes_together", .unsigned(list.bytesTogether)),
                    ("recovery_pending", .bool(list.isRecoveryPending)),
                ]), text: { text(list) })
        return ExitStatus.done
    }

    /// The format, and in which of several repositories.
    private func place(of backup: Backup) -> String {
        let name = backup.repository.map { $0.contains("/") ? "" : " \($0)" } ?? ""
        return backup.format.rawValue + name
    }

    private func text(_ list: BackupList) -> [String] {
        var lines: [String] = []
        if list.backups.isEmpty {
            lines.append("No backups found")
        } else {
            var table = TextTable(
                ["NAME", "TIME", "FORMAT", "ENTRIES", "SIZE", "ALONE", "STATE"], numeric: [3, 4, 5])
            for backup in list.backups {
                table.add([
                    backup.name.text, backup.timeText, place(of: backup),
                    backup.entries.map { String($0) } ?? "?", backup.bytes.map { "\(ByteCount($0))" } ?? "?",
                    backup.bytesAlone.map { "\(ByteCount($0))" } ?? "?", backup.stateText,
                ])
            }
            lines += table.lines
            lines.append("\(counted(list.backups.count, "backup")), together \(ByteCount(list.bytesTogether))")
        }
        lines += list.foreign.map { "not ours: \($0.name): \($0.reason)" }
        return lines
    }
}

struct ShowVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what a backup holds, and what it left out and why.")

    @Argument(help: ArgumentHelp("A name, 'latest', or the path of a backup.", valueName: "backup"))
    var backup: String

    @Flag(help: "List every entry.")
    var files = false

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let details = try session.manager().show(backup, withEntries: files)
        session.print(.command("show", members(details)), text: { text(details, session) })
        return ExitStatus.done
    }

    private func text(_ details: BackupDetails, _ session: Session) -> [String] {
        let backup = details.backup
        var lines = ["\(backup.name): \(backup.timeText), \(backup.stateText)"]
        lines += details.metadata.map { "  \($0.key): \($0.value)" }
        lines.append("contents:")
        lines += details.contents.map { "  \($0.path): \(counted($0.entries, "entry")), \(ByteCount($0.bytes))" }
        if !details.databases.isEmpty {
            lines.append("databases:")
            lines += details.databases.map { database in
                let ways = [
                    "online": "copied while in use", "quiescent": "copied at rest",
                    "raw": "copied as it was, with its logs",
                ]
                let size = "\(database.pages) pages of \(database.pageSize) bytes, \(database.journalMode)"
                let facts = database.pages > 0 ? "\(size), " : ""
                return "  \(database.path): \(facts)\(ways[database.copied] ?? database.copied)"
            }
        }
        if !details.skipped.isEmpty {
            lines.append("not read as they should:")
            lines += details.skipped.map { "  \($0.path): \($0.reason)" }
        }
        if files {
            lines.append("entries:")
            lines += details.entries.map { entry in
                let time = LocalTime(moment: entry.modified, offset: backup.time.offset).readable
                return "  \(String(entry.mode, radix: 8)) \(time) \(entry.bytes) \(entry.path)"
                    + (entry.kind == .directory ? "/" : "")
            }
        }
        return lines + uncoveredLine(details.uncovered)
    }

    private func members(_ details: BackupDetails) -> [(String, JSONOutput)] {
        let entries = details.entries.map { entry in
            JSONOutput.object(
                JSONOutput.members(of: entry.path) + [
                    ("kind", .string(entry.kind.name)), ("bytes", .unsigned(entry.bytes)),
                    ("mode", .string(String(entry.mode, radix: 8))),
                    ("modified", .time(LocalTime(moment: entry.modified, offset: details.backup.time.offset))),
                ])
        }
        let contents = details.contents.map { top in
            JSONOutput.object(
                JSONOutput.members(of: top.path) + [
                    ("entries", .number(Int64(top.entries))), ("bytes", .unsigned(top.bytes)),
                ])
        }
        return [
            ("backup", details.backup.json),
            ("metadata", .object(details.metadata.map { ($0.key, .string($0.value)) })),
            ("skipped", .array(details.skipped.map { .object(JSONOutput.skipped($0)) })),
            ("contents", .array(contents)), ("entries", .array(entries)),
            ("not_covered", JSONOutput.uncovered(details.uncovered)),
            (
                "databases",
                .array(
                    details.databases.map { database in
                        .object(
                            JSONOutput.members(of: database.path) + [
                                ("pages", .unsigned(database.pages)), ("page_size", .unsigned(database.pageSize)),
                                ("journal_mode", .string(database.journalMode)), ("copied", .string(database.copied)),
                            ])
                    })
            ),
        ]
    }
}
