import Codec
import Model
import Storage
import Synchronization
import Workers

/// Saves what can be read of damaged packs: sound blobs move to new packs, and the damaged packs go. What cannot be read is lost
/// afterwards, unless another pack has it; ``SnapshotRepair`` then makes snapshots that do without.
///
/// The caller holds an exclusive lock from before ``plan(_:)`` until ``apply(_:)`` has returned.
///
/// Source: restic's `repair packs`.
package struct PackRepair: Sendable {
    package struct Plan: Sendable {
        /// Packs that go, as far as they are there.
        package fileprivate(set) var packs: [SHA256Digest] = []
        /// Blobs that move, and their bytes.
        package fileprivate(set) var saved = PrunePlan.Amount()
        /// Blobs that cannot be read there, nor in any other pack as far as the index knows.
        package fileprivate(set) var lost: [BlobKey] = []

        package var isEmpty: Bool { packs.isEmpty }

        fileprivate var rewrite: IndexRewrite
        /// By pack, rising by their offsets.
        fileprivate var sound: [SHA256Digest: [PackedBlob]] = [:]
    }

    private let repository: Repository
    private let pool: ThreadPool
    private let run: RunContext

    package init(_ repository: Repository, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.pool = pool
        self.run = run
    }

    /// Reads the packs, mostly those that a check has named; nothing is changed.
    package func plan(_ packs: Set<SHA256Digest>) throws -> Plan {
        let files = try repository.indexFiles(on: pool)
        let stored = try repository.backend.list(.pack).filter { packs.contains($0.key.id) }
            .sorted { $0.key.path < $1.key.path }
        let coders = PerWorker(pool) { repository.coder() }
        let reports = try pool.map(stored.count) { worker, number in
            try self.run.stop.check()
            return try coders.with(worker) { try self.read(stored[number], files.index, &$0) }
        }
        var plan = Plan(rewrite: IndexRewrite(files: files))
        var lost: Set<BlobKey> = []
        for (info, report) in zip(stored, reports) {
            let id = info.key.id
            plan.packs.append(id)
            if let number = files.index.packNumber(of: id) { plan.rewrite.excluded.insert(number) }
            plan.sound[id] = report.sound
            for blob in report.sound { plan.saved.add(UInt64(blob.place.length)) }
            lost.formUnion(report.damaged)
        }
        for blob in plan.sound.values.joined() { lost.remove(blob.key) }
        let gone = plan.rewrite.excluded
        plan.lost = lost.filter { key in
            files.index.numbers(of: key).allSatisfy { gone.contains(files.index.packNumber($0)) }
        }.sorted { ($0.type.rawValue, $0.id.hex) < ($1.type.rawValue, $1.id.hex) }
        return plan
    }

    /// Tries what the index and the header say is in a pack.
    private func read(
        _ pack: ObjectInfo, _ index: BlobIndex, _ coder: inout RepositoryCoder
    ) throws -> (sound: [PackedBlob], damaged: [BlobKey]) {
        let id = pack.key.id
        var blobs: Set<PackedBlob> = []
        // Of all lists of it, where index files contradict each other.
        if let number = index.packNumber(of: id) {
            blobs.formUnion(
                (0..<index.count).filter { index.packNumber($0) == number }
                    .map { PackedBlob(index.key($0), index.place($0)) })
        }
        if let header = try attempt({
            try PackHeader.read(
                id, size: pack.size, from: repository.backend, repository.configuration.version, &coder.cipher)
        }) {
            blobs.formUnion(header)
        }
        var (sound, damaged): ([PackedBlob], [BlobKey]) = ([], [])
        for blob in blobs.sorted(by: { $0.place.offset < $1.place.offset }) {
            let location = BlobIndex.Location(pack: id, place: blob.place)
            let isSound: Void? = try attempt {
                try coder.readBlob(blob.key, at: location, from: repository.backend) { _ in }
            }
            if isSound != nil { sound.append(blob) } else { damaged.append(blob.key) }
        }
        return (sound, damaged)
    }

    /// Nil where an object is damaged, also when it is read once more.
    private func attempt<R>(_ body: () throws -> R) throws -> R? {
        do {
            return try readingTwice(body)
        } catch is FormatError {
            return nil
        } catch let error as StorageError where error.concernsObject {
            return nil
        }
    }

    /// Stores what is sound in new packs and indexes them, takes the damaged ones out of the index, and then removes them. A crash
    /// leaves some blobs twice.
    ///
    /// Returns what could not be removed.
    package func apply(_ plan: Plan) throws -> [Finding] {
        try repository.requireRemoval(for: "have packs repaired")
        try plan.rewrite.requireUnchanged(repository)
        // With an empty index: what is in the packs that go counts for nothing.
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        let readers = PerWorker(pool) { PackReader() }
        try writer.finish {
            try pool.forEach(plan.packs.count) { worker, number in
                let id = plan.packs[number]
                for blob in plan.sound[id] ?? [] {
                    try self.run.stop.check()
                    let isMoved = try readers.with(worker) { reader in
                        let messages = try reader.read(id, [blob], from: self.repository.backend)
                        return try writer.move(blob, message: UnsafeRawBufferPointer(messages[0]), worker: worker)
                    }
                    guard isMoved else {
                        throw BackupError(.damaged, "the \(blob.key) cannot be read any more; no pack was removed")
                    }
                }
            }
        }
        try plan.rewrite.perform(repository)
        return repository.remove(plan.packs.map { .pack($0) })
    }
}
