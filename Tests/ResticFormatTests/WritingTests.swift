import Codec
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

/// What we write is held against the real restic.
@Suite struct WritingTests {
    private static let now = LocalTime(moment: Timestamp(seconds: 1_714_972_089, nanoseconds: 5), offset: 7200)

    struct Variant: Sendable, CustomTestStringConvertible {
        let version: RepositoryConfiguration.Version
        let compression: RepositoryWriter.Compression
        var testDescription: String { "version \(version.rawValue), \(compression)" }
    }

    /// A repository of restic's is written anew blob by blob; restic then finds nothing to add, and everything right.
    @Test(arguments: [
        Variant(version: .one, compression: .zstd(3)), Variant(version: .two, compression: .none),
        Variant(version: .two, compression: .zstd(3)),
    ])
    func resticTakesItAsItsOwn(_ variant: Variant) throws {
        var random = SeededRandom.printed(for: "resticTakesItAsItsOwn")
        let source = try OddTree(&random)
        let original = try ResticRepository(version: 2)
        try original.restic(["backup", ".", "--host", "h"], in: source.tree.path)
        let pool = ThreadPool(threads: 3)
        let from = try original.open()
        let index = try from.index(on: pool).index
        let snapshot = try #require(try from.snapshots(on: pool).snapshots.first).snapshot

        let place = try ResticRepository(empty: ())
        let ours = try Self.create(try place.backend(), variant.version, from.configuration.polynomial)
        let writer = RepositoryWriter(
            ours, index: BlobIndex(), on: pool, compression: variant.compression, packSize: 1 << 20)
        try Self.copyBlobs(from, index, with: writer, on: pool)
        try writer.finish()
        _ = try writer.save(snapshot)
        #expect(writer.added.treeBlobs + writer.added.dataBlobs == Set(index.blobKeys).count)
        let packs = try ours.backend.list(.pack)
        #expect(packs.reduce(0) { $0 + Int($1.size) } - writer.added.stored <= 36 * packs.count)

        try place.restic(["check", "--read-data"])
        // What restic brings back of it is what it brings back of its own.
        let restored = try [original, place].map { repository in
            let target = try TemporaryTree()
            try repository.restic(["restore", "latest", "--target", target.path])
            var found = try TreeSnapshot(of: target.directory)
            // The target itself is nobody's entry.
            found[.root] = nil
            return found
        }
        let differences = restored[0].differences(from: restored[1])
        #expect(differences == [])
        #expect(restored[0].entries.count > 60)
        let again = try place.restic(["backup", ".", "--host", "h", "--json", "--force"], in: source.tree.path)
        let text = String(decoding: again.output, as: UTF8.self)
        #expect(text.contains("\"data_blobs\":0,\"tree_blobs\":0,\"data_added\":0"), "\(text.suffix(500))")
    }

    /// In turns: what one adds the other finds, and nothing is stored twice.
    @Test func inTurns() throws {
        let place = try ResticRepository(empty: ())
        let ours = try Self.create(try place.backend())
        let pool = ThreadPool(threads: 2)
        let source = try TemporaryTree()
        try source.write("a/b/file", "content")
        try place.restic(["backup", "."], in: source.path)
        for round in 0..<2 {
            let index = try ours.index(on: pool).index
            let writer = RepositoryWriter(ours, index: index, on: pool)
            let added = try Array("content".utf8).withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
            #expect(!added.isNew)
            let text = Array("ours, round \(round)".utf8)
            let mine = try text.withUnsafeBytes { try writer.save(.data, $0, worker: 1) }
            #expect(mine.isNew && mine.id == SHA256.digest(of: text))
            var node = try #require(TreeNode(name: Array("of ours".utf8), kind: .file))
            node.content = [mine.id, added.id]
            node.size = UInt64(text.count + 7)
            let tree = try encoded([node]).withUnsafeBytes { try writer.save(.tree, $0, worker: 0) }
            try writer.finish()
            var snapshot = Snapshot(time: Self.now, tree: tree.id, paths: ["/x"])
            snapshot.tags = ["name=ours \(round)"]
            let id = try writer.save(snapshot)
            let dumped = try place.restic(["dump", id.shortHex, "of ours"])
            #expect(dumped.output == text + Array("content".utf8))
            try source.write("new \(round)", "new")
            try place.restic(["backup", "."], in: source.path)
        }
        #expect(try ours.snapshots(on: pool).snapshots.count == 5)
        try place.restic(["check", "--read-data"])
        try place.restic(["forget", "--keep-last", "1", "--group-by", "", "--prune"])
        try place.restic(["check", "--read-data"])
        let (_, findings) = try ours.index(on: pool)
        #expect(findings.isEmpty)
    }

