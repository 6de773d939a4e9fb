import Codec
import Model
import Storage
import Synchronization
import Workers

/// Whether a repository holds what its snapshots need.
///
/// The caller holds a lock: an exclusive one, as restic's `check` takes, or a shared one, with which a backup may add meanwhile what
/// counts as a pack that no index names. Nothing is changed.
///
/// Source: restic's `check`.
package struct RepositoryCheck: Sendable {
    /// Which packs are read.
    package enum Reading: Sendable, Equatable {
        case nothing
        case everything
        /// Those whose ID's first byte leaves `part - 1` if it is divided by `count`: parts 1 to `count` are everything.
        case part(Int, of: Int)
        /// About so many of a hundred, chosen at random; at least one.
        case percent(Double)
    }

    package struct Outcome: Sendable {
        package var findings: [Finding] = []
        package var snapshots = 0
        package var trees = 0
        /// Each copy of a blob that the index has.
        package var blobs = 0
        package var packs = 0
        /// Packs that no index names.
        package var unindexedPacks = 0
        package var packsRead = 0
        /// Bytes of those.
        package var bytesRead: UInt64 = 0
        /// Packs in which something is damaged or that have the wrong size, for ``PackRepair``.
        package var damagedPacks: Set<SHA256Digest> = []

        package var isDamaged: Bool { findings.contains { $0.severity == .damage } }
    }

    private let repository: Repository
    private let pool: ThreadPool
    private let run: RunContext

    package init(_ repository: Repository, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.pool = pool
        self.run = run
    }

    /// Throws `StorageError` where the place fails, and not an object of it, and `Stopped`.
    package func perform(reading: Reading) throws -> Outcome {
        if case .part(let part, let count) = reading, !(1...256 ~= count && 1...count ~= part) {
            throw BackupError(.usage, "part \(part) of \(count): there are 256 parts at most, and the first is 1")
        }
        var outcome = Outcome()
        outcome.findings += try SmallFilesCheck(repository).findings()
        // Snapshots before the index, so that what is added meanwhile can be found there.
        let (snapshots, unreadable) = try repository.readableSnapshots(on: pool)
        outcome.snapshots = snapshots.count
        outcome.findings += unreadable.map(\.finding)
        let files = try repository.indexFiles(on: pool)
        outcome.blobs = files.index.count
        outcome.findings += files.findings + Self.notes(files)
        let packs = PackListing(files, try repository.backend.list(.pack))
        outcome.packs = packs.indexed.count
        outcome.unindexedPacks = packs.unindexed.count
        outcome.findings += packs.findings
        outcome.damagedPacks = packs.damaged

        let trees = try checkTrees(snapshots, files.index)
        outcome.trees = trees.count
        var damagedCopies = trees.damagedCopies.union(packs.lostCopies)
        if reading != .nothing {
            let packCheck = PackCheck(repository, files, on: pool, in: run)
            let read = try packCheck.read(packs.chosen(reading, run))
            outcome.packsRead = read.packs
            outcome.bytesRead = read.bytes
            outcome.findings += read.findings
            outcome.damagedPacks.formUnion(read.damagedPacks)
            damagedCopies.formUnion(read.damagedCopies)
        }
        outcome.damagedPacks.formUnion(damagedCopies.map { files.index.location($0).pack })
        outcome.findings += trees.findings
        if !trees.findings.isEmpty || trees.hasWrongSizes || !damagedCopies.isEmpty {
            outcome.findings += try losses(snapshots, files.index, damagedCopies)
        }
        return outcome
    }

    /// What is odd and harms nobody.
    private static func notes(_ files: IndexFiles) -> [Finding] {
        var notes: [Finding] = []
        if !files.repeated.isEmpty {
            notes.append(Finding(.note, "the index", "\(files.repeated.count) packs are in several index files"))
        }
        var mixed = 0
        for number in files.index.packs.indices {
            let entries = files.index.entries(ofPack: number)
            guard let first = entries.first.map({ files.index.key($0).type }) else { continue }
            if entries.contains(where: { files.index.key($0).type != first }) { mixed += 1 }
        }
        if mixed > 0 {
            notes.append(Finding(.note, "the packs", "\(mixed) hold trees and data; a prune divides them"))
        }
        return notes
    }
}

