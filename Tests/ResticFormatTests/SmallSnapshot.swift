import Codec
import Model
import Storage
import TestKit
import Workers

@testable import ResticFormat

/// A snapshot that is made without files: two directories with a few files of several blobs.
struct SmallSnapshot: Sendable {
    private let blobs: [EntryPath: [[UInt8]]]
    let files: [EntryPath: [UInt8]]

    init(_ random: inout SeededRandom, files: Int = 20, size: Range<Int> = 1..<4000) {
        // One that all have.
        let shared = Array("the same everywhere".utf8)
        var all: [EntryPath: [[UInt8]]] = [:]
        for number in 0..<files {
            let blobs = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                random.bytes(Int.random(in: size, using: &random))
            }
            all[entry("d\(number % 2)/f\(number)")] = number % 4 == 0 ? blobs + [shared] : blobs
        }
        // One that is stored before its pack is full.
        if files > 10 { all[entry("d0/large")] = [[1], random.bytes(300_000), [2]] }
        blobs = all
        self.files = all.mapValues { $0.reduce([], +) }
    }

    /// Small packs, so that there are many.
    func write(to repository: Repository, on pool: ThreadPool) throws -> SHA256Digest {
        let index = try repository.index(on: pool).index
        let writer = RepositoryWriter(repository, index: index, on: pool, packSize: 10_000)
        do {
            return try write(with: writer, on: pool) { throw $0 }
        } catch {
            writer.discard()
            throw error
        }
    }

    /// By somebody who takes no notice of errors.
    func write(to repository: Repository, on pool: ThreadPool, ignoringErrors: Void) throws -> SHA256Digest {
        let index = try repository.index(on: pool).index
        let writer = RepositoryWriter(repository, index: index, on: pool, packSize: 10_000)
        return try write(with: writer, on: pool) { _ in }
    }

    private func write(
        with writer: RepositoryWriter, on pool: ThreadPool, _ failed: @escaping @Sendable (any Error) throws -> Void
    ) throws -> SHA256Digest {
        let all = blobs.sorted { $0.key < $1.key }
        try pool.forEach(all.count) { worker, number in
            for blob in all[number].value {
                do {
                    _ = try blob.withUnsafeBytes { try writer.save(.data, $0, worker: worker) }
                } catch {
                    try failed(error)
                }
            }
        }
        func save(_ nodes: [TreeNode]) throws -> SHA256Digest {
            let bytes = try encoded(nodes)
            do {
                return try bytes.withUnsafeBytes { try writer.save(.tree, $0, worker: 0) }.id
            } catch {
                try failed(error)
                return SHA256.digest(of: bytes)
            }
        }
        var directories: [TreeNode] = []
        for name in ["d0", "d1"] {
            let nodes = all.filter { $0.key.parent == entry(name) }.compactMap { path, blobs -> TreeNode? in
                var node = TreeNode(name: Array(path.name), kind: .file)
                node?.content = blobs.map { SHA256.digest(of: $0) }
                node?.size = UInt64(blobs.reduce(0) { $0 + $1.count })
                return node
            }
            var node = TreeNode(name: Array(name.utf8), kind: .directory)
            node?.subtree = try save(nodes.sorted { $0.name.lexicographicallyPrecedes($1.name) })
            if let node { directories.append(node) }
        }
        let root = try save(directories)
        do { try writer.finish() } catch { try failed(error) }
        return try writer.save(Snapshot(time: TestRepository.now, tree: root, paths: ["/x"]))
    }
}

/// Everything that a repository holds, read and compared with its hashes.
struct RepositoryContent {
    /// Files of snapshots, by snapshot.
    var snapshots: [SHA256Digest: [EntryPath: [UInt8]]] = [:]
    /// What is wrong.
    var findings: [String] = []

    init(_ backend: any Backend) throws {
        try self.init(of: try Repository(backend, try TestRepository.password()))
    }

    init(of repository: Repository) throws {
        let pool = ThreadPool(threads: 1)
        let (snapshots, broken) = try repository.snapshots(on: pool)
        let (index, damaged) = try repository.index(on: pool)
        let locks = try repository.locks().findings
        let keys = try repository.storedKeys().findings
        findings = (broken + damaged + locks + keys).map { "\($0.subject): \($0.message)" }
        for stored in snapshots {
            do {
                var reader = Reader(repository, index)
                self.snapshots[stored.id] = try reader.entries(of: stored.snapshot.tree).content
            } catch let error as FormatError {
                findings.append("\(stored.id.shortHex): \(error)")
            }
        }
        try readPacks(repository)
    }

    /// Also those that no index knows.
    private mutating func readPacks(_ repository: Repository) throws {
        var coder = repository.coder()
        for object in try repository.backend.list(.pack) {
            do {
                let bytes = try repository.backend.read(object.key, limit: Int(object.size))
                if SHA256.digest(of: bytes) != object.key.id { findings.append("\(object.key) has another hash") }
                _ = try PackHeader.read(
                    object.key.id, size: object.size, from: repository.backend, repository.configuration.version,
                    &coder.cipher)
            } catch let error as FormatError {
                findings.append("\(object.key): \(error)")
            }
        }
    }
}

extension Backend {
    func copy(to other: any Backend) throws {
        for kind in ObjectKind.allCases {
            for object in try list(kind) {
                try other.create(object.key, try read(object.key, limit: Int(object.size)))
            }
        }
    }
}

extension MemoryBackend {
    func copied() throws -> MemoryBackend {
        let copy = MemoryBackend()
        try self.copy(to: copy)
        return copy
    }
}
