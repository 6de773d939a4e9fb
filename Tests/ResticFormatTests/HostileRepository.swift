import Codec
import Containers
import Disk
import Model
import Storage
import TestKit
import Workers

@testable import ResticFormat

/// A small repository, one part of which is changed and stored with the hashes that it then has to have.
struct HostileRepository {
    enum Part: CaseIterable {
        case snapshot, index, tree, header, blob
    }

    private let pool = ThreadPool(threads: 1)
    private let run: RunContext
    private let home: TemporaryTree
    private let repository: Repository
    private let file = Array("content of the file".utf8)

    init(in run: RunContext) throws {
        self.run = run
        home = try TemporaryTree()
        repository = try TestRepository.create(MemoryBackend())
    }

    /// Reads everything in all ways. Returns what was found to be wrong.
    func read(changing part: Part?, _ change: ([UInt8]) throws -> [UInt8]) throws -> [String] {
        func changed(_ bytes: [UInt8], _ this: Part) throws -> [UInt8] { this == part ? try change(bytes) : bytes }
        var coder = repository.coder()
        var compressor = ZstdCompressor(level: 1)
        let backend = MemoryBackend()
        try repository.backend.copy(to: backend)

        var node = TreeNode(name: Array("file".utf8), kind: .file)
        node?.content = [SHA256.digest(of: file)]
        node?.size = UInt64(file.count)
        var trees = [try changed(try encoded([node].compactMap { $0 }), .tree)]
        // The directory of the app, and what is above it.
        for name in home.path.split(separator: "/").reversed() {
            var directory = TreeNode(name: Array(name.utf8), kind: .directory)
            directory?.subtree = SHA256.digest(of: trees[trees.count - 1])
            trees.append(try encoded([directory].compactMap { $0 }))
        }
        var packs: [IndexedPack] = []
        for (type, blobs) in [(BlobType.data, [file]), (.tree, trees)] {
            packs.append(
                try store(type, blobs, in: backend, &coder, &compressor) { bytes, part in try changed(bytes, part) })
        }
        let snapshot = Snapshot(
            time: TestRepository.now, tree: SHA256.digest(of: trees[trees.count - 1]), paths: [home.path])
        let documents: [(Part, [UInt8])] = [(.index, IndexFile.encode(packs)), (.snapshot, snapshot.json)]
        for (kind, json) in documents {
            let bytes = coder.sealDocument(try changed(json, kind), &compressor)
            let id = SHA256.digest(of: bytes)
            try backend.create(kind == .index ? .index(id) : .snapshot(id), bytes)
        }
        return try read(backend)
    }

    private func store(
        _ type: BlobType, _ blobs: [[UInt8]], in backend: MemoryBackend, _ coder: inout RepositoryCoder,
        _ compressor: inout ZstdCompressor, _ changed: ([UInt8], Part) throws -> [UInt8]
    ) throws -> IndexedPack {
        var (pack, packed): ([UInt8], [PackedBlob]) = ([], [])
        for blob in blobs {
            // What is compressed and has another content has another hash: only the frame can be hostile.
            let sealed = coder.cipher.seal(try changed(compressor.compress(blob), .blob))
            packed.append(
                PackedBlob(
                    BlobKey(type, SHA256.digest(of: blob)),
                    BlobPlace(
                        offset: UInt32(pack.count), length: UInt32(sealed.count), uncompressedLength: UInt32(blob.count)
                    )))
            pack += sealed
        }
        let header = coder.cipher.seal(try changed(PackHeader.encode(packed), .header))
        pack += header + withUnsafeBytes(of: UInt32(header.count).littleEndian) { Array($0) }
        let id = SHA256.digest(of: pack)
        try backend.create(.pack(id), pack)
        return IndexedPack(id: id, blobs: packed)
    }

    private func read(_ backend: MemoryBackend) throws -> [String] {
        let opened = Repository(repository, backend)
        var findings: [String] = []
        do {
            findings += try RepositoryContent(of: opened).findings
        } catch let error as StorageError {
            findings.append("\(error)")
        }
        let surroundings = try RepositoryContainer.Surroundings(app: home.directory) { _ in true }
        let (run, pool) = (run, pool)
        let container = RepositoryContainer(
            RepositoryState(in: run) { opened }, surroundings, pool: pool, in: run)
        do {
            for backup in try container.backups().backups {
                guard let contents = try container.contents(of: backup.name) as? RepositoryContents else { continue }
                findings += try contents.verify(percent: 100, choice: 0, pool: pool, in: run).findings.map(\.message)
            }
        } catch let error as BackupError {
            findings.append(error.message)
        } catch let error as StorageError {
            findings.append("\(error)")
        }
        return findings
    }
}