// Trees.
extension RepositoryCheck {
    private struct Trees: Sendable {
        var count = 0
        var findings: [Finding] = []
        var hasWrongSizes = false
        var damagedCopies: Set<Int> = []
        var missing: Set<SHA256Digest> = []
    }

    /// Reads all trees. What is damaged is found by its ID here; ``losses`` looks for paths.
    private func checkTrees(_ snapshots: [Repository.StoredSnapshot], _ index: BlobIndex) throws -> Trees {
        let found = Mutex(Trees())
        let meter = ProgressMeter(.verifying, entries: 0, bytes: 0, in: run)
        try TreeTraversal(repository, index, on: pool, in: run).visit(snapshots.map(\.snapshot.tree)) { _, visit in
            var (missing, hasWrongSizes): ([SHA256Digest], Bool) = ([], false)
            for node in visit.nodes where node.kind == .file {
                var size: UInt64 = 0
                for id in node.content ?? [] {
                    if let number = index.number(of: BlobKey(.data, id)) {
                        size += UInt64(index.place(number).contentLength)
                    } else {
                        missing.append(id)
                    }
                }
                if size != node.size { hasWrongSizes = true }
            }
            found.withLock { found in
                found.count += 1
                found.damagedCopies.formUnion(visit.damaged)
                found.missing.formUnion(missing)
                if hasWrongSizes { found.hasWrongSizes = true }
                if let failure = visit.failure {
                    found.findings.append(Finding(.damage, "\(BlobKey(.tree, visit.id))", "\(failure)"))
                } else if !visit.damaged.isEmpty {
                    let message = "it cannot be read in one of its packs; another copy of it can"
                    found.findings.append(Finding(.damage, "\(BlobKey(.tree, visit.id))", message))
                }
            }
            meter.advance(entries: 1) { entryPath("\(ObjectKind.pack.rawValue)") }
        }
        return found.withLock { found in
            found.findings += found.missing.map {
                Finding(.damage, "\(BlobKey(.data, $0))", "a snapshot needs it, and the index does not have it")
            }
            found.findings.sort { ($0.subject, $0.message) < ($1.subject, $1.message) }
            return found
        }
    }

    /// What of which snapshot is lost by the damage. The same loss is told once, with the number of snapshots that have it.
    private func losses(
        _ snapshots: [Repository.StoredSnapshot], _ index: BlobIndex, _ damagedCopies: Set<Int>
    ) throws -> [Finding] {
        var scan = DamageScan(repository, index, damagedCopies: damagedCopies)
        var found: [SnapshotLoss: (count: Int, newest: SHA256Digest)] = [:]
        for stored in snapshots {
            guard let damage = try scan.scan(stored.snapshot.tree, in: run) else { continue }
            for loss in damage.losses { found[loss] = ((found[loss]?.count ?? 0) + 1, stored.id) }
        }
        return found.sorted { $0.key.path < $1.key.path }.map { loss, place in
            let others = place.count > 1 ? " and \(place.count - 1) older ones" : ""
            let name = loss.path.isRoot ? "all" : loss.path.description
            return Finding(.damage, name, "\(loss.message) (snapshot \(place.newest.shortHex)\(others))")
        }
    }
}

extension Repository {
    /// The snapshots that can be read, the oldest first, and the others.
    func readableSnapshots(
        on pool: ThreadPool
    ) throws -> (snapshots: [StoredSnapshot], unreadable: [UnreadableDocument]) {
        let (snapshots, unreadable) = try readDocuments(.snapshot, limit: Snapshot.sizeLimit, on: pool) { id, json in
            StoredSnapshot(id: id, snapshot: try Snapshot(json: json))
        }
        return (snapshots.sorted { Self.isOlder($0, $1) }, unreadable)
    }
}

/// A path to be shown as what is at work.
func entryPath(_ path: String) -> EntryPath { EntryPath(path) ?? .root }
