import ArgumentParser
import ChastiPiBackup
import Model

struct UndoVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "undo", abstract: "Take the last restore back; once more brings it again.")

    @Flag(help: "Give up what is kept for an undo instead.")
    var discard = false

    @Flag(help: "Go on although a process has open what is replaced.")
    var live = false

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        if discard { return try runDiscard(manager, session) }
        if change.dryRun {
            let preview = try manager.previewUndo()
            session.print(
                .command("undo", [("dry_run", .bool(true))] + members(preview)), text: { lines(preview, session) })
            return ExitStatus.done
        }
        var done = "the last restore is taken back; 'undo' again brings it again"
        let result = try manager.undo(isLive: live) { preview in
            if !preview.isUndo { done = "\(preview.backup) is restored again; 'undo' takes it back" }
            let question =
                preview.isUndo ? "Take the restore of \(preview.backup) back?" : "Restore \(preview.backup) again?"
            return try session.confirm(
                question, showing: lines(preview, session), yes: change.yes, otherwise: .goOn)
        }
        return ExchangeReporting(session: session).report(result, command: "undo", done: done)
    }

    private func lines(_ preview: UndoPreview, _ session: Session) -> [String] {
        let verb = preview.isUndo ? "taking back" : "bringing again"
        var lines = ["\(verb) the restore of \(preview.backup):"]
        lines += abbreviated(
            preview.changes.map { "  \($0.action.rawValue) \($0.path)" }, most: 20, verbose: session.options.verbose)
        lines += abbreviated(
            preview.changedSince.map { "  changed since, kept for the next undo: \($0)" }, most: 20,
            verbose: session.options.verbose)
        return lines
    }

    private func members(_ preview: UndoPreview) -> [(String, JSONOutput)] {
        let changes = preview.changes.map { change in
            JSONOutput.object(JSONOutput.members(of: change.path) + [("action", .string(change.action.rawValue))])
        }
        return [
            ("undo", .bool(preview.isUndo)), ("backup", .string(preview.backup)), ("changes", .array(changes)),
            ("changed_since", .array(preview.changedSince.map { .object(JSONOutput.members(of: $0)) })),
        ]
    }

    private func runDiscard(_ manager: BackupManager, _ session: Session) throws -> Int32 {
        func lines(_ preview: DiscardPreview) -> [String] {
            preview.kept.isEmpty
                ? ["nothing is kept for an undo"]
                : ["giving up:"] + preview.kept.map { "  \($0.path) (\(ByteCount($0.bytes)))" }
        }
        if change.dryRun {
            let preview = try manager.previewDiscard()
            let kept = preview.kept.map {
                JSONOutput.object([("path", .string($0.path)), ("bytes", .unsigned($0.bytes))])
            }
            session.print(
                .command("undo", [("dry_run", .bool(true)), ("discard", .array(kept))]), text: { lines(preview) })
            return ExitStatus.done
        }
        let result = try manager.discardUndo { preview in
            return try session.confirm(
                "Give this up for ever?", showing: lines(preview), yes: change.yes,
                otherwise: .refuse(verb: "undo --discard"))
        }
        return ExchangeReporting(session: session).report(
            result, command: "undo", done: "what was kept for an undo is gone")
    }
}

struct RecoverVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "recover", abstract: "Finish or take back a restore that a crash interrupted.")

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        if change.dryRun {
            let isPending = try manager.list().isRecoveryPending
            session.print(
                .command("recover", [("dry_run", .bool(true)), ("recovery_pending", .bool(isPending))]),
                text: { [isPending ? "a restore was interrupted and would be brought to its end" : "nothing to do"] })
            return ExitStatus.done
        }
        let result = try manager.recover()
        return ExchangeReporting(session: session).report(
            result, command: "recover", done: "what was interrupted is finished")
    }
}
