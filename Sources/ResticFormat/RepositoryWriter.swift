import Codec
import Model
import Storage
import Synchronization
import Workers

/// Adds blobs to a repository: each once, in packs, which are indexed when they are durable. Nothing that it adds can be seen before
/// a snapshot is saved; what a run that was cut off leaves behind is used by the next one or removed by a prune.
///
/// Source: restic's design document, "Pack Format", "Indexing" and "Snapshots".
package final class RepositoryWriter: Sendable {
    /// What a blob is compressed with. Trees and documents of version 2 always are, as restic does it.
    package enum Compression: Sendable {
        case none
        /// A level of zstd; 3 is what restic calls `auto`.
        case zstd(Int32)
        /// The same for data that gets no smaller, too, as restic does it. Else that is stored as it is.
        case always(Int32)
    }

    /// What was added.
    package struct Added: Equatable, Sendable {
        package var dataBlobs = 0
        package var treeBlobs = 0
        /// Bytes of the blobs' content.
        package var content = 0
        /// Bytes that the blobs, and what packs say of them, take.
        package var stored = 0
    }

    /// Small blobs of a type go into one pack, so that a small backup makes one. Large ones, which are hashed and written while their
    /// pack is locked, go into one for each worker.
    private struct Lane: Hashable, Comparable {
        let type: BlobType
        let worker: Int

        init(_ type: BlobType, size: Int, worker: Int) {
            self.type = type
            self.worker = size < OpenPack.pieceSize ? 0 : worker
        }

        static func < (a: Lane, b: Lane) -> Bool {
            a.type == b.type ? a.worker < b.worker : a.type == .data && b.type == .tree
        }
    }

    private struct State {
        /// Blobs that were added; those of the index are not among them.
        var data = BlobSet()
        var trees = BlobSet()
        /// Packs that are stored and not in an index yet.
        var packs: [IndexedPack] = []
        var blobs = 0
        var added = Added()
        /// Packs that are being filled.
        var open: [Lane: OpenPack] = [:]
        /// The first error: blobs may be missing that are told as stored.
        var failure: (any Error)?

        /// Returns whether the blob was not added before.
        mutating func add(_ key: BlobKey) -> Bool {
            switch key.type {
            case .data: data.insert(key.id)
            case .tree: trees.insert(key.id)
            }
        }

        mutating func remove(_ key: BlobKey) {
            switch key.type {
            case .data: data.remove(key.id)
            case .tree: trees.remove(key.id)
            }
        }
    }

    private let repository: Repository
    private let index: BlobIndex
    private let packSize: Int
    private let dataCompression: BlobCompression
    private let workers: PerWorker<PackingTools>
    private let state = Mutex(State())

    /// - Parameters:
    ///   - index: what the repository has already.
    ///   - packSize: bytes of blobs after which a pack is full; restic knows 4 to 128 MiB.
    package init(
        _ repository: Repository, index: BlobIndex, on pool: ThreadPool, compression: Compression = .zstd(3),
        packSize: Int = 16 << 20
    ) {
        self.repository = repository
        self.index = index
        self.packSize = packSize
        let level: Int32
        switch compression {
        case .none: (dataCompression, level) = (.none, 3)
        case .zstd(let asked): (dataCompression, level) = (.ifSmaller, asked)
        case .always(let asked): (dataCompression, level) = (.always, asked)
        }
        workers = PerWorker(pool) {
            PackingTools(coder: repository.coder(), compressor: ZstdCompressor(level: level))
        }
    }

    package var added: Added { state.withLock { $0.added } }

    /// Stores a blob unless the repository has it. Returns its ID, and whether it is new.
    ///
    /// `worker`: the number of the calling worker of the pool; of no other thread at the same time.
    package func save(
        _ type: BlobType, _ content: UnsafeRawBufferPointer, worker: Int
    ) throws -> (id: SHA256Digest, isNew: Bool) {
        try unlessFailed(worker) { tools in
            tools.hash.reset()
            tools.hash.update(content)
            let key = BlobKey(type, tools.hash.finish())
            guard !index.contains(key), state.withLock({ $0.add(key) }) else {
                return (key.id, false)
            }
            try add(key, content, worker, &tools)
            return (key.id, true)
        }
    }

    /// Stores a blob that is in another pack of the same repository, as the message that it is there, unless it was stored already.
    /// Returns whether the message is sound; else nothing was stored.
    func move(_ blob: PackedBlob, message: UnsafeRawBufferPointer, worker: Int) throws -> Bool {
        try unlessFailed(worker) { tools in
            guard !index.contains(blob.key), state.withLock({ $0.add(blob.key) }) else {
                return true
            }
            do throws(FormatError) {
                try tools.coder.verify(
                    message, blob.key, isCompressed: blob.place.isCompressed, contentLength: blob.place.contentLength)
            } catch {
                state.withLock { $0.remove(blob.key) }
                return false
            }
            let filled = try addCounting(
                blob.key, message, Int(blob.place.uncompressedLength), content: blob.place.contentLength, worker)
            if let filled { try store(filled, isFull: true, &tools) }
            return true
        }
    }

    /// Stores all that is not stored yet, and indexes it. No worker may be at work.
    package func finish() throws {
        try unlessFailed(0) { tools in
            for lane in state.withLock({ $0.open.keys.sorted() }) {
                guard let pack = state.withLock({ $0.open.removeValue(forKey: lane) }) else { continue }
                try store(pack, isFull: false, &tools)
            }
            try saveIndex(atLeast: 1, &tools)
        }
    }

    /// Makes what was added visible: everything that the snapshot names must be stored by ``finish()``.
    package func save(_ snapshot: Snapshot) throws -> SHA256Digest {
        try unlessFailed(0) { tools in
            try snapshot.json.withRawBytes { try repository.store($0, &tools) { .snapshot($0) } }
        }
    }

    /// Removes what was stored and not indexed. What cannot be removed is left to a prune. No worker may be at work.
    package func discard() {
        let (packs, open) = state.withLock { state in
            defer { (state.packs, state.blobs, state.open) = ([], 0, [:]) }
            return (state.packs, state.open)
        }
        for pack in open.values { pack.discard() }
        _ = repository.backend.remove(packs.map { .pack($0.id) })
    }

    /// Calls `body`, which stores and waits for its workers, and ``finish()``. After an error nothing is left that is not indexed.
    func finish(after body: () throws -> Void) throws {
        do {
            try body()
            try finish()
        } catch {
            discard()
            throw error
        }
    }

    /// After an error nothing is stored any more: a snapshot would name what is not there.
    private func unlessFailed<R: Sendable>(_ worker: Int, _ body: (inout PackingTools) throws -> R) throws -> R {
        if let failure = state.withLock({ $0.failure }) { throw failure }
        do {
            return try workers.with(worker, body)
        } catch {
            state.withLock { if $0.failure == nil { $0.failure = error } }
            throw error
        }
    }

    // MARK: Packs

    private func add(
        _ key: BlobKey, _ content: UnsafeRawBufferPointer, _ worker: Int, _ tools: inout PackingTools
    ) throws {
        let isOld = repository.configuration.version == .one
        let compression: BlobCompression = isOld ? .none : key.type == .tree ? .always : dataCompression
        let filled = try tools.seal(key, content, compression) { message, uncompressedLength in
            try addCounting(key, message, uncompressedLength, content: content.count, worker)
        }
        if let filled { try store(filled, isFull: true, &tools) }
    }

    /// Returns the pack if this has filled it. `content`: the bytes of the blob.
    private func addCounting(
        _ key: BlobKey, _ message: UnsafeRawBufferPointer, _ uncompressedLength: Int, content: Int, _ worker: Int
    ) throws -> OpenPack? {
        let filled = try add(
            key, message, uncompressedLength, to: Lane(key.type, size: message.count, worker: worker))
        let entry = PackHeader.entrySize(isCompressed: uncompressedLength > 0)
        state.withLock { state in
            state.added.content += content
            state.added.stored += message.count + entry
            if key.type == .data { state.added.dataBlobs += 1 } else { state.added.treeBlobs += 1 }
        }
        return filled
    }

    /// Returns the pack if this has filled it.
    private func add(
        _ key: BlobKey, _ message: UnsafeRawBufferPointer, _ uncompressedLength: Int, to lane: Lane
    ) throws -> OpenPack? {
        while true {
            let pack = try openPack(of: lane)
            let outcome: OpenPack.Outcome
            do throws(RepositoryWriteError) {
                outcome = try pack.add(key, message, uncompressedLength: uncompressedLength)
            } catch {
                throw error.cause
            }
            switch outcome {
            case .added: return nil
            case .filled:
                take(pack, lane)
                return pack
            // Who has filled it takes it away.
            case .closed: take(pack, lane)
            }
        }
    }

    private func openPack(of lane: Lane) throws -> OpenPack {
        try state.withLock { state in
            if let pack = state.open[lane] { return pack }
            let pack = OpenPack(try repository.backend.upload(), limit: packSize)
            state.open[lane] = pack
            return pack
        }
    }

    private func take(_ pack: OpenPack, _ lane: Lane) {
        state.withLock { state in
            if state.open[lane] === pack { state.open[lane] = nil }
        }
    }

    private func store(_ pack: OpenPack, isFull: Bool, _ tools: inout PackingTools) throws {
        let stored: IndexedPack
        do {
            stored = try pack.finish(&tools, repository.configuration.version)
        } catch {
            pack.discard()
            throw (error as? RepositoryWriteError)?.cause ?? error
        }
        let count = state.withLock { state in
            state.packs.append(stored)
            state.blobs += stored.blobs.count
            if isFull { state.added.stored += MessageCipher.overhead + PackHeader.lengthSize }
            return state.blobs
        }
        if count >= IndexFiles.fullFile { try saveIndex(atLeast: IndexFiles.fullFile, &tools) }
    }

    // MARK: Documents

    /// Indexes the packs that are not indexed yet, if they hold so many blobs.
    private func saveIndex(atLeast count: Int, _ tools: inout PackingTools) throws {
        let packs = state.withLock { state in
            guard state.blobs >= count else { return [IndexedPack]() }
            defer { (state.packs, state.blobs) = ([], 0) }
            return state.packs
        }
        guard !packs.isEmpty else { return }
        try repository.storeIndex(packs, &tools)
    }
}
