import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryRepairVerbs: VerbGroup {
    static let configuration = CommandConfiguration(
        commandName: "repair", abstract: "Make the best of a damaged repository.",
        discussion: """
            First 'check --read-data' tells what is damaged; take a copy of the repository if there is room. Then 'repair \
            packs' where bytes are wrong, 'repair index' where files are missing, and 'create', which stores anew what the app \
            still has. What is lost for good 'repair snapshots' takes out of the backups.
            """,
        subcommands: [
            RepositoryRepairPacksVerb.self, RepositoryRepairIndexVerb.self, RepositoryRepairSnapshotsVerb.self,
        ])
}

struct RepositoryRepairPacksVerb: RepositoryVerb {
    static let words = "repair packs"
    static let configuration = CommandConfiguration(
        commandName: "packs", abstract: "Save what can be read of damaged packs, and remove them.")

    @Argument(
        help: ArgumentHelp(
            "The first digits of packs (default: all are read to find the damaged ones).", valueName: "id"))
    var ids: [String] = []

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        let (done, failures) = dry.dryRun ? (try manager.previewPackRepair(ids), []) : try manager.repairPacks(ids)
        session.insist(failures.map { "not removed: \($0.subject): \($0.message)" })
        session.print(.command(Self.fullName, members(done, failures)), text: { text(done, session) })
        if done.lostBlobs > 0 { return ExitStatus.damaged }
        return failures.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }

    private func text(_ done: PackRepairPreview, _ session: Session) -> [String] {
        if done.isEmpty { return ["no pack is damaged: nothing to do"] }
        var lines = abbreviated(
            done.packs.map { "\(dry.dryRun ? "to remove" : "removed"): the pack \($0.prefix(8))" }, most: 50,
            verbose: session.options.verbose)
        let saved = "\(counted(done.saved.count, "part")) of files and directories, \(ByteCount(done.saved.bytes))"
        lines.append("\(dry.dryRun ? "to store" : "stored") anew: \(saved)")
        if !dry.dryRun {
            lines.append("backups that were found damaged are known as such until 'verify --all' reads them again")
        }
        if done.lostBlobs > 0 {
            lines.append(
                "\(counted(done.lostBlobs, "part")) cannot be read anywhere; 'create' stores what the app still has")
        }
        return lines
    }

    private func members(_ done: PackRepairPreview, _ failures: [Finding]) -> [(String, JSONOutput)] {
        [
            dry.member, ("packs", .array(done.packs.map { .string($0) })),
            ("saved_blobs", .number(Int64(done.saved.count))), ("saved_bytes", .unsigned(done.saved.bytes)),
            ("lost_blobs", .number(Int64(done.lostBlobs))), ("not_removed", .array(failures.map(\.json))),
        ]
    }
}

struct RepositoryRepairIndexVerb: RepositoryVerb {
    static let words = "repair index"
    static let configuration = CommandConfiguration(
        commandName: "index", abstract: "Make the index say what is stored. Backups and data stay as they are.")

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        let result = dry.dryRun ? try manager.previewIndexRepair() : try manager.repairIndex()
        session.print(.command(Self.fullName, members(result)), text: { text(result, session) })
        return result.brokenPacks.isEmpty && result.lostBlobs == 0 ? ExitStatus.done : ExitStatus.damaged
    }

    private func text(_ result: IndexRepairPreview, _ session: Session) -> [String] {
        let (removed, added) = dry.dryRun ? ("to remove", "to add") : ("removed", "added")
        var lines = result.unreadable.map { "\(removed): \($0.subject): \($0.message)" }
        lines += result.missingPacks.map { "\(removed): the pack \($0.prefix(8)), which is missing" }
        lines += result.indexedPacks.map { "\(added): the pack \($0.prefix(8))" }
        lines = abbreviated(lines, most: 50, verbose: session.options.verbose)
        lines += result.brokenPacks.map { "\($0.subject): \($0.message)" }
        if result.isEmpty { lines.append("the index is right: nothing to do") }
        if result.lostBlobs > 0 {
            lines.append(
                "\(counted(result.lostBlobs, "part")) of files and directories are lost; 'repair snapshots' goes on")
        }
        return lines
    }

    private func members(_ result: IndexRepairPreview) -> [(String, JSONOutput)] {
        [
            dry.member, ("unreadable", .array(result.unreadable.map(\.json))),
            ("missing_packs", .array(result.missingPacks.map { .string($0) })),
            ("indexed_packs", .array(result.indexedPacks.map { .string($0) })),
            ("broken_packs", .array(result.brokenPacks.map(\.json))),
            ("lost_blobs", .number(Int64(result.lostBlobs))),
        ]
    }
}

