import Codec
import Model
import Storage
import Synchronization
import Workers

/// Copies snapshots to another repository: trees and data as they are, under the other's keys. Their IDs stay.
///
/// The caller holds shared locks on both repositories from before ``plan(_:)`` until ``apply(_:)`` has returned.
///
/// Source: restic's `copy`.
package struct SnapshotCopy: Sendable {
    package struct Plan: Sendable {
        /// Snapshots to be copied, the oldest first.
        package fileprivate(set) var snapshots: [Repository.StoredSnapshot] = []
        /// Those that the target has already.
        package fileprivate(set) var present: [Repository.StoredSnapshot] = []
        /// Blobs that the target lacks, and the bytes that they take in the source.
        package fileprivate(set) var missing = PrunePlan.Amount()
        /// Whether files are cut into the same chunks in both: if not, later backups to the target share nothing with what was copied.
        package let cutsAlike: Bool

        fileprivate let sourceIndex: BlobIndex
        fileprivate let targetIndex: BlobIndex
        /// Blobs of the source, by the numbers that stand for all copies.
        fileprivate var marks: BlobMarks
    }

    private let source: Repository
    private let target: Repository
    private let pool: ThreadPool
    private let run: RunContext

    package init(from source: Repository, to target: Repository, on pool: ThreadPool, in run: RunContext) {
        self.source = source
        self.target = target
        self.pool = pool
        self.run = run
    }

    /// Finds out what the target lacks. `snapshots`: of the source.
    ///
    /// Throws `BackupError.damaged` if a tree of a snapshot cannot be read, or lacks something.
    package func plan(_ snapshots: [Repository.StoredSnapshot]) throws -> Plan {
        let present = try target.readableSnapshots(on: pool).snapshots
        let targetIndex = try target.indexFiles(on: pool).index
        let sourceIndex = try source.indexFiles(on: pool).index
        var plan = Plan(
            cutsAlike: source.configuration.polynomial == target.configuration.polynomial, sourceIndex: sourceIndex,
            targetIndex: targetIndex, marks: BlobMarks(size: sourceIndex.count))
        for stored in snapshots.sorted(by: { Repository.isOlder($0, $1) }) {
            if present.contains(where: { Self.isCopy($0, of: stored) }) {
                plan.present.append(stored)
            } else {
                plan.snapshots.append(stored)
            }
        }
        plan.marks = try missing(plan)
        for number in 0..<sourceIndex.count where plan.marks.contains(number) {
            plan.missing.add(UInt64(sourceIndex.place(number).length))
        }
        return plan
    }

    /// Whether they are of one origin and say the same.
    private static func isCopy(_ copy: Repository.StoredSnapshot, of stored: Repository.StoredSnapshot) -> Bool {
        let (a, b) = (copy.snapshot, stored.snapshot)
        let origins = [stored.snapshot.original ?? stored.id]
        return (origins.contains(copy.id) || a.original.map { origins.contains($0) } ?? false)
            && a.time.moment == b.time.moment && a.tree == b.tree && a.hostName == b.hostName
            && a.userName == b.userName && a.user == b.user && a.group == b.group && a.paths == b.paths
            && a.excludes == b.excludes && a.tags == b.tags
    }

    /// What the snapshots need and the target lacks. That the target has a tree does not say that it has what is below it.
    private func missing(_ plan: Plan) throws -> BlobMarks {
        let marks = Mutex(BlobMarks(size: plan.sourceIndex.count))
        let traversal = TreeTraversal(source, plan.sourceIndex, on: pool, in: run)
        try traversal.visit(plan.snapshots.map(\.snapshot.tree)) { _, visit in
            let tree = BlobKey(.tree, visit.id)
            if let failure = visit.failure { throw Self.damage(tree, "\(failure)") }
            var numbers: [Int] = []
            if !plan.targetIndex.contains(tree), let number = visit.number { numbers.append(number) }
            for node in visit.nodes where node.kind == .file {
                for id in node.content ?? [] {
                    let key = BlobKey(.data, id)
                    if plan.targetIndex.contains(key) { continue }
                    guard let number = plan.sourceIndex.number(of: key) else {
                        throw Self.damage(key, "a snapshot needs it, and the index does not have it")
                    }
                    numbers.append(number)
                }
            }
            let marked = numbers
            marks.withLock { marks in
                for number in marked { marks.insert(number) }
            }
        }
        return marks.withLock { $0 }
    }

    private static func damage(_ key: BlobKey, _ reason: String) -> BackupError {
        BackupError(
            .damaged, "the \(key): \(reason); no snapshot was copied", advice: "Check the repository, and repair it.")
    }

    /// Copies blobs, pack by pack, then the snapshots: those have no parent, and name the source's as their original.
    ///
    /// Returns the new snapshots' IDs in the order of the plan.
    package func apply(_ plan: Plan, compression: RepositoryWriter.Compression = .zstd(3)) throws -> [SHA256Digest] {
        let writer = RepositoryWriter(target, index: plan.targetIndex, on: pool, compression: compression)
        do {
            return try apply(plan, writer)
        } catch {
            // Nobody can see it, but it takes room.
            writer.discard()
            throw error
        }
    }

    private func apply(_ plan: Plan, _ writer: RepositoryWriter) throws -> [SHA256Digest] {
        let packs = packs(plan)
        let readers = PerWorker(pool) { Copying(source, plan.sourceIndex, writer) }
        let meter = ProgressMeter(.saving, entries: packs.count, bytes: plan.missing.bytes, in: run)
        try writer.finish {
            try pool.forEach(packs.count) { worker, place in
                try self.run.stop.check()
                let bytes = try readers.with(worker) { try $0.copy(packs[place], worker: worker) }
                meter.advance(entries: 1, bytes: bytes) { entryPath(ObjectKind.pack.rawValue) }
            }
        }
        return try plan.snapshots.map { stored in
            var snapshot = stored.snapshot
            snapshot.parent = nil
            snapshot.original = stored.snapshot.original ?? stored.id
            return try writer.save(snapshot)
        }
    }

    /// The numbers of what is missing, by pack.
    private func packs(_ plan: Plan) -> [[Int]] {
        var packs: [Int: [Int]] = [:]
        for number in 0..<plan.sourceIndex.count where plan.marks.contains(number) {
            packs[plan.sourceIndex.packNumber(number), default: []].append(number)
        }
        return packs.sorted { $0.key < $1.key }.map(\.value)
    }
}

