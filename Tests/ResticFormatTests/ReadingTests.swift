import Codec
import Disk
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

/// Reads what the real restic wrote, and compares everything.
@Suite struct ReadingTests {
    struct Variant: Sendable, CustomTestStringConvertible {
        let version: Int
        let options: [String]
        let zone: String
        var testDescription: String { "version \(version) \(options.joined(separator: " ")) \(zone)" }
    }

    static let variants = [
        Variant(version: 1, options: [], zone: "UTC"),
        Variant(version: 2, options: ["--compression", "off"], zone: "America/St_Johns"),
        Variant(version: 2, options: ["--compression", "auto"], zone: "Europe/Berlin"),
        Variant(version: 2, options: ["--compression", "max"], zone: "Asia/Kathmandu"),
    ]

    @Test(arguments: variants) func everything(_ variant: Variant) throws {
        var random = SeededRandom.printed(for: "ReadingTests.everything")
        let source = try OddTree(&random)
        let made = try ResticRepository(version: variant.version)
        let first = ["backup", ".", "--host", "h<o>st", "--tag", "a b,name=x", "--exclude", "*.nothing"]
        try made.restic(first + variant.options, in: source.tree.path, zone: variant.zone)
        try source.tree.write("added", "later")
        try made.restic(
            ["backup", ".", "--host", "h<o>st"] + variant.options, in: source.tree.path, zone: variant.zone)

        let pool = ThreadPool(threads: 2)
        let repository = try made.open()
        #expect(repository.configuration.version.rawValue == variant.version)
        let (snapshots, broken) = try repository.snapshots(on: pool)
        let (index, damaged) = try repository.index(on: pool)
        #expect(broken.isEmpty && damaged.isEmpty && snapshots.count == 2)
        let snapshot = try #require(snapshots.first).snapshot
        #expect(
            snapshot.hostName == "h<o>st" && snapshot.tags == ["a b", "name=x"] && snapshot.paths == [source.tree.path])
        #expect(snapshot.excludes == ["*.nothing"] && snapshots[1].snapshot.parent == snapshots[0].id)

