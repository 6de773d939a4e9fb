import Codec
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

@Suite struct RepositoryCheckTests {
    @Test(arguments: [1, 2]) func nothingIsWrong(version: Int) throws {
        var random = SeededRandom.printed(for: "nothingIsWrong")
        let source = try OddTree(&random)
        let place = try ResticRepository(version: version)
        try place.restic(["backup", "."], in: source.tree.path)
        try source.tree.write("added", "later")
        try place.restic(["backup", ".", "--compression", "max"], in: source.tree.path)
        let repository = try place.open()
        let packs = try repository.backend.list(.pack)
        let outcome = try repository.check()
        #expect(outcome.findings == [] && !outcome.isDamaged && outcome.damagedPacks.isEmpty)
        #expect(outcome.snapshots == 2 && outcome.packs == packs.count && outcome.packsRead == packs.count)
        #expect(outcome.bytesRead == packs.reduce(0) { $0 + $1.size } && outcome.unindexedPacks == 0)
        let index = try repository.index(on: ThreadPool(threads: 1)).index
        #expect(outcome.blobs == index.count)
        #expect(outcome.trees == index.blobKeys.filter { $0.type == .tree }.count)
        let structure = try repository.check(.nothing)
        #expect(structure.findings == [] && structure.bytesRead == 0 && structure.trees == outcome.trees)
    }

    /// A small repository with everything: two backups, a lock, several packs and index files.
    private func smallRepository(_ random: inout SeededRandom) throws -> StoredObjects {
        let place = try ResticRepository(weak: .two)
        var source = try ChangingTree()
        for _ in 0..<2 {
            try source.change(&random, largest: 2000)
            try place.restic(["backup", "."], in: source.tree.path)
        }
        let repository = try place.open()
        var coder = repository.coder()
        var compressor = ZstdCompressor()
        let lock = coder.sealDocument(
            Array("{\"time\":\"2024-05-06T07:08:09Z\",\"exclusive\":false}".utf8), &compressor)
        try repository.backend.create(.lock(SHA256.digest(of: lock)), lock)
        return try StoredObjects(repository.backend)
    }

    /// Whether opening or checking tells that something is wrong.
    private func isReported(_ stored: StoredObjects) throws -> Bool {
        do {
            let outcome = try WeakRepository.open(try stored.backend()).check()
            return outcome.isDamaged
        } catch let error as BackupError {
            return [.damaged, .wrongPassword].contains(error.code)
        }
    }