/// Copies blobs of packs. For one worker.
private struct Copying: ~Copyable {
    private let source: Repository
    private let index: BlobIndex
    private let writer: RepositoryWriter
    private var coder: RepositoryCoder
    private var reader = PackReader()

    init(_ source: Repository, _ index: BlobIndex, _ writer: RepositoryWriter) {
        self.source = source
        self.index = index
        self.writer = writer
        coder = source.coder()
    }

    /// Copies blobs of one pack by their numbers. Returns the bytes that they take there.
    mutating func copy(_ numbers: [Int], worker: Int) throws -> UInt64 {
        let sorted = numbers.sorted { index.place($0).offset < index.place($1).offset }
        let blobs = sorted.map { PackedBlob(index.key($0), index.place($0)) }
        guard let first = sorted.first else { return 0 }
        let pack = index.location(first).pack
        for piece in PackReader.pieces(of: blobs) {
            let messages = try read(pack, blobs[piece])
            for (place, number) in piece.enumerated() {
                if let messages, try save(blobs[number], messages[place], worker) { continue }
                // From wherever it can be read.
                let content = try source.blob(blobs[number].key, in: index, &coder)
                _ = try content.withUnsafeBytes { try writer.save(blobs[number].key.type, $0, worker: worker) }
            }
        }
        return blobs.reduce(0) { $0 + UInt64($1.place.length) }
    }

    /// Nil where the pack cannot be read.
    private mutating func read(
        _ pack: SHA256Digest, _ piece: ArraySlice<PackedBlob>
    ) throws(StorageError) -> [UnsafeMutableRawBufferPointer]? {
        do throws(StorageError) {
            return try reader.read(pack, piece, from: source.backend)
        } catch {
            if error.concernsObject { return nil }
            throw error
        }
    }

    /// Returns whether the message is sound; else nothing was stored.
    private mutating func save(
        _ blob: PackedBlob, _ message: UnsafeMutableRawBufferPointer, _ worker: Int
    ) throws -> Bool {
        let content: UnsafeRawBufferPointer
        do throws(FormatError) {
            content = try coder.open(message, blob.key, blob.place)
        } catch {
            return false
        }
        _ = try writer.save(blob.key.type, content, worker: worker)
        return true
    }
}
