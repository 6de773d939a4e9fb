import ArgumentParser
import ChastiPiBackup
import Model

struct DeleteVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "delete", abstract: "Delete backups, each whole. All names are checked before the first goes.")

    @Argument(help: ArgumentHelp("Names of backups, or 'latest'.", valueName: "backup"))
    var backups: [String]

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        if change.dryRun {
            let preview = try manager.previewDelete(backups)
            session.print(
                .command("delete", [("dry_run", .bool(true))] + members(preview)),
                text: { lines(preview, "would delete") })
            return ExitStatus.done
        }
        let result = try manager.delete(backups) { preview in
            let question = "Delete \(counted(preview.backups.count, "backup")) for ever?"
            // Who said yes already hears what was deleted.
            return try session.confirm(
                question, showing: change.yes ? [] : lines(preview, "to delete:"), yes: change.yes,
                otherwise: .refuse(verb: "delete"))
        }
        session.print(
            .command(
                "delete",
                [
                    ("deleted", .array(result.deleted.map { .string($0.text) })),
                    ("declined", .bool(result.wasDeclined)),
                ]),
            text: { result.wasDeclined ? ["nothing was deleted"] : result.deleted.map { "deleted \($0)" } })
        return result.wasDeclined ? ExitStatus.failed : ExitStatus.done
    }

    private func lines(_ preview: DeletePreview, _ word: String) -> [String] {
        preview.backups.map { "\(word) \($0.name) (\($0.time.readable))" }
            + [
                preview.bytesFreed.map { "this frees about \(ByteCount($0))" }
                    ?? "this frees what no other backup needs"
            ]
    }

    private func members(_ preview: DeletePreview) -> [(String, JSONOutput)] {
        [("backups", .array(preview.backups.map(\.json))), ("bytes_freed", .optional(preview.bytesFreed))]
    }
}
