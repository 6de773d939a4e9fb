import ArgumentParser
import ChastiPiBackup
import Model

struct RestoreVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "restore", abstract: "Put a backup back into the app, all or nothing.",
        discussion: """
            What the backup does not hold goes only where the backup is known to cover it; all else stays. A safety backup \
            is made before, and 'undo' takes the restore back.
            """)

    @Argument(help: ArgumentHelp("A name, 'latest', or the path of a backup.", valueName: "backup"))
    var backup: String

    @Option(help: ArgumentHelp("Bring back only this path and what lies below it.", valueName: "path"))
    var only: [String] = []

    @Option(help: ArgumentHelp("Restore into a new directory instead of the app.", valueName: "dir"))
    var to: String?

    @Flag(help: "Bring back logs/ and *.log at the top level as well.")
    var includeLogs = false

    @Flag(help: "Make no safety backup (for an app that cannot be backed up any more).")
    var skipSafetyBackup = false

    @Flag(help: "Remove what the backup does not hold, also if it has no manifest.")
    var deleteExtra = false

    @Flag(help: "Take over owners and set-id bits from a backup of unknown origin.")
    var trust = false

    @Flag(help: "Restore although a process has open what is replaced.")
    var live = false

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var request = RestoreRequest(backup: backup)
        request.only = only
        request.includesLogs = includeLogs
        request.skipsSafetyBackup = skipSafetyBackup
        request.deletesExtra = deleteExtra
        request.trusts = trust
        request.isLive = live
        let manager = try session.manager()
        if change.dryRun { return try preview(manager, request, session) }
        if let to {
            let result = try manager.restore(request, to: to)
            return ExchangeReporting(session: session).report(
                result, command: "restore", done: "restored \(printable(backup.utf8)) to \(printable(to.utf8))")
        }
        var name = printable(backup.utf8)
        let result = try manager.restore(request) { plan in
            name = plan.backup
            return try session.confirm(
                "Restore \(plan.backup)?", showing: RestorePlanText(plan, isVerbose: session.options.verbose).lines,
                yes: change.yes, otherwise: .goOn)
        }
        return ExchangeReporting(session: session).report(
            result, command: "restore", done: "restored \(name); 'undo' takes it back")
    }

    private func preview(_ manager: BackupManager, _ request: RestoreRequest, _ session: Session) throws -> Int32 {
        let plan = try to.map { try manager.previewRestore(request, to: $0) } ?? manager.previewRestore(request)
        let text = RestorePlanText(plan, isVerbose: session.options.verbose)
        session.print(.command("restore", [("dry_run", .bool(true))] + text.members), text: { text.lines })
        return ExitStatus.done
    }
}

/// A restore's plan for people and for programs.
struct RestorePlanText {
    private let plan: RestorePlan
    private let isVerbose: Bool

    init(_ plan: RestorePlan, isVerbose: Bool) {
        self.plan = plan
        self.isVerbose = isVerbose
    }

    var lines: [String] {
        guard !plan.isEmpty else { return ["everything is as the backup \(plan.backup) has it"] }
        var lines = ["plan for \(plan.backup):"]
        let words: [(RestorePlan.Action, String)] = [
            (.add, "add"), (.replace, "replace"), (.remove, "remove"), (.attributes, "set attributes of"),
        ]
        for (action, word) in words {
            let changes = plan.changes.filter { $0.action == action }
            let list = changes.map { change in
                let below = change.entries > 1 ? " (\(counted(change.entries, "entry")))" : ""
                return "  \(word) \(change.path)\(below)"
            }
            lines += abbreviated(list, most: 15, verbose: isVerbose)
        }
        let kept = plan.kept.map { "  keep \($0.path): \($0.reason)" }
        lines += abbreviated(kept, most: 10, verbose: isVerbose)
        lines.append("\(ByteCount(plan.bytes)) to write; \(counted(plan.unchanged, "entry")) right already")
        return lines
    }

    var members: [(String, JSONOutput)] {
        let changes = plan.changes.map { change in
            JSONOutput.object(
                JSONOutput.members(of: change.path) + [
                    ("action", .string(change.action.rawValue)), ("entries", .number(Int64(change.entries))),
                    ("bytes", .unsigned(change.bytes)),
                ])
        }
        let kept = plan.kept.map { kept in
            JSONOutput.object(JSONOutput.members(of: kept.path) + [("reason", .string(kept.reason))])
        }
        return [
            ("backup", .string(plan.backup)), ("changes", .array(changes)), ("kept", .array(kept)),
            ("unchanged", .number(Int64(plan.unchanged))), ("bytes", .unsigned(plan.bytes)),
        ]
    }
}

/// Tells how a restore, an undo or a recovery ended.
struct ExchangeReporting {
    let session: Session

    func report(_ result: RestoreResult, command: String, done: String) -> Int32 {
        for warning in result.warnings { session.warn(warning) }
        var lines = result.notKept.map { "not kept: \($0)" }
        lines += result.conflicts.map { "kept aside: \($0.path) was found there and is now in \($0.keptAt)" }
        session.insist(abbreviated(lines, most: 50, verbose: session.options.verbose))
        if let safety = result.safetyBackup { session.tell(["safety backup: \(safety)"]) }
        session.print(.command(command, members(result)), text: { [sentence(result, done)] })
        if case .doneDespite = result.ending { return ExitStatus.incomplete }
        if result.ending == .declined { return ExitStatus.failed }
        return result.isComplete ? ExitStatus.done : ExitStatus.incomplete
    }

    private func sentence(_ result: RestoreResult, _ done: String) -> String {
        switch result.ending {
        case .nothingToDo: "nothing to do"
        case .declined: "nothing was changed"
        case .done: done
        case .doneDespite(let cause): "\(done), although something failed on the way: \(cause)"
        case .takenBack: "what was interrupted has been taken back: everything is as it was before"
        }
    }

    private func members(_ result: RestoreResult) -> [(String, JSONOutput)] {
        let ending =
            switch result.ending {
            case .nothingToDo: "nothing_to_do"
            case .declined: "declined"
            case .done: "done"
            case .doneDespite: "done_despite_failure"
            case .takenBack: "taken_back"
            }
        let conflicts = result.conflicts.map { conflict in
            JSONOutput.object(JSONOutput.members(of: conflict.path) + [("kept_at", .string(conflict.keptAt))])
        }
        return [
            ("ending", .string(ending)), ("safety_backup", result.safetyBackup.map { .string($0.text) } ?? .null),
            ("not_kept", .array(result.notKept.map { .string($0) })), ("conflicts", .array(conflicts)),
            ("warnings", .array(result.warnings.map { .string($0) })),
        ]
    }
}
