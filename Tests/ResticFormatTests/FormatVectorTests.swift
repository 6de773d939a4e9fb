import Codec
import Model
import Storage
import TestKit
import Testing

@testable import ResticFormat

/// What was confirmed with restic's own code.
@Suite struct FormatVectorTests {
    private static let keys = MessageKeys(Array(0x00...0x2f) + Array(0xf0...0xff))
    private static let blobID = SHA256Digest(
        hex: "a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447".utf8)

    @Test func masterKeys() throws {
        let keys = try #require(Self.keys)
        let json =
            #"{"mac":{"k":"ICEiIyQlJicoKSorLC0uLw==","r":"8PHy8/T19vf4+fr7/P3+/w=="},"encrypt":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}"#
        #expect(String(decoding: keys.json, as: UTF8.self) == json)
        #expect(try MessageKeys(json: Array(json.utf8)).json == keys.json)
    }

    @Test func pack() throws {
        var cipher = MessageCipher(try #require(Self.keys))
        let blob = PackedBlob(
            BlobKey(.data, try #require(Self.blobID)), BlobPlace(offset: 0, length: 44, uncompressedLength: 0))
        let header = PackHeader.encode([blob])
        #expect(
            hexText(header) == "002c000000a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447")
        let bytes = bytes(
            "404142434445464748494a4b4c4d4e4fcb1bb353f87acd80e11706cd9dfec8060f5e1e3b13cfabebc7dd7a91"
                + "505152535455565758595a5b5c5d5e5f97674127384c47d588d6d462dab0a6dc41d6c157956aca59dbb714cf4cf9ab9c"
                + "7859c5d066d52cfe373787d4ef7c557068ecb55e2a45000000")
        #expect(bytes.count == 117)
        let id = SHA256.digest(of: bytes)
        #expect(id.hex == "011f3a6123e9878d86213aa448a72c87e1d2ba3db8209bc6124f3f041ae8ce46")
        let backend = MemoryBackend()
        try backend.create(.pack(id), bytes)
        let read = try PackHeader.read(id, size: 117, from: backend, .one, &cipher)
        #expect(read == [blob])
        let index = String(decoding: IndexFile.encode([IndexedPack(id: id, blobs: read)]), as: UTF8.self)
        let entry =
            #"{"id":"a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447","type":"data","offset":0,"length":44}"#
        #expect(index == "{\"packs\":[{\"id\":\"\(id.hex)\",\"blobs\":[\(entry)]}]}\n")
    }

    @Test func headersRoundTrip() throws {
        var random = SeededRandom.printed(for: "headersRoundTrip")
        var cipher = MessageCipher(.random())
        let backend = MemoryBackend()
        for count in [0, 1, 14, 15, 16, 17, 500] {
            var (blobs, offset): ([PackedBlob], UInt32) = ([], 0)
            for _ in 0..<count {
                let length = UInt32.random(in: 32..<200, using: &random)
                let uncompressed = random.once(in: 2) ? 0 : UInt32.random(in: 1..<1000, using: &random)
                let id = SHA256Digest(random.bytes(32)) ?? SHA256Digest()
                blobs.append(
                    PackedBlob(
                        BlobKey(random.pick(BlobType.allCases), id),
                        BlobPlace(offset: offset, length: length, uncompressedLength: uncompressed)))
                offset += length
            }
            let header = cipher.seal(PackHeader.encode(blobs))
            let pack =
                random.bytes(Int(offset)) + header
                + withUnsafeBytes(of: UInt32(header.count).littleEndian) { Array($0) }
            let id = SHA256.digest(of: pack)
            try backend.create(.pack(id), pack)
            #expect(try headerOf(id, UInt64(pack.count), backend, .two, &cipher) == blobs)
            if blobs.contains(where: { $0.place.isCompressed }) {
                #expect(throws: FormatError.self) {
                    try headerOf(id, UInt64(pack.count), backend, .one, &cipher)
                }
            }
            for cut in [1, 4, 36, 37] where cut < pack.count {
                let short = Array(pack.dropLast(cut))
                let id = SHA256.digest(of: short)
                try backend.create(.pack(id), short)
                #expect(throws: FormatError.self) {
                    try headerOf(id, UInt64(short.count), backend, .two, &cipher)
                }
            }
        }
    }

    @Test func hostileHeaders() throws {
        let entry: (UInt8, UInt32, UInt32?) -> [UInt8] = { type, length, uncompressed in
            [type] + withUnsafeBytes(of: length.littleEndian) { Array($0) }
                + (uncompressed.map { withUnsafeBytes(of: $0.littleEndian) { Array($0) } } ?? [])
                + [UInt8](repeating: 1, count: 32)
        }
        for (bytes, size) in [
            (entry(4, 40, nil), 40), (entry(0, 31, nil), 31), (entry(0, 40, nil), 41), (entry(2, 40, 0), 40),
            (entry(2, 40, UInt32.max), 40), (entry(0, UInt32.max, nil), Int(UInt32.max)),
            (entry(0, 40, nil).dropLast(), 40), (entry(0, 40, nil) + [0], 40), ([3], 0),
        ] as [([UInt8], Int)] {
            #expect(throws: FormatError.self) { try PackHeader.decode(bytes, size: UInt64(size), .two) }
        }
    }

