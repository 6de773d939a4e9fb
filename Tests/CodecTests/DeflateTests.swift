import Codec
import Model
import TestKit
import Testing
import Workers

/// Raw deflate streams: made, read, and joined.
@Suite struct DeflateTests {
    private func text(_ count: Int, seed: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        var number = seed
        while bytes.count < count {
            number = number &* 7919 &+ 13
            bytes += Array("line \(number % 1000) of what compresses well\n".utf8)
        }
        return Array(bytes.prefix(count))
    }

    private func deflated(_ bytes: [UInt8], level: Int32 = 7) -> [UInt8] {
        var deflate = Deflate(level: level)
        var target = [UInt8](repeating: 0, count: deflate.bound(bytes.count))
        let count = bytes.withUnsafeBytes { raw in target.withUnsafeMutableBytes { deflate.compress(raw, into: $0) } }
        return Array(target.prefix(count ?? 0))
    }

    /// Nil if it cannot be.
    private func inflated(_ stream: [UInt8], to count: Int) -> [UInt8]? {
        var whole = [UInt8](repeating: 0, count: count)
        var inflate = Inflate()
        do {
            try stream.withUnsafeBytes { raw in
                try whole.withUnsafeMutableBytes { try inflate.decompress(raw, into: $0) }
            }
            return whole
        } catch {
            return nil
        }
    }

    @Test(arguments: [0, 1, 100, 65_535, 1_000_000])
    func whatIsDeflatedInflates(count: Int) throws {
        let bytes = text(count, seed: count)
        let stream = deflated(bytes)
        let isSame = inflated(stream, to: count) == bytes
        #expect(isSame)
        #expect(inflated(stream + [0], to: count) == nil)
        #expect(inflated(stream, to: count + 1) == nil)
        #expect(count == 0 || inflated(stream, to: count - 1) == nil)
    }

    /// The last block's place is right if clearing its first bit there lets another stream follow, whatever bit it ends at.
    @Test func lastBlocksAreFound() throws {
        let buffer = Buffer(size: 1 << 16)
        var inflate = InflateStream()
        var ends: Set<Int> = []
        for seed in 1...60 {
            let bytes = text(seed * 7001, seed: seed)
            var stream = deflated(bytes, level: Int32(seed % 12 + 1))
            var seen: [UInt8] = []
            let last = try stream.withUnsafeBytes { raw in
                try inflate.lastBlock(of: raw, through: buffer.bytes) { seen += $0 }
            }
            let isSame = seen == bytes
            #expect(isSame)
            ends.insert(last.end % 8)
            #expect(stream[last.start / 8] & 1 << UInt8(last.start % 8) != 0, "seed \(seed), bit \(last.start)")
            stream[last.start / 8] &= ~(1 << UInt8(last.start % 8))
            if last.end % 8 == 0 || last.end % 8 > 5 { stream.append(0) }
            stream += [0, 0, 0xff, 0xff] + deflated(bytes)
            let isRight = inflated(stream, to: 2 * bytes.count) == bytes + bytes
            #expect(isRight, "seed \(seed)")
        }
        #expect(ends.count == 8)
    }

    @Test func checksumsCombine() {
        let (a, b) = (text(1000, seed: 1), text(777, seed: 2))
        func sum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { CRC32.update(0, $0) } }
        #expect(CRC32.combine(sum(a), sum(b), count: b.count) == sum(a + b))
        #expect(sum(Array("123456789".utf8)) == 0xcbf4_3926)
    }
}