    @Test func everyByteCounts() throws {
        var random = SeededRandom.printed(for: "everyByteCounts")
        let stored = try smallRepository(&random)
        #expect(try !isReported(stored))
        for key in stored.keys {
            let bytes = try #require(stored.objects[key])
            for _ in 0..<25 {
                var damaged = stored
                let place = Int.random(in: bytes.indices, using: &random)
                damaged.objects[key]?[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
                #expect(try isReported(damaged), "\(key) with another byte \(place)")
            }
            // The last bytes of a pack are a number.
            for back in 1...4 {
                var damaged = stored
                damaged.objects[key]?[bytes.count - back] ^= 0x80
                #expect(try isReported(damaged), "\(key) with another byte \(bytes.count - back)")
            }
            for count in [0, 1, 35, bytes.count / 2, bytes.count - 1] {
                var damaged = stored
                damaged.objects[key] = Array(bytes.prefix(count))
                // An empty lock is an interrupted upload.
                #expect(try isReported(damaged) || key.kind == .lock && count == 0, "\(key) with \(count) bytes")
            }
            var damaged = stored
            damaged.objects[key]?.append(0)
            #expect(try isReported(damaged), "\(key) with another byte behind it")
        }
    }

    @Test func missingFiles() throws {
        var random = SeededRandom.printed(for: "missingFiles")
        let stored = try smallRepository(&random)
        for key in stored.keys(.pack) + stored.keys(.index) {
            var damaged = stored
            damaged.objects[key] = nil
            let outcome = try WeakRepository.open(try damaged.backend()).check(.nothing)
            #expect(outcome.isDamaged, "without \(key)")
            // Someone who restores wants to know of files, not of blobs.
            #expect(outcome.findings.contains { $0.message.contains("snapshot") }, "without \(key)")
        }
    }

    /// A pack in which something is wrong is named, and so are the files that need it.
    @Test func whatIsLost() throws {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        var random = SeededRandom.printed(for: "whatIsLost")
        try source.write(entry("a/first"), random.bytes(5000))
        try place.restic(["backup", "."], in: source.path)
        try source.write(entry("a/second"), random.bytes(5000))
        try place.restic(["backup", "."], in: source.path)
        let repository = try place.open()
        let index = try repository.index(on: ThreadPool(threads: 1)).index
        let first = BlobKey(.data, SHA256.digest(of: try source.read(entry("a/first"))))
        let location = try #require(index.first(first))
        var stored = try StoredObjects(repository.backend)
        stored.objects[.pack(location.pack)]?[Int(location.place.offset) + 100] ^= 1
        let damaged = try WeakRepository.open(try stored.backend())
        #expect(try damaged.check(.nothing).findings == [])
        let outcome = try damaged.check()
        #expect(outcome.damagedPacks == [location.pack])
        let lost = outcome.findings.filter { $0.subject == "a/first" }
        #expect(lost.count == 1 && lost[0].message.contains("1 of its 1 chunks are lost"), "\(outcome.findings)")
        #expect(lost.first?.message.contains("and 1 older ones") == true)
        #expect(!outcome.findings.contains { $0.subject == "a/second" })

        // With a second copy nothing is lost, but damaged it is.
        let writer = RepositoryWriter(damaged, index: BlobIndex(), on: ThreadPool(threads: 1))
        let content = try source.read(entry("a/first"))
        _ = try content.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
        try writer.finish()
        let copied = try damaged.check()
        #expect(copied.isDamaged && !copied.findings.contains { $0.subject == "a/first" })
        #expect(copied.findings.contains { $0.message.contains("another copy is in the pack") })
    }

    @Test func partsMakeTheWhole() throws {
        let backend = MemoryBackend()
        let repository = try WeakRepository.create(backend)
        let writer = RepositoryWriter(
            repository, index: BlobIndex(), on: ThreadPool(threads: 1), compression: .none, packSize: 1000)
        var random = SeededRandom.printed(for: "partsMakeTheWhole")
        for _ in 0..<60 {
            let bytes = random.bytes(1000)
            _ = try bytes.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
        }
        try writer.finish()
        let counts = try (1...7).map { try repository.check(.part($0, of: 7)).packsRead }
        #expect(counts.reduce(0, +) == 60 && !counts.contains(60))
        #expect(try repository.check(.percent(50)).packsRead == 30)
        #expect(try repository.check(.percent(0)).packsRead == 1)
        #expect(throws: BackupError.self) { try repository.check(.part(0, of: 7)) }
        #expect(throws: BackupError.self) { try repository.check(.part(8, of: 7)) }
    }

    /// Sizes of files are compared, too, which restic does not do.
    @Test func wrongSizes() throws {
        let repository = try WeakRepository.create(MemoryBackend())
        let pool = ThreadPool(threads: 1)
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        let data = try Array("content".utf8).withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
        var node = try #require(TreeNode(name: Array("file".utf8), kind: .file))
        node.content = [data.id]
        node.size = 8
        let tree = try encoded([node]).withUnsafeBytes { try writer.save(.tree, $0, worker: 0) }
        try writer.finish()
        _ = try writer.save(Snapshot(time: WeakRepository.now, tree: tree.id, paths: ["/x"]))
        let outcome = try repository.check(.nothing)
        #expect(outcome.findings.map(\.subject) == ["file"])
        #expect(outcome.findings.first?.message.contains("8 bytes, and its chunks have 7") == true)
    }
}