struct RepositoryRepairSnapshotsVerb: RepositoryVerb {
    static let words = "repair snapshots"
    static let configuration = CommandConfiguration(
        commandName: "snapshots", abstract: "Make backups without what is lost of those that are damaged.",
        discussion: """
            The new ones have the tag 'repaired', the same time, and names of their own; what they lack is named. The damaged \
            ones stay, unless --forget is given.
            """)

    @Flag(help: "Remove the damaged backups once they are replaced.")
    var forget = false

    @Flag(help: "Read every byte first: what cannot be read is lost.")
    var readData = false

    @OptionGroup var change: ChangeOptions
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var request = SnapshotRepairRequest()
        request.forgets = forget
        request.readsData = readData
        let manager = try session.repository()
        if change.dryRun {
            let preview = try manager.previewSnapshotRepair(request)
            session.print(.command(Self.fullName, members(preview)), text: { lines(preview, session) })
            return ExitStatus.done
        }
        let result = try manager.repairSnapshots(request) { preview in
            let question = forget ? "Repair them, and remove the damaged ones for ever?" : "Repair them?"
            return try session.confirm(
                question, showing: change.yes ? [] : lines(preview, session), yes: change.yes,
                otherwise: forget ? .refuse(verb: "repair snapshots --forget") : .goOn)
        }
        session.insist(result.failures.map { "not removed: \($0.subject): \($0.message)" })
        session.print(.command(Self.fullName, members(result)), text: { text(result, session) })
        if result.wasDeclined { return ExitStatus.failed }
        return result.failures.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }

    private func name(_ damaged: SnapshotRepairPreview.Damaged) -> String {
        let name = damaged.tags.first { $0.hasPrefix("name=") }?.dropFirst(5)
        let id = damaged.id.prefix(8)
        return printable((name.map { "\($0) (\(id))" } ?? "\(id)").utf8) + ", \(damaged.time.readable)"
    }

    private func lines(_ preview: SnapshotRepairPreview, _ session: Session) -> [String] {
        var lines: [String] = []
        for damaged in preview.damaged {
            let what =
                damaged.isLost ? "nothing is left of it" : damaged.isReplaced ? "replaced already" : "to be replaced"
            lines.append("\(name(damaged)): \(what)")
            lines += abbreviated(
                damaged.losses.map { "  \($0.subject): \($0.message)" }, most: 50, verbose: session.options.verbose)
        }
        lines += preview.unreadable.map { "\($0.subject): \($0.message); it stays" }
        lines.append("\(counted(preview.sound, "backup")) sound, \(preview.damaged.count) damaged")
        return lines
    }

    private func text(_ result: SnapshotRepairResult, _ session: Session) -> [String] {
        if result.wasDeclined { return ["nothing was changed"] }
        let made = result.made.map { "made the repaired snapshot \($0.prefix(8))" }
        return lines(result.done, session) + (result.done.isEmpty ? ["nothing to do"] : made)
    }

    private func members(_ result: SnapshotRepairResult) -> [(String, JSONOutput)] {
        members(result.done) + [
            ("made", .array(result.made.map { .string($0) })), ("not_removed", .array(result.failures.map(\.json))),
            ("declined", .bool(result.wasDeclined)),
        ]
    }

    private func members(_ preview: SnapshotRepairPreview) -> [(String, JSONOutput)] {
        let damaged = preview.damaged.map { damaged in
            JSONOutput.object([
                ("id", .string(damaged.id)), ("time", .time(damaged.time)),
                ("tags", .array(damaged.tags.map { .string($0) })), ("losses", .array(damaged.losses.map(\.json))),
                ("lost", .bool(damaged.isLost)), ("replaced_before", .bool(damaged.isReplaced)),
            ])
        }
        return [
            ("dry_run", .bool(change.dryRun)), ("sound", .number(Int64(preview.sound))), ("damaged", .array(damaged)),
            ("unreadable", .array(preview.unreadable.map(\.json))),
        ]
    }
}
