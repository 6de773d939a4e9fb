import Codec
import Model
import ResticFormat

/// What a repair of packs is going to do, or did.
public struct PackRepairPreview: Sendable {
    /// Damaged packs that go; 64 hexadecimal digits each.
    public let packs: [String]
    /// What can be read of them and is stored anew.
    public let saved: RepositoryPrunePreview.Amount
    /// How many parts of backups cannot be read anywhere.
    public let lostBlobs: Int
    public let isEmpty: Bool

    init(_ plan: PackRepair.Plan) {
        packs = plan.packs.map(\.hex)
        saved = .init(plan.saved)
        lostBlobs = plan.lost.count
        isEmpty = plan.isEmpty
    }
}

extension RepositoryManager {
    /// What ``repairPacks(_:)`` would do. Nothing changes but the lock.
    public func previewPackRepair(_ ids: [String]) throws -> PackRepairPreview {
        try locked(.exclusive, for: "repair packs") { repository in
            PackRepairPreview(
                try PackRepair(repository, on: pool, in: run).plan(try damagedPacks(ids, repository)))
        }
    }

    /// Stores anew what can be read of damaged packs, and removes them: from then on the repository knows what it lacks, and the next
    /// backup stores again what the app still has of it. `ids`: beginnings of IDs; with none, all packs are read to find them.
    /// Returns what was done, and what could not be removed.
    public func repairPacks(_ ids: [String]) throws -> (done: PackRepairPreview, failures: [Finding]) {
        try locked(.exclusive, for: "repair packs") { repository in
            let repair = PackRepair(repository, on: pool, in: run)
            let plan = try repair.plan(try damagedPacks(ids, repository))
            return (PackRepairPreview(plan), plan.isEmpty ? [] : try repair.apply(plan))
        }
    }

    private func damagedPacks(_ ids: [String], _ repository: Repository) throws -> Set<SHA256Digest> {
        guard !ids.isEmpty else {
            return try RepositoryCheck(repository, on: pool, in: run).perform(reading: .everything).damagedPacks
        }
        let stored = try repository.backend.list(.pack).map(\.key.id)
        return Set(
            try ids.map { text in
                let found = stored.filter { $0.hex.hasPrefix(text.lowercased()) }
                guard let pack = found.first, found.count == 1, !text.isEmpty else {
                    let shown = printable(text.utf8.prefix(70))
                    throw BackupError(
                        found.count > 1 ? .usage : .notFound,
                        "\(found.count > 1 ? "several packs begin" : "no pack begins") with '\(shown)'",
                        advice: "'repository check --read-data' names those that are damaged")
                }
                return pack
            })
    }
}