        var reader = Reader(repository, index)
        let found = try reader.entries(of: snapshots[1].snapshot.tree)
        #expect(try found.differences(from: source.tree).isEmpty)
        try checkEveryTree(repository, index)
        try checkPacks(repository, index)
        try checkDocuments(repository, snapshots)
    }

    /// Every tree that restic wrote becomes the same bytes again.
    private func checkEveryTree(_ repository: Repository, _ index: BlobIndex) throws {
        var coder = repository.coder()
        var trees = 0
        for key in index.blobKeys {
            let bytes = try repository.blob(key, in: index, &coder)
            guard key.type == .tree else { continue }
            trees += 1
            let again = try encoded(try TreeReader.nodes(of: bytes))
            if again != bytes {
                let (old, new) = (String(decoding: bytes, as: UTF8.self), String(decoding: again, as: UTF8.self))
                Issue.record("a tree changed: \(old.commonPrefix(with: new).suffix(200))")
            }
        }
        #expect(trees > 5)
    }

    /// Headers of packs say what the index says.
    private func checkPacks(_ repository: Repository, _ index: BlobIndex) throws {
        var cipher = MessageCipher(repository.keys)
        let packs = try repository.backend.list(.pack)
        #expect(Set(packs.map(\.key.id)) == Set(index.packs))
        var blobs = 0
        for pack in packs {
            let header = try PackHeader.read(
                pack.key.id, size: pack.size, from: repository.backend, repository.configuration.version, &cipher)
            blobs += header.count
            for blob in header {
                let isListed = index.all(blob.key).contains { $0.pack == pack.key.id && $0.place == blob.place }
                #expect(isListed, "\(blob.key)")
            }
        }
        #expect(blobs == index.count)
    }

    /// Snapshots, configuration and key become the same bytes again.
    private func checkDocuments(_ repository: Repository, _ snapshots: [Repository.StoredSnapshot]) throws {
        var coder = repository.coder()
        for stored in snapshots {
            let json = try repository.document(.snapshot(stored.id), limit: 1 << 20, &coder)
            #expect(stored.snapshot.json == json)
        }
        let message = try repository.backend.read(.configuration, limit: 1 << 20)
        #expect(try coder.cipher.open(message) == repository.configuration.json)
        let key = try repository.backend.read(.key(repository.keyID), limit: 1 << 20)
        #expect(try KeyFile(key).bytes == key)
    }

    @Test func chunksAreTheSame() throws {
        var random = SeededRandom.printed(for: "chunksAreTheSame")
        let source = try TemporaryTree()
        let bytes = random.bytes(3 << 20) + [UInt8](repeating: 0, count: 2 << 20) + random.bytes(2 << 20)
        try source.write(entry("file"), bytes)
        let made = try ResticRepository(version: 2)
        try made.restic(["backup", "file"], in: source.path)
        let repository = try made.open()
        let pool = ThreadPool(threads: 2)
        let index = try repository.index(on: pool).index
        let snapshot = try #require(try repository.snapshots(on: pool).snapshots.first).snapshot
        var coder = repository.coder()
        let node = try #require(try repository.tree(snapshot.tree, in: index, &coder).first)
        let chunker = Chunker(repository.configuration.polynomial)
        let ids = bytes.withUnsafeBytes { bytes in
            var (ids, start): ([SHA256Digest], Int) = ([], 0)
            while start < bytes.count {
                let rest = UnsafeRawBufferPointer(rebasing: bytes[start...])
                let length = chunker.firstChunk(of: rest)
                ids.append(SHA256.digest(of: UnsafeRawBufferPointer(rebasing: rest[..<length])))
                start += length
            }
            return ids
        }
        #expect(node.content == ids && ids.count > 4)
    }

    @Test func passwords() throws {
        let made = try ResticRepository(version: 2)
        try made.tree.write("second", "another one\n")
        try made.restic(["key", "add", "--new-password-file", made.tree.path + "/second"])
        let backend = try LocalBackend(path: made.path)
        let first = try made.open()
        let second = try Repository(backend, try #require(Password("another one".utf8)))
        #expect(first.keyID != second.keyID && first.configuration == second.configuration)
        let wrong = try #require(Password("wrong".utf8))
        do {
            _ = try Repository(backend, wrong)
            Issue.record("a wrong password opened the repository")
        } catch let error as BackupError {
            #expect(error.code == .wrongPassword && error.message.contains(first.keyID.shortHex))
            #expect(error.message.contains(second.keyID.shortHex) && !error.message.contains("\n"))
        }
        // A key that cannot be read keeps nobody out.
        try made.tree.write(entry("repository/keys/" + String(repeating: "0", count: 64)), [1])
        #expect(try made.open().keyID == first.keyID)
        do {
            _ = try Repository(MemoryBackend(), wrong)
            Issue.record("opened nothing")
        } catch let error as BackupError {
            #expect(error.code == .damaged)
        }
    }

    /// What is damaged is reported, and the rest can be read.
    @Test func damage() throws {
        var random = SeededRandom.printed(for: "ReadingTests.damage")
        let source = try TemporaryTree()
        try source.write(entry("a/file"), random.bytes(2000))
        let made = try ResticRepository(version: 2)
        for _ in 0..<2 { try made.restic(["backup", "."], in: source.path) }
        let repository = try made.open()
        let pool = ThreadPool(threads: 2)
        let index = try repository.index(on: pool).index
        let objects = try [ObjectKind.snapshot, .index, .pack].flatMap { try repository.backend.list($0) }
        for object in objects {
            let path = entry("repository/" + object.key.path)
            let offset = Int.random(in: 0..<Int(object.size), using: &random)
            let old = try repository.backend.read(object.key, at: UInt64(offset), count: 1)[0]
            try made.tree.change(path) { $0.mode = 0o600 }
            try made.tree.overwrite(path, at: offset, with: [old ^ 4])
            let findings = try repository.snapshots(on: pool).findings + repository.index(on: pool).findings
            #expect(findings.count == (object.key.kind == .pack ? 0 : 1), "\(object.key)")
            let isInBlobs = object.key.kind == .pack && index.blobs(of: object.key.id).contains { offset < $0.end }
            #expect(try unreadable(repository, index) == (isInBlobs ? 1 : 0), "\(object.key) at \(offset)")
            try made.tree.overwrite(path, at: offset, with: [old])
        }
    }

    private func unreadable(_ repository: Repository, _ index: BlobIndex) throws -> Int {
        var coder = repository.coder()
        var count = 0
        for key in index.blobKeys {
            do {
                _ = try repository.blob(key, in: index, &coder)
            } catch is FormatError {
                count += 1
            }
        }
        return count
    }
}

extension BlobIndex {
    fileprivate func blobs(of pack: SHA256Digest) -> [BlobPlace] {
        var places: [BlobPlace] = []
        forEach { _, location in
            if location.pack == pack { places.append(location.place) }
        }
        return places
    }
}
