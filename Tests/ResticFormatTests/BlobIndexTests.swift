import Model
import TestKit
import Testing

@testable import ResticFormat

@Suite struct BlobIndexTests {
    @Test func agreesWithADictionary() throws {
        var random = SeededRandom.printed(for: "agreesWithADictionary")
        var index = BlobIndex()
        var expected: [BlobKey: Set<BlobIndex.Location>] = [:]
        var ids = (0..<300).map { _ in Self.id(&random) }
        // IDs that begin alike collide in the table.
        for number in 0..<20 {
            var id = ids[0]
            id.withMutableBytes { $0[31] = UInt8(number) }
            ids.append(id)
        }
        for _ in 0..<100 {
            var blobs: [PackedBlob] = []
            for _ in 0..<Int.random(in: 0..<10, using: &random) {
                blobs.append(
                    PackedBlob(
                        BlobKey(random.pick(BlobType.allCases), random.pick(ids)),
                        BlobPlace(offset: UInt32(blobs.count) * 100, length: 100, uncompressedLength: 7)))
            }
            let pack = IndexedPack(id: Self.id(&random), blobs: blobs)
            for blob in blobs {
                expected[blob.key, default: []].insert(BlobIndex.Location(pack: pack.id, place: blob.place))
            }
            index.add(pack)
            // Listed in two files.
            if random.once(in: 3) { index.add(pack) }
        }
        #expect(index.packs.count == 100)
        #expect(index.count == expected.values.reduce(0) { $0 + $1.count })
        for type in BlobType.allCases {
            for id in ids {
                let key = BlobKey(type, id)
                let found = index.all(key)
                #expect(Set(found) == expected[key] ?? [] && found.count == Set(found).count)
                #expect(index.contains(key) == (expected[key] != nil))
            }
        }
        var seen = 0
        index.forEach { key, location in
            seen += 1
            if expected[key]?.contains(location) != true { Issue.record("\(key)") }
        }
        #expect(seen == index.count)
    }

    @Test func takesLittleMemory() {
        var random = SeededRandom.printed(for: "takesLittleMemory")
        var index = BlobIndex()
        for _ in 0..<10_000 {
            let blobs = (0..<11).map { number in
                PackedBlob(
                    BlobKey(.data, Self.id(&random)),
                    BlobPlace(offset: UInt32(number) * 1000, length: 1000, uncompressedLength: 0))
            }
            index.add(IndexedPack(id: Self.id(&random), blobs: blobs))
        }
        #expect(index.count == 110_000)
        #expect(Double(index.memory) / Double(index.count) <= 64, "\(index.memory)")
    }

    @Test func files() throws {
        var random = SeededRandom.printed(for: "index files")
        let packs = (0..<20).map { _ in
            IndexedPack(
                id: Self.id(&random),
                blobs: (0..<Int.random(in: 0..<5, using: &random)).map { number in
                    PackedBlob(
                        BlobKey(random.pick(BlobType.allCases), Self.id(&random)),
                        BlobPlace(
                            offset: UInt32(number) * 50, length: 50, uncompressedLength: random.pick([0, 1, 1 << 23])))
                })
        }
        let bytes = IndexFile.encode(packs)
        #expect(try IndexFile.read(bytes, .two) == packs)
        #expect(throws: FormatError.self) { try IndexFile.read(bytes, .one) }
        let id = String(repeating: "0a", count: 32)
        let blob = #"{"id":"\#(id)","type":"data","offset":0,"length":60}"#
        let good = #"{"supersedes":["\#(id)"],"packs":[{"blobs":[\#(blob)],"id":"\#(id)","x":1}]}"#
        #expect(try IndexFile.read(Array(good.utf8), .one).count == 1)
        #expect(try IndexFile.read(Array(#"{"packs":null}"#.utf8), .two).isEmpty)
        for (old, new) in [
            ("data", "date"), (":60", ":31"), (":60", ":4294967296"), (":60", ":-60"), (":60", ":60.0"),
            ("\"offset\":0", "\"offset\":4294967290"),
            ("\"length\":60", "\"length\":60,\"uncompressed_length\":4000000000"),
            ("}]}", "}]"), ("\"id\":\"\(id)\",\"x\"", "\"x\""), ("0a0a0a", "0a"),
        ] {
            #expect(throws: FormatError.self, "\(new)") {
                try IndexFile.read(Array(good.replacing(old, with: new).utf8), .two)
            }
        }
        for _ in 0..<2000 {
            var damaged = Array(good.utf8)
            damaged[Int.random(in: damaged.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            _ = try? IndexFile.read(damaged, .two)
        }
    }

    private static func id(_ random: inout SeededRandom) -> SHA256Digest {
        SHA256Digest(random.bytes(32)) ?? SHA256Digest()
    }
}
