import Codec
import TestKit
import Testing

@Suite struct ZstdTests {
    @Test func roundTrips() throws {
        var random = SeededRandom.printed(for: "zstd roundTrips")
        var compressor = ZstdCompressor()
        var decompressor = ZstdDecompressor()
        for size in [0, 1, 255, 256, 257, 70_000, 300_000, Int.random(in: 0..<50_000, using: &random)] {
            let noise = random.bytes(max(1, size / 4))
            let content = Array(repeatElement(noise, count: 5).joined().prefix(size))
            let frame = compressor.compress(content)
            #expect(try fill(&decompressor, frame, size) == content)
            #expect(try all(&decompressor, frame, limit: size) == content)
        }
    }

    /// The tool writes frames with checksums, of any level, and without a size where it reads a pipe.
    @Test(arguments: ["-1", "-3", "-19", "--ultra -22", "--no-check -3", "--long=27 -3"])
    func readsWhatTheToolWrites(options: String) throws {
        var random = SeededRandom.printed(for: "readsWhatTheToolWrites")
        var decompressor = ZstdDecompressor()
        for size in [0, 10, 200_000] {
            let content = random.bytes(size / 2) + [UInt8](repeating: 1, count: size - size / 2)
            let run = try ToolRun.run("zstd", options.split(separator: " ").map(String.init) + ["-c"], input: content)
            #expect(run.status == 0)
            #expect(try fill(&decompressor, run.output, size) == content)
            #expect(try all(&decompressor, run.output, limit: 1 << 20) == content)
        }
    }

    @Test func whatFrameSaysIsNotTrusted() throws {
        var compressor = ZstdCompressor()
        var decompressor = ZstdDecompressor()
        let frame = compressor.compress([UInt8](repeating: 0, count: 1 << 20))
        #expect(throws: ZstdError.self) { try fill(&decompressor, frame, 1 << 20 - 1) }
        #expect(throws: ZstdError.self) { try fill(&decompressor, frame, 1 << 20 + 1) }
        #expect(throws: ZstdError.self) { try all(&decompressor, frame, limit: 1 << 20 - 1) }
        #expect(throws: ZstdError.self) { try fill(&decompressor, frame + frame, 1 << 21) }
        #expect(throws: ZstdError.self) { try all(&decompressor, frame + frame, limit: 1 << 22) }
        #expect(throws: ZstdError.self) { try all(&decompressor, frame + [0], limit: 1 << 22) }
        for count in 0..<frame.count {
            #expect(throws: ZstdError.self) { try fill(&decompressor, Array(frame.prefix(count)), 1 << 20) }
            #expect(throws: ZstdError.self) { try all(&decompressor, Array(frame.prefix(count)), limit: 1 << 20) }
        }
        // A frame that claims 2⁶³ bytes.
        let liar: [UInt8] = [0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 0, 0, 0x80, 1, 0, 0]
        #expect(throws: ZstdError.self) { try fill(&decompressor, liar, 100) }
        #expect(throws: ZstdError.self) { try all(&decompressor, liar, limit: 100) }
        #expect(try all(&decompressor, frame, limit: 1 << 20).count == 1 << 20)
    }

    @Test func damageNeverCrashes() throws {
        var random = SeededRandom.printed(for: "zstd damageNeverCrashes")
        var compressor = ZstdCompressor()
        var decompressor = ZstdDecompressor()
        let content = Array("a line of text that repeats, and repeats, and repeats\n".utf8) + random.bytes(100)
        let frame = compressor.compress(content)
        for _ in 0..<2000 {
            var damaged = frame
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                damaged[Int.random(in: damaged.indices, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            _ = try? fill(&decompressor, damaged, content.count)
            _ = try? all(&decompressor, damaged, limit: 1 << 20)
        }
        #expect(try fill(&decompressor, frame, content.count) == content)
    }
}

private func fill(_ decompressor: inout ZstdDecompressor, _ frame: [UInt8], _ size: Int) throws -> [UInt8] {
    var content = [UInt8](repeating: 0xaa, count: size)
    try content.withUnsafeMutableBytes { target in
        try frame.withUnsafeBytes { try decompressor.decompress($0, into: target) }
    }
    return content
}

private func all(_ decompressor: inout ZstdDecompressor, _ frame: [UInt8], limit: Int) throws -> [UInt8] {
    try frame.withUnsafeBytes { try decompressor.decompress($0, limit: limit) }
}
