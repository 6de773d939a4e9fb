import Codec
import Model
import ResticFormat

/// What a repair of the index is going to do, or did.
public struct IndexRepairPreview: Sendable {
    /// Index files that cannot be read and go.
    public let unreadable: [Finding]
    /// Packs that are missing, and are taken out; 64 hexadecimal digits each.
    public let missingPacks: [String]
    /// Packs that no index named, or wrongly, and that come in.
    public let indexedPacks: [String]
    /// Packs whose contents cannot be told. They stay.
    public let brokenPacks: [Finding]
    /// How many parts of backups are lost with all that.
    public let lostBlobs: Int
    public let isEmpty: Bool

    init(_ plan: IndexRepair.Plan) {
        unreadable = plan.unreadableFiles
        missingPacks = plan.missingPacks.map(\.hex)
        indexedPacks = plan.indexedPacks.map(\.hex)
        brokenPacks = plan.brokenPacks
        lostBlobs = plan.lostBlobs.count
        isEmpty = plan.isEmpty
    }
}

/// How backups that are damaged for good are repaired.
public struct SnapshotRepairRequest: Sendable {
    /// Whether the damaged ones are removed once they are replaced.
    public var forgets = false
    /// Whether all packs are read first: what cannot be read of them counts as lost.
    public var readsData = false

    public init() {}
}

/// What a repair of snapshots is going to do, or did.
public struct SnapshotRepairPreview: Sendable {
    public struct Damaged: Sendable {
        /// 64 hexadecimal digits.
        public let id: String
        public let time: LocalTime
        public let tags: [String]
        /// What is lost, by path; safe to print.
        public let losses: [Finding]
        /// Whether nothing is left of it.
        public let isLost: Bool
        /// Whether an earlier repair has replaced it.
        public let isReplaced: Bool
        /// Whether there is or will be another without what is lost.
        public let hasReplacement: Bool
    }

    public let damaged: [Damaged]
    /// Snapshots that cannot be read at all. They stay.
    public let unreadable: [Finding]
    public let sound: Int
    public let isEmpty: Bool

    init(_ plan: SnapshotRepair.Plan) {
        damaged = plan.damaged.map { damaged in
            Damaged(
                id: damaged.stored.id.hex, time: damaged.stored.snapshot.time, tags: damaged.stored.snapshot.tags,
                losses: damaged.losses.map { loss in
                    Finding(.damage, loss.path.isRoot ? "all" : "\(loss.path)", loss.message)
                }, isLost: damaged.isLost, isReplaced: damaged.isReplaced,
                hasReplacement: damaged.replacement != nil)
        }
        unreadable = plan.unreadable
        sound = plan.sound
        isEmpty = plan.isEmpty
    }
}

/// What ``RepositoryManager/repairSnapshots(_:confirm:)`` did.
public struct SnapshotRepairResult: Sendable {
    public let done: SnapshotRepairPreview
    /// IDs of new snapshots.
    public let made: [String]
    /// What could not be removed.
    public let failures: [Finding]
    public let wasDeclined: Bool
}

extension RepositoryManager {
    /// What ``repairIndex()`` would do. Nothing changes but the lock.
    public func previewIndexRepair() throws -> IndexRepairPreview {
        try locked(.exclusive, for: "repair index") { repository in
            IndexRepairPreview(try IndexRepair(repository, on: pool, in: run).plan())
        }
    }

    /// Makes the index say what is stored. Backups and their data stay as they are.
    public func repairIndex() throws -> IndexRepairPreview {
        try locked(.exclusive, for: "repair index") { repository in
            let repair = IndexRepair(repository, on: pool, in: run)
            let plan = try repair.plan()
            if !plan.isEmpty { try repair.apply(plan) }
            return IndexRepairPreview(plan)
        }
    }

    /// What ``repairSnapshots(_:confirm:)`` would do. Nothing changes but the lock.
    public func previewSnapshotRepair(_ request: SnapshotRepairRequest) throws -> SnapshotRepairPreview {
        try locked(.exclusive, for: "repair snapshots") { repository in
            SnapshotRepairPreview(try snapshotRepair(repository, request).plan)
        }
    }

    /// Makes backups without what is lost of those that are damaged. `confirm` sees what will be done; if it says no, nothing
    /// changes. If nothing is to be done it is not asked.
    public func repairSnapshots(
        _ request: SnapshotRepairRequest, confirm: (SnapshotRepairPreview) throws -> Bool
    ) throws -> SnapshotRepairResult {
        try locked(.exclusive, for: "repair snapshots") { repository in
            let (repair, plan) = try snapshotRepair(repository, request)
            let preview = SnapshotRepairPreview(plan)
            let isWanted = try plan.isEmpty || confirm(preview)
            guard isWanted, !plan.isEmpty else {
                return SnapshotRepairResult(done: preview, made: [], failures: [], wasDeclined: !isWanted)
            }
            let (made, failures) = try repair.apply(plan)
            return SnapshotRepairResult(
                done: preview, made: made.map(\.hex), failures: failures, wasDeclined: false)
        }
    }

    private func snapshotRepair(
        _ repository: Repository, _ request: SnapshotRepairRequest
    ) throws -> (repair: SnapshotRepair, plan: SnapshotRepair.Plan) {
        var options = SnapshotRepair.Options()
        options.forgets = request.forgets
        if request.readsData {
            let check = RepositoryCheck(repository, on: pool, in: run)
            options.damagedPacks = try check.perform(reading: .everything).damagedPacks
        }
        let repair = SnapshotRepair(repository, on: pool, in: run)
        return (repair, try repair.plan(options))
    }
}
