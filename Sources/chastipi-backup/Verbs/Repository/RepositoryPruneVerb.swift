import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryPruneVerb: RepositoryVerb {
    static let words = "prune"
    static let configuration = CommandConfiguration(
        commandName: words, abstract: "Free the space of what no backup needs any more.",
        discussion: """
            This removes no backup: 'delete' and 'prune' with --repository do. Where parts of a pack are needed, it is stored \
            anew without the others, once enough is of no use.
            """)

    @Option(help: ArgumentHelp("What of no use may stay: 5%, a size such as 500M, or unlimited.", valueName: "limit"))
    var maxUnused: String?

    @Option(help: ArgumentHelp("How much may be stored anew, such as 500M.", valueName: "size"))
    var maxRepackSize: String?

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var request = RepositoryPruneRequest()
        if let maxUnused { try request.tolerate(maxUnused) }
        if let maxRepackSize { try request.limitRepacking(maxRepackSize) }
        let manager = try session.repository()
        if dry.dryRun {
            let preview = try manager.previewPrune(request)
            session.print(.command(Self.fullName, members(preview, [])), text: { text(preview) })
            return ExitStatus.done
        }
        let (done, failures) = try manager.prune(request)
        session.insist(failures.map { "not removed: \($0.subject): \($0.message)" })
        session.print(.command(Self.fullName, members(done, failures)), text: { text(done) })
        return failures.isEmpty ? ExitStatus.done : ExitStatus.incomplete
    }

    private func text(_ preview: RepositoryPrunePreview) -> [String] {
        func told(_ amount: RepositoryPrunePreview.Amount, _ word: String) -> String {
            "\(counted(amount.count, word)), \(ByteCount(amount.bytes))"
        }
        let twice = preview.duplicates.count > 0 ? "; twice: \(told(preview.duplicates, "blob"))" : ""
        var lines = [
            "needed by \(counted(preview.snapshots, "backup")): \(told(preview.used, "blob"))",
            "of no use: \(told(preview.unused, "blob"))\(twice)",
        ]
        if preview.isEmpty { return lines + ["nothing to do"] }
        lines.append("\(dry.dryRun ? "would stay" : "kept"): \(told(preview.kept, "pack"))")
        let acts = [
            (preview.repacked, dry.dryRun ? "would be stored anew" : "stored anew", ""),
            (preview.removed, dry.dryRun ? "would be removed" : "removed", ""),
            (preview.unindexed, dry.dryRun ? "would be removed" : "removed", ", which no index names"),
        ]
        for (amount, act, what) in acts where amount.count > 0 {
            lines.append("\(act): \(told(amount, "pack"))\(what)")
        }
        let left = preview.bytesRemaining > 0 ? "; \(ByteCount(preview.bytesRemaining)) of no use stay" : ""
        return lines + ["\(dry.dryRun ? "would free" : "freed") \(ByteCount(preview.bytesFreed))\(left)"]
    }

    private func members(
        _ preview: RepositoryPrunePreview, _ failures: [Finding]
    ) -> [(String, JSONOutput)] {
        func json(_ amount: RepositoryPrunePreview.Amount) -> JSONOutput {
            .object([("count", .number(Int64(amount.count))), ("bytes", .unsigned(amount.bytes))])
        }
        return [
            dry.member, ("snapshots", .number(Int64(preview.snapshots))),
            ("used_blobs", json(preview.used)), ("unused_blobs", json(preview.unused)),
            ("duplicate_blobs", json(preview.duplicates)), ("packs_kept", json(preview.kept)),
            ("packs_repacked", json(preview.repacked)), ("packs_removed", json(preview.removed)),
            ("packs_unindexed", json(preview.unindexed)), ("bytes_freed", .unsigned(preview.bytesFreed)),
            ("bytes_unused_left", .unsigned(preview.bytesRemaining)),
            ("not_removed", .array(failures.map(\.json))),
        ]
    }
}