    @Test func keyFiles() throws {
        let parameters = try #require(ScryptParameters(cost: 1024, blockSize: 8, parallelism: 1))
        let password = try #require(Password("pä55".utf8))
        let keys = MessageKeys.random()
        let created = LocalTime(moment: Timestamp(seconds: 1_714_972_089, nanoseconds: 5), offset: 7200)
        let made = try KeyFile(
            keys, password: password, parameters, created: created, userName: "a<b", hostName: "h")
        let read = try KeyFile(made.bytes)
        #expect(read.created == created && read.userName == "a<b" && read.bytes == made.bytes)
        #expect(try read.open(with: password)?.json == keys.json)
        #expect(try read.open(with: try #require(Password("pa55".utf8))) == nil)
        let text = String(decoding: made.bytes, as: UTF8.self)
        for (old, new) in [
            ("scrypt", "argon2"), ("1024", "1000"), ("1024", "9999999999999999999"), ("\"r\":8", "\"r\":-8"),
            ("\"salt\":\"", "\"salt\":\"AAAA"), ("\"data\":\"", "\"data\":\"!"), ("{", "["), ("\"p\":1", "\"p\":1e9"),
        ] {
            #expect(throws: FormatError.self) { try KeyFile(Array(text.replacing(old, with: new).utf8)) }
        }
    }

    @Test func configurations() throws {
        let id = String(repeating: "ab", count: 32)
        let text = #"{"version":2,"id":"\#(id)","chunker_polynomial":"3da3358b4dc173"}"#
        let read = try RepositoryConfiguration(json: Array(text.utf8))
        #expect(read.version == .two && read.id.hex == id && read.polynomial.hex == "3da3358b4dc173")
        #expect(String(decoding: read.json, as: UTF8.self) == text)
        let more = text.dropLast() + #","x":[1,"y"]}"#
        #expect(try RepositoryConfiguration(json: Array(more.utf8)).json == Array(more.utf8))
        for (old, new) in [("2,", "3,"), ("2,", "\"2\","), ("abab", "ab"), ("c173", "c172"), ("}", "")] {
            #expect(throws: FormatError.self) {
                try RepositoryConfiguration(json: Array(text.replacing(old, with: new).utf8))
            }
        }
    }

    @Test func snapshots() throws {
        let id = String(repeating: "ab", count: 32)
        let text =
            #"{"time":"2024-05-06T07:08:09.12+02:00","parent":"\#(id)","tree":"\#(id)","paths":["/a","/b\u0026"],"hostname":"h","#
            + #""username":"u","uid":1,"gid":2,"excludes":["*.x"],"tags":["name=y"],"original":"\#(id)","program_version":"restic 0.19.1","#
            + #""summary":{"backup_start":"2024-05-06T07:08:09.12+02:00","backup_end":"2024-05-06T07:08:10Z","files_new":1,"files_changed":2,"#
            + #""files_unmodified":3,"dirs_new":4,"dirs_changed":5,"dirs_unmodified":6,"data_blobs":7,"tree_blobs":8,"data_added":9,"#
            + #""data_added_packed":10,"total_files_processed":11,"total_bytes_processed":12}}"#
        let read = try Snapshot(json: Array(text.utf8))
        #expect(read.summary?.directories.changed == 5 && read.summary?.dataAddedPacked == 10)
        #expect(String(decoding: read.json, as: UTF8.self) == text)
        let least = #"{"time":"2024-05-06T07:08:09Z","tree":"\#(id)","paths":["/"]}"#
        #expect(String(decoding: try Snapshot(json: Array(least.utf8)).json, as: UTF8.self) == least)
        for (old, new) in [("\"tree\"", "\"t\""), ("\"time\"", "\"t\""), ("[\"/\"]", "\"/\""), ("[\"/\"]", "[1]")] {
            #expect(throws: FormatError.self) { try Snapshot(json: Array(least.replacing(old, with: new).utf8)) }
        }
    }
}

private func headerOf(
    _ id: SHA256Digest, _ size: UInt64, _ backend: MemoryBackend, _ version: RepositoryConfiguration.Version,
    _ cipher: inout MessageCipher
) throws -> [PackedBlob] {
    try PackHeader.read(id, size: size, from: backend, version, &cipher)
}

func hexText(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

private func bytes(_ hex: String) -> [UInt8] {
    let digits = Array(hex.utf8)
    return stride(from: 0, to: digits.count, by: 2).compactMap {
        UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16)
    }
}
