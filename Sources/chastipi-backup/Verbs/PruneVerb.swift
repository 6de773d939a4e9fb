import ArgumentParser
import ChastiPiBackup
import Model

/// What `prune` keeps: restic's options, with restic's meaning.
struct KeepOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp("Keep the newest N backups, or 'unlimited'.", valueName: "n"))
    var keepLast: String?

    @Option(help: ArgumentHelp("Keep the newest of each of N hours.", valueName: "n"))
    var keepHourly: String?

    @Option(help: ArgumentHelp("Keep the newest of each of N days.", valueName: "n"))
    var keepDaily: String?

    @Option(help: ArgumentHelp("Keep the newest of each of N weeks.", valueName: "n"))
    var keepWeekly: String?

    @Option(help: ArgumentHelp("Keep the newest of each of N months.", valueName: "n"))
    var keepMonthly: String?

    @Option(help: ArgumentHelp("Keep the newest of each of N years.", valueName: "n"))
    var keepYearly: String?

    @Option(help: ArgumentHelp("Keep all within this of the newest, such as 1y5m7d2h.", valueName: "span"))
    var keepWithin: String?

    @Option(help: ArgumentHelp("Keep the newest of each hour within this.", valueName: "span"))
    var keepWithinHourly: String?

    @Option(help: ArgumentHelp("Keep the newest of each day within this.", valueName: "span"))
    var keepWithinDaily: String?

    @Option(help: ArgumentHelp("Keep the newest of each week within this.", valueName: "span"))
    var keepWithinWeekly: String?

    @Option(help: ArgumentHelp("Keep the newest of each month within this.", valueName: "span"))
    var keepWithinMonthly: String?

    @Option(help: ArgumentHelp("Keep the newest of each year within this.", valueName: "span"))
    var keepWithinYearly: String?

    @Option(help: ArgumentHelp("Keep what has this tag, or all of several with commas.", valueName: "tag"))
    var keepTag: [String] = []

    /// Nil if no option is given.
    func policy() throws -> RetentionPolicy? {
        let rules = [
            ("last", keepLast), ("hourly", keepHourly), ("daily", keepDaily), ("weekly", keepWeekly),
            ("monthly", keepMonthly), ("yearly", keepYearly), ("within", keepWithin),
            ("within_hourly", keepWithinHourly), ("within_daily", keepWithinDaily),
            ("within_weekly", keepWithinWeekly), ("within_monthly", keepWithinMonthly),
            ("within_yearly", keepWithinYearly),
        ]
        guard !keepTag.isEmpty || rules.contains(where: { $0.1 != nil }) else { return nil }
        var policy = RetentionPolicy()
        for (key, text) in rules {
            guard let text else { continue }
            do throws(RetentionError) {
                try policy.set(key, to: text)
            } catch {
                throw BackupError(.usage, "--keep-\(key.replacing("_", with: "-")): \(error)")
            }
        }
        for tags in keepTag { policy.keep(tags: tags) }
        return policy
    }
}

struct PruneVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "prune", abstract: "Remove the backups that no rule keeps, and say why each is kept or removed.",
        discussion: """
            The rules are the options, or 'retention' in backup.yaml if there are none. A backup that one rule keeps is kept. \
            Kept as well, and counted by no rule: the newest complete backup, which is read back first unless it is known as \
            verified; backups that you named yourself; backups from the future; the last two safety backups, and those of 7 \
            days.
            """)

    @OptionGroup var keep: KeepOptions

    @Flag(help: "Put backups that somebody named under the rules too.")
    var includeNamed = false

    @Flag(help: "Go on also where more than half of all backups would be removed.")
    var yesRemoveMany = false

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        var request = PruneRequest()
        request.policy = try keep.policy()
        request.includesNamed = includeNamed
        request.removesMany = yesRemoveMany
        if change.dryRun {
            let plan = try manager.previewPrune(request)
            session.print(.command("prune", members(plan, isDryRun: true)), text: { lines(plan) })
            if plan.removesMany, !yesRemoveMany {
                session.insist(["this is more than half of all backups: it needs --yes-remove-many"])
            }
            return ExitStatus.done
        }
        var isShown = false
        let result = try manager.prune(request) { plan in
            isShown = true
            return try session.confirm(
                "Remove \(counted(plan.removed.count, "backup")) for ever?", showing: lines(plan), yes: change.yes,
                otherwise: .refuse(verb: "prune"))
        }
        if !isShown { session.tell(lines(result.plan)) }
        session.print(
            .command("prune", members(result.plan, isDryRun: false) + members(result)), text: { text(result) })
        return result.wasDeclined ? ExitStatus.failed : ExitStatus.done
    }

    private func lines(_ plan: RetentionPlan) -> [String] {
        guard !plan.decisions.isEmpty else { return ["No backups found"] }
        var table = TextTable(["", "NAME", "TIME", "ALONE", "WHY"], numeric: [3])
        for decision in plan.decisions {
            let backup = decision.backup
            table.add([
                decision.isKept ? "keep" : "remove", backup.name.text, backup.time.readable,
                backup.bytesAlone.map { "\(ByteCount($0))" } ?? "?", reasons(decision).joined(separator: ", "),
            ])
        }
        var lines = ["policy: \(plan.policy)"] + table.lines
        guard !plan.removed.isEmpty else { return lines }
        if let proof = plan.proof, !proof.isVerified {
            lines.append("\(proof.name) is read back first; should it be damaged, nothing is removed")
        }
        let count = "\(plan.removed.count) of \(counted(plan.decisions.count, "backup"))"
        let freed = plan.bytesFreed.map { "at least \(ByteCount($0))" } ?? "what no other backup needs"
        lines.append("to remove: \(count), which frees \(freed)")
        return lines
    }

    private func text(_ result: PruneResult) -> [String] {
        if result.wasDeclined { return ["nothing was removed"] }
        guard !result.removed.isEmpty else { return ["nothing to remove"] }
        return result.removed.map { "removed \($0)" }
            + ["\(counted(result.removed.count, "backup")) removed, \(ByteCount(result.bytesFreed)) freed"]
    }

    private func reasons(_ decision: RetentionDecision) -> [String] { decision.reasons.map(\.description) }

    private func members(_ plan: RetentionPlan, isDryRun: Bool) -> [(String, JSONOutput)] {
        let decisions = plan.decisions.map { decision in
            JSONOutput.object([
                ("kept", .bool(decision.isKept)), ("reasons", .array(reasons(decision).map { .string($0) })),
                ("backup", decision.backup.json),
            ])
        }
        return [
            ("dry_run", .bool(isDryRun)), ("policy", .string(plan.policy.description)),
            ("decisions", .array(decisions)), ("bytes_freed_at_least", .optional(plan.bytesFreed)),
            ("removes_many", .bool(plan.removesMany)),
        ]
    }

    private func members(_ result: PruneResult) -> [(String, JSONOutput)] {
        [
            ("removed", .array(result.removed.map { .string($0.text) })),
            ("bytes_freed", .unsigned(result.bytesFreed)), ("declined", .bool(result.wasDeclined)),
        ]
    }
}
