import Codec
import Containers
import Disk
import Model
import Storage
import Synchronization
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// A whole restore reads each pack about once, however directories are scattered in it.
@Suite struct ReadingOrderTests {
    private static let directories = 101
    private static let files = 12

    @Test func packsAreReadOnce() throws {
        let home = try TemporaryTree()
        let backend = CountingBackend(MemoryBackend())
        let repository = try TestRepository.create(backend)
        let pool = ThreadPool(threads: 1)
        try save(home, in: repository, pool)
        let run = TestRun().context()
        let surroundings = try RepositoryContainer.Surroundings(app: home.directory) { _ in true }
        let container = RepositoryContainer(RepositoryState(in: run) { repository }, surroundings, pool: pool, in: run)
        let contents = try container.open(try #require(container.state.snapshots().first))
        #expect(contents.table.count == 1 + Self.directories * (Self.files + 1))

        let build = TreeBuild(Array(1..<contents.table.count), of: contents.table, in: home.directory)
        let runs = build.runs(by: contents.position(of:))
        // Nothing is lost, and nothing made twice.
        let made = runs.flatMap { $0.flatMap(\.entries) }.sorted()
        #expect(made == (1..<contents.table.count).filter { contents.table[$0].kind == .file })
        let before = backend.bytesRead
        let reader = contents.makeReader(stop: run.stop)
        for unit in runs.joined() { for index in unit.entries { try reader.read(index) { _ in } } }
        let packs = try backend.list(.pack).reduce(0) { $0 + Int($1.size) }
        let read = backend.bytesRead - before
        #expect(read < packs + packs / 10, "\(read) bytes of \(packs)")
    }

    /// Saves directories of small files in another order than that of their names.
    private func save(_ home: TemporaryTree, in repository: Repository, _ pool: ThreadPool) throws {
        var random = SeededRandom(seed: 5)
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        func save(_ nodes: [TreeNode]) throws -> SHA256Digest {
            try encoded(nodes).withUnsafeBytes { try writer.save(.tree, $0, worker: 0).id }
        }
        func directory(_ name: some Sequence<UInt8>, _ tree: SHA256Digest) throws -> TreeNode {
            var node = try #require(TreeNode(name: Array(name), kind: .directory))
            node.subtree = tree
            return node
        }
        var nodes: [TreeNode] = []
        for number in 0..<Self.directories {
            let files = try (0..<Self.files).map { file in
                let content = random.bytes(12_000)
                var node = try #require(TreeNode(name: Array("\(100 + file)".utf8), kind: .file))
                node.size = 12_000
                node.content = [try content.withUnsafeBytes { try writer.save(.data, $0, worker: 0).id }]
                return node
            }
            nodes.append(try directory("\(1000 + number * 37 % Self.directories)".utf8, try save(files)))
        }
        var tree = try save(nodes.sorted { $0.name.lexicographicallyPrecedes($1.name) })
        for name in home.path.split(separator: "/").reversed() { tree = try save([directory(name.utf8, tree)]) }
        try writer.finish()
        _ = try writer.save(Snapshot(time: TestRepository.now, tree: tree, paths: [home.path]))
    }
}

/// Another backend, with what is read of packs counted.
private final class CountingBackend: Backend {
    private let base: any Backend
    private let count = Mutex(0)

    init(_ base: any Backend) { self.base = base }

    var bytesRead: Int { count.withLock { $0 } }
    var place: String { base.place }
    var abilities: BackendAbilities { base.abilities }

    func prepare() throws(StorageError) { try base.prepare() }

    func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        try base.list(kind, from: start)
    }

    func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo { try base.info(key) }

    func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        if key.kind == .pack { count.withLock { $0 += target.count } }
        try base.read(key, at: offset, into: target)
    }

    func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try base.create(key, bytes)
    }

    func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] { base.remove(keys) }
}
