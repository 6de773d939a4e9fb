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

    /// What one worker holds.
    private struct Worker: ~Copyable {
        var tools: PackingTools
        var data: PackBuilder
        var trees: PackBuilder
    }

    private struct State {
        /// Blobs that were added; those of the index are not among them.
        var pending: Set<BlobKey> = []
        /// Packs that are stored and not in an index yet.
        var packs: [IndexedPack] = []
        var blobs = 0
        var added = Added()
    }

    /// Blobs in an index file, after which another one begins.
    private static let indexBlobs = 50_000

    private let repository: Repository
    private let index: BlobIndex
    private let packSize: Int
    private let compressesData: Bool
    private let workers: PerWorker<Worker>
    private let workerCount: Int
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
        workerCount = pool.workers
        let level: Int32
        switch compression {
        case .none: (compressesData, level) = (false, 3)
        case .zstd(let asked): (compressesData, level) = (repository.configuration.version == .two, asked)
        }
        workers = PerWorker(pool) {
            Worker(
                tools: PackingTools(coder: repository.coder(), compressor: ZstdCompressor(level: level)),
                data: PackBuilder(capacity: packSize + Chunker.maximum + 1 << 16),
                trees: PackBuilder(capacity: packSize + 1 << 20))
        }
    }

    package var added: Added { state.withLock { $0.added } }

    /// Stores a blob unless the repository has it. Returns its ID, and whether it is new.
    ///
    /// `worker`: the number of the calling worker of the pool; of no other thread at the same time.
    package func save(
        _ type: BlobType, _ content: UnsafeRawBufferPointer, worker: Int
    ) throws -> (id: SHA256Digest, isNew: Bool) {
        try workers.with(worker) { held in
            held.tools.hash.reset()
            held.tools.hash.update(content)
            let key = BlobKey(type, held.tools.hash.finish())
            guard !index.contains(key), state.withLock({ $0.pending.insert(key).inserted }) else {
                return (key.id, false)
            }
            if type == .data {
                try add(key, content, to: &held.data, &held.tools)
            } else {
                try add(key, content, to: &held.trees, &held.tools)
            }
            return (key.id, true)
        }
    }

    /// Stores all that is not stored yet, and indexes it. No worker may be at work.
    package func finish() throws {
        var data = PackBuilder(capacity: packSize)
        var trees = PackBuilder(capacity: packSize)
        for worker in 0..<workerCount {
            try workers.with(worker) { held in
                // What several workers have begun makes few packs.
                try move(&held.data, into: &data, &held.tools)
                try move(&held.trees, into: &trees, &held.tools)
            }
        }
        try workers.with(0) { held in
            if !data.isEmpty { try store(&data, isFull: false, &held.tools) }
            if !trees.isEmpty { try store(&trees, isFull: false, &held.tools) }
            try saveIndex(atLeast: 1, &held.tools)
        }
    }

    /// Makes what was added visible: everything that the snapshot names must be stored by ``finish()``.
    package func save(_ snapshot: Snapshot) throws -> SHA256Digest {
        try workers.with(0) { held in
            try saveDocument(snapshot.json, &held.tools) { .snapshot($0) }
        }
    }

    /// Removes what was stored and not indexed. What cannot be removed is left to a prune. No worker may be at work.
    package func discard() {
        let packs = state.withLock { state in
            defer { (state.packs, state.blobs) = ([], 0) }
            return state.packs
        }
        _ = repository.backend.remove(packs.map { .pack($0.id) })
    }

    // MARK: Packs

    private func add(
        _ key: BlobKey, _ content: UnsafeRawBufferPointer, to pack: inout PackBuilder, _ tools: inout PackingTools
    ) throws {
        let isCompressed = key.type == .tree ? repository.configuration.version == .two : compressesData
        try pack.add(key, content, isCompressed: isCompressed, &tools)
        let place = pack.blobs[pack.blobs.count - 1].place
        state.withLock { state in
            state.added.content += content.count
            state.added.stored += Int(place.length) + PackHeader.entrySize(place)
            if key.type == .data { state.added.dataBlobs += 1 } else { state.added.treeBlobs += 1 }
        }
        if isFull(pack) { try store(&pack, isFull: true, &tools) }
    }

    private func isFull(_ pack: borrowing PackBuilder) -> Bool {
        pack.size >= packSize || pack.blobs.count >= PackHeader.blobLimit
    }

    private func move(
        _ pack: inout PackBuilder, into other: inout PackBuilder, _ tools: inout PackingTools
    ) throws {
        if pack.isEmpty { return }
        if pack.size + other.size > packSize || pack.blobs.count + other.blobs.count > PackHeader.blobLimit {
            try store(&other, isFull: false, &tools)
        }
        other.take(&pack)
    }

    private func store(_ pack: inout PackBuilder, isFull: Bool, _ tools: inout PackingTools) throws {
        if pack.isEmpty { return }
        let stored = try pack.finish(&tools, repository.configuration.version) { id, bytes in
            try create(.pack(id), bytes)
        }
        let count = state.withLock { state in
            state.packs.append(stored)
            state.blobs += stored.blobs.count
            if isFull { state.added.stored += MessageCipher.overhead + PackHeader.lengthSize }
            return state.blobs
        }
        if count >= Self.indexBlobs { try saveIndex(atLeast: Self.indexBlobs, &tools) }
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
        _ = try saveDocument(IndexFile.encode(packs), &tools) { .index($0) }
    }

    private func saveDocument(
        _ json: [UInt8], _ tools: inout PackingTools, _ key: (SHA256Digest) -> ObjectKey
    ) throws -> SHA256Digest {
        let bytes = tools.coder.sealDocument(json, &tools.compressor)
        guard try tools.coder.openDocument(bytes, limit: json.count) == json else {
            throw FormatError("a new document is not what was put into it")
        }
        let id = SHA256.digest(of: bytes)
        try bytes.withUnsafeBytes { try create(key(id), $0) }
        return id
    }

    /// An object that is there already, named by its hash, is one that an earlier try has stored.
    private func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws {
        do throws(StorageError) {
            try repository.backend.create(key, bytes)
        } catch {
            guard error.code == .exists, try repository.backend.info(key).size == UInt64(bytes.count) else {
                throw error
            }
        }
    }
}