    @Test func blobsOfAllSizes() throws {
        var random = SeededRandom.printed(for: "blobsOfAllSizes")
        let backend = MemoryBackend()
        let repository = try Self.create(backend)
        let pool = ThreadPool(threads: 4)
        let contents = [0, 1, 2, 31, 255, 256, 70_000, 300_000].flatMap { size in
            [random.bytes(size), [UInt8](repeating: 7, count: size)]
        }
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool, packSize: 100_000)
        let keys = try pool.map(contents.count * 4) { worker, number in
            try contents[number % contents.count].withUnsafeBytes { content in
                // The same content twice, as data and as tree.
                let type = BlobType.allCases[number / contents.count % 2]
                return BlobKey(type, try writer.save(type, content, worker: worker).id)
            }
        }
        // Where there are no bytes, random ones and others are the same.
        #expect(writer.added.dataBlobs == contents.count - 1 && writer.added.treeBlobs == contents.count - 1)
        #expect(try backend.list(.index).isEmpty && backend.list(.snapshot).isEmpty)
        try writer.finish()
        let index = try repository.index(on: pool).index
        #expect(index.count == 2 * contents.count - 2)
        var coder = repository.coder()
        for (number, key) in keys.enumerated() {
            #expect(try repository.blob(key, in: index, &coder) == contents[number % contents.count])
            let place = try #require(index.first(key)).place
            // Random data is stored as it is.
            #expect(
                key.type == .tree
                    || Int(place.length) <= contents[number % contents.count].count + MessageCipher.overhead)
        }
        let types = Dictionary(grouping: index.blobKeys) { index.first($0)?.pack }
        #expect(types.values.allSatisfy { Set($0.map(\.type)).count == 1 })
        let count = try backend.list(.pack).count
        try writer.finish()
        #expect(try backend.list(.pack).count == count && backend.list(.index).count == 1)
    }

    /// With a pack for nearly every blob, index files come before the end.
    @Test func severalIndexFiles() throws {
        let backend = MemoryBackend()
        let repository = try Self.create(backend)
        let pool = ThreadPool(threads: 2)
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool, packSize: 1 << 18)
        try pool.forEach(IndexFiles.fullFile * 6 / 5) { worker, number in
            _ = try withUnsafeBytes(of: number) { try writer.save(.data, $0, worker: worker) }
        }
        #expect(try backend.list(.index).count == 1)
        try writer.finish()
        #expect(try backend.list(.index).count == 2)
        #expect(try repository.index(on: pool).index.count == IndexFiles.fullFile * 6 / 5)
    }

    @Test func thereIsOneAlready() throws {
        let backend = MemoryBackend()
        let password = try #require(Password("x".utf8))
        _ = try Self.create(backend)
        do {
            _ = try Repository.create(NewRepository(), at: backend, password, now: Self.now)
            Issue.record("made a second repository")
        } catch let error as BackupError {
            #expect(error.code == .nameTaken)
        }
    }

    // MARK: Aids

    private static func create(
        _ backend: any Backend, _ version: RepositoryConfiguration.Version = .two,
        _ polynomial: ChunkerPolynomial? = nil
    ) throws -> Repository {
        var new = NewRepository()
        new.version = version
        new.polynomial = polynomial
        // As weak as it may be: tests need no strong keys.
        if let parameters = ScryptParameters(cost: 1024, blockSize: 8, parallelism: 1) { new.parameters = parameters }
        guard let password = Password(ResticRepository.password.utf8) else {
            throw ResticFailure(text: "", arguments: [])
        }
        return try Repository.create(new, at: backend, password, now: now)
    }

    private static func copyBlobs(
        _ from: Repository, _ index: BlobIndex, with writer: RepositoryWriter, on pool: ThreadPool
    ) throws {
        let keys = index.blobKeys
        let coders = PerWorker(pool) { from.coder() }
        try pool.forEach(keys.count) { worker, number in
            try coders.with(worker) { coder in
                let key = keys[number]
                let saved = try from.withBlob(key, in: index, &coder) { try writer.save(key.type, $0, worker: worker) }
                guard saved.id == key.id else { throw FormatError("a blob has another ID") }
            }
        }
    }
}
