import Codec
import Model
import Storage
import Synchronization
import Workers

// Doing what a plan says.
extension RepositoryPrune {
    /// Carries out a plan, step by step in an order in which a crash leaves every snapshot whole:
    ///
    /// 1. Packs are removed that no index names, and what uploads left that were cut off: the lock says that nobody uploads now.
    /// 2. Blobs that move are stored in new packs, and those are indexed. Afterwards some blobs are there twice.
    /// 3. New index files are stored, without the packs that go. All packs are still there.
    /// 4. The old index files are removed.
    /// 5. Packs are removed that no index names any more.
    ///
    /// Returns what could not be removed in the end: another prune does that. Whatever fails before is thrown, and no needed blob is
    /// gone. If a needed blob cannot be read anywhere, nothing is removed from then on.
    package func apply(_ plan: PrunePlan) throws -> [Finding] {
        try repository.requireRemoval(for: "be pruned")
        try requireUnchanged(plan)
        var findings = removeLeftovers()
        if plan.isEmpty { return findings }
        findings += repository.remove(plan.unindexedPacks)
        try run.stop.check()
        try repack(plan)
        try plan.indexRewrite.perform(repository)
        let packs = plan.removedPacks + plan.repackedPacks
        run.report(.started(.removing, entries: packs.count, bytes: 0))
        findings += repository.remove(packs.map { .pack(plan.files.index.packs[$0]) })
        return findings
    }

    /// What they take is little: that they stay is no reason to stop.
    private func removeLeftovers() -> [Finding] {
        do throws(StorageError) {
            try repository.backend.removeLeftovers()
            return []
        } catch {
            return [Finding(.note, error.subject, "it was not removed: \(error.reason)")]
        }
    }

    /// Neither snapshots nor index files came or went since the plan was made, but ignored snapshots.
    private func requireUnchanged(_ plan: PrunePlan) throws {
        let snapshots = Set(try repository.backend.list(.snapshot).map(\.key.id)).subtracting(plan.options.ignored)
        let indexFiles = Set(try repository.backend.list(.index).map(\.key.id))
        guard snapshots == plan.snapshotIDs, indexFiles == Set(plan.files.files.map(\.id)) else {
            throw BackupError(
                .refused, "the repository \(repository.backend.place) changed since the prune was planned",
                advice: "Run it again.")
        }
    }

    /// Stores the needed blobs of the packs that go in new ones. Throws if one of them cannot be read.
    private func repack(_ plan: PrunePlan) throws {
        if plan.repackedPacks.isEmpty { return }
        let compression: RepositoryWriter.Compression =
            switch plan.options.compression {
            // What is not compressed although it was asked for would be stored anew each time.
            case .zstd(let level) where plan.options.repacksUncompressed: .always(level)
            default: plan.options.compression
            }
        // With an empty index, as what is there counts for nothing: it goes.
        let writer = RepositoryWriter(
            repository, index: BlobIndex(), on: pool, compression: compression, packSize: plan.options.packSize)
        let readers = PerWorker(pool) { Repacking(repository, plan, writer) }
        let packs = plan.repackedPacks.sorted()
        let meter = ProgressMeter(.saving, entries: packs.count, bytes: plan.repacked.bytes, in: run)
        let count = Mutex(0)
        try pool.forEach(packs.count) { worker, place in
            try self.run.stop.check()
            let (blobs, bytes) = try readers.with(worker) { try $0.move(packs[place], worker: worker) }
            count.withLock { $0 += blobs }
            meter.advance(entries: 1, bytes: bytes) {
                entryPath(ObjectKey.pack(plan.files.index.packs[packs[place]]).path)
            }
        }
        try writer.finish()
        let added = writer.added
        guard added.dataBlobs + added.treeBlobs == count.withLock({ $0 }) else {
            throw BackupError(
                .damaged, "not all blobs that are needed were stored anew; no pack that had them was removed")
        }
    }
}

/// Moves the needed blobs of packs into new ones. For one worker.
private struct Repacking: ~Copyable {
    private let repository: Repository
    private let plan: PrunePlan
    private let writer: RepositoryWriter
    private var coder: RepositoryCoder
    private var reader = PackReader()

    init(_ repository: Repository, _ plan: PrunePlan, _ writer: RepositoryWriter) {
        self.repository = repository
        self.plan = plan
        self.writer = writer
        coder = repository.coder()
    }

    /// Returns how many blobs of the pack were moved, and their bytes.
    mutating func move(_ pack: Int, worker: Int) throws -> (blobs: Int, bytes: UInt64) {
        let index = plan.files.index
        let numbers = index.entries(ofPack: pack).filter { plan.needed.contains($0) }
            .sorted { index.place($0).offset < index.place($1).offset }
        let blobs = numbers.map { PackedBlob(index.key($0), index.place($0)) }
        for piece in PackReader.pieces(of: blobs) {
            let messages = try read(index.packs[pack], blobs[piece])
            for (place, number) in piece.enumerated() {
                if let messages, try store(blobs[number], messages[place], worker) { continue }
                // Where a bad sector kept the piece from being read, this copy may be sound all the same.
                try storeCopy(of: blobs[number], besides: messages == nil ? nil : numbers[number], worker)
            }
        }
        return (blobs.count, blobs.reduce(0) { $0 + UInt64($1.place.length) })
    }

    /// Nil where the pack cannot be read.
    private mutating func read(
        _ pack: SHA256Digest, _ piece: ArraySlice<PackedBlob>
    ) throws(StorageError) -> [UnsafeMutableRawBufferPointer]? {
        do throws(StorageError) {
            return try reader.read(pack, piece, from: repository.backend)
        } catch {
            if error.concernsObject { return nil }
            throw error
        }
    }

    /// Returns whether the blob is sound; else it was not stored.
    private mutating func store(
        _ blob: PackedBlob, _ message: UnsafeMutableRawBufferPointer, _ worker: Int
    ) throws -> Bool {
        guard mustCompress(blob) else {
            return try writer.move(blob, message: UnsafeRawBufferPointer(message), worker: worker)
        }
        let content: UnsafeRawBufferPointer
        do throws(FormatError) {
            content = try coder.open(message, blob.key, blob.place)
        } catch {
            return false
        }
        _ = try writer.save(blob.key.type, content, worker: worker)
        return true
    }

    private func mustCompress(_ blob: PackedBlob) -> Bool {
        guard repository.configuration.version == .two, !blob.place.isCompressed, blob.place.contentLength > 0 else {
            return false
        }
        return blob.key.type == .tree || plan.options.repacksUncompressed
    }

    /// Stores the blob from wherever it can be read, but from the copy with the number `damaged`.
    private mutating func storeCopy(of blob: PackedBlob, besides damaged: Int?, _ worker: Int) throws {
        for number in plan.files.index.numbers(of: blob.key) where number != damaged {
            guard let content = try content(of: blob.key, number) else { continue }
            _ = try content.withUnsafeBytes { try writer.save(blob.key.type, $0, worker: worker) }
            return
        }
        throw BackupError(
            .damaged, "the \(blob.key) is needed and cannot be read; no pack that has it was removed",
            advice: "Check the repository, and repair it before it is pruned.")
    }

    /// Nil where this copy cannot be read.
    private mutating func content(of key: BlobKey, _ number: Int) throws -> [UInt8]? {
        do {
            return try coder.readBlob(key, at: plan.files.index.location(number), from: repository.backend) {
                Array($0)
            }
        } catch is FormatError {
            return nil
        } catch let error as StorageError where error.concernsObject {
            return nil
        }
    }
}
