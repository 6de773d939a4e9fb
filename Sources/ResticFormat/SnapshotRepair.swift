import Codec
import Model
import Storage
import Workers

/// Makes snapshots that are whole of those that are not: without the chunks that are lost, with the sizes that files have then, and
/// with empty directories in the place of trees that cannot be read. The new ones have the tag `repaired`, and the damaged one's ID
/// as their original.
///
/// The caller holds an exclusive lock from before ``plan(_:)`` until ``apply(_:)`` has returned. The index must be right: repair that
/// first.
///
/// Source: restic's `repair snapshots`.
package struct SnapshotRepair: Sendable {
    package static let tag = "repaired"

    package struct Options: Sendable {
        /// Whether damaged snapshots are removed when they are replaced.
        package var forgets = false
        /// Packs in which a check found damage: what cannot be read of them counts as lost.
        package var damagedPacks: Set<SHA256Digest> = []

        package init() {}
    }

    /// A damaged snapshot.
    package struct Damaged: Sendable {
        package let stored: Repository.StoredSnapshot
        package let losses: [SnapshotLoss]
        /// What takes its place; nil where nothing of it is left, or that is there already.
        package fileprivate(set) var replacement: Snapshot?
        /// Whether an earlier repair has replaced it by one that is sound.
        package let isReplaced: Bool
    }

    package struct Plan: Sendable {
        package let damaged: [Damaged]
        /// Snapshots that cannot be read at all. They stay.
        package let unreadable: [Finding]
        package let sound: Int
        fileprivate let forgets: Bool
        fileprivate let trees: [SHA256Digest: [UInt8]]

        package var isEmpty: Bool {
            damaged.allSatisfy { $0.replacement == nil && !(forgets && ($0.isReplaced || $0.isLost)) }
        }
    }

    private let repository: Repository
    private let pool: ThreadPool
    private let run: RunContext

    package init(_ repository: Repository, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.pool = pool
        self.run = run
    }

    /// Finds out what is lost; nothing is changed.
    ///
    /// Throws `BackupError.refused` if the index is wrong: what it does not name seems lost and may be there.
    package func plan(_ options: Options = Options()) throws -> Plan {
        let indexRepair = try IndexRepair(repository, on: pool, in: run).plan()
        try requireRight(indexRepair, isDamaged: false)
        let (snapshots, unreadable) = try repository.readableSnapshots(on: pool)
        let index = try repository.indexFiles(on: pool).index
        var scan = DamageScan(
            repository, index, damagedCopies: try damagedCopies(options.damagedPacks, index))
        let meter = ProgressMeter(.scanning, entries: snapshots.count, bytes: 0, in: run)
        var found: [(stored: Repository.StoredSnapshot, damage: DamageScan.Damaged)] = []
        // What a replacement that is damaged itself replaces must not go for it: it may have what that has lost.
        var replaced: Set<SHA256Digest> = []
        for stored in snapshots {
            if let damage = try scan.scan(stored.snapshot.tree, in: run) {
                found.append((stored, damage))
            } else if stored.snapshot.tags.contains(Self.tag), let original = stored.snapshot.original {
                replaced.insert(original)
            }
            meter.advance(entries: 1) { entryPath(ObjectKey.snapshot(stored.id).path) }
        }
        let damaged = found.map { stored, damage in
            var new = Damaged(stored: stored, losses: damage.losses, isReplaced: replaced.contains(stored.id))
            if !new.isLost, !new.isReplaced { new.replacement = Self.replacement(of: stored, damage.tree) }
            return new
        }
        try requireRight(indexRepair, isDamaged: !damaged.isEmpty)
        return Plan(
            damaged: damaged, unreadable: unreadable.map(\.finding), sound: snapshots.count - damaged.count,
            forgets: options.forgets, trees: scan.trees)
    }

    /// `isDamaged`: whether something seems to be lost.
    private func requireRight(_ index: IndexRepair.Plan, isDamaged: Bool) throws {
        // Not more than that: packs may be there whose headers cannot be read, and others that an interrupted backup has left.
        let isRight = index.unreadableFiles.isEmpty && index.missingPacks.isEmpty && index.lostBlobs.isEmpty
        if isRight && (index.indexedPacks.isEmpty || !isDamaged) { return }
        throw BackupError(
            .refused,
            "the index of \(repository.backend.place) is not what is stored there: what is lost cannot be told",
            advice: "Repair the index first.")
    }

    private static func replacement(of stored: Repository.StoredSnapshot, _ tree: SHA256Digest) -> Snapshot {
        var snapshot = stored.snapshot
        snapshot.tree = tree
        if !snapshot.tags.contains(tag) { snapshot.tags.append(tag) }
        snapshot.original = stored.id
        return snapshot
    }

    /// The blobs of the packs that cannot be read, by number.
    private func damagedCopies(_ packs: Set<SHA256Digest>, _ index: BlobIndex) throws -> Set<Int> {
        let numbers = packs.compactMap { index.packNumber(of: $0) }.flatMap { index.entries(ofPack: $0) }
        let coders = PerWorker(pool) { repository.coder() }
        let isDamaged = try pool.map(numbers.count) { worker, place -> Bool in
            try self.run.stop.check()
            let number = numbers[place]
            do {
                try coders.with(worker) { coder in
                    try readingTwice {
                        try coder.readBlob(
                            index.key(number), at: index.location(number), from: self.repository.backend
                        ) { _ in }
                    }
                }
                return false
            } catch is FormatError {
                return true
            } catch let error as StorageError where error.concernsObject {
                return true
            }
        }
        return Set(zip(numbers, isDamaged).filter(\.1).map(\.0))
    }

    /// Stores new trees, then the new snapshots, and removes damaged ones only then, if the plan says so.
    ///
    /// Returns the IDs of the new snapshots in the order of the plan, and what could not be removed.
    package func apply(_ plan: Plan) throws -> (made: [SHA256Digest], failures: [Finding]) {
        if plan.forgets { try repository.requireRemoval(for: "have snapshots replaced") }
        // With an empty index: the copy that that has of a tree may be the damaged one.
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        if plan.damaged.contains(where: { $0.replacement != nil }) {
            try writer.finish {
                for (id, bytes) in plan.trees.sorted(by: { $0.key.hex < $1.key.hex }) {
                    let saved = try bytes.withUnsafeBytes { try writer.save(.tree, $0, worker: 0) }
                    guard saved.id == id else { throw FormatError("a tree has another ID than was planned") }
                }
            }
        }
        var made: [SHA256Digest] = []
        for damaged in plan.damaged {
            if let replacement = damaged.replacement { made.append(try writer.save(replacement)) }
        }
        guard plan.forgets else { return (made, []) }
        let failures = repository.remove(plan.damaged.map { .snapshot($0.stored.id) })
        return (made, failures)
    }
}

extension SnapshotRepair.Damaged {
    /// Whether nothing of it is left.
    package var isLost: Bool {
        losses.contains { loss in
            if case .directory = loss.kind { return loss.path.isRoot }
            return false
        }
    }
}
