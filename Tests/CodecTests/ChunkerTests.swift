import Model
import TestKit
import Testing

@testable import Codec

/// The chunker as the specification words it: byte after byte, with a ring for the window.
private struct PlainChunker {
    private let polynomial: ChunkerPolynomial
    let out: [UInt64]
    let mod: [UInt64]

    init(_ polynomial: ChunkerPolynomial) {
        self.polynomial = polynomial
        out = (0..<256).map { byte in
            PlainChunker.hash([UInt8(byte)] + [UInt8](repeating: 0, count: 63), polynomial)
        }
        mod = (0..<256 as Range<UInt64>).map { polynomial.remainder($0 << 53) | $0 << 53 }
    }

    static func hash(_ bytes: [UInt8], _ polynomial: ChunkerPolynomial) -> UInt64 {
        bytes.reduce(0) { polynomial.shifted($0) ^ UInt64($1) }
    }

    func firstChunk(of bytes: ArraySlice<UInt8>) -> (length: Int, digest: UInt64) {
        var window = [UInt8](repeating: 0, count: 64)
        var place = 0
        var digest: UInt64 = 0
        func slide(_ byte: UInt8) {
            digest ^= out[Int(window[place])]
            window[place] = byte
            place = (place + 1) % 64
            digest = (digest << 8 | UInt64(byte)) ^ mod[Int(digest >> 45)]
        }
        slide(1)
        var count = 524_288 - 64
        guard bytes.count > count else { return (bytes.count, digest) }
        for byte in bytes.dropFirst(count) {
            slide(byte)
            count += 1
            if count >= 524_288, digest & 0xfffff == 0 || count >= 8_388_608 { break }
        }
        return (count, digest)
    }

    func lengths(_ bytes: [UInt8]) -> [Int] {
        var rest = bytes[...]
        var lengths: [Int] = []
        while !rest.isEmpty {
            lengths.append(firstChunk(of: rest).length)
            rest = rest.dropFirst(lengths[lengths.count - 1])
        }
        return lengths
    }
}

@Suite struct ChunkerTests {
    private static let polynomial = ChunkerPolynomial(0x3d_a335_8b4d_c173)

    @Test func tables() throws {
        let polynomial = try #require(Self.polynomial)
        let plain = PlainChunker(polynomial)
        #expect(
            [1, 2, 128, 255].map { plain.out[$0] } == [
                0x17_eb42_32e1_9216, 0x12_75b1_ee8e_e55f, 0x5_b544_53ea_6b5c, 0xb_80b9_8cec_c39a,
            ])
        #expect(
            [1, 2, 128, 255].map { plain.mod[$0] } == [
                0x3d_a335_8b4d_c173, 0x46_e55e_9dd6_4395, 0x1012_ab55_b228_ad4d, 0x1ff7_ac8a_5af4_76a7,
            ])
        #expect(PlainChunker.hash([UInt8](repeating: 0xff, count: 64), polynomial) == 0x6_d987_9d4c_4d97)
    }

    /// Cuts confirmed with restic's own chunker.
    @Test func vectors() throws {
        let polynomial = try #require(Self.polynomial)
        let data = Self.testData(32 << 20)
        #expect(SHA256.digest(of: data).hex == "61fcdab1645ad6c5949c47b44bf3baffdcba611b92ab00c351544a445e225b74")
        let lengths = Self.lengths(Chunker(polynomial), data)
        #expect(
            lengths == [
                835_311, 2_758_504, 782_055, 895_795, 826_222, 1_502_035, 837_323, 1_208_355, 1_552_485, 2_519_009,
                1_847_271, 801_242, 934_116, 608_160, 816_847, 1_058_436, 4_675_508, 790_632, 3_445_588, 3_033_912,
                1_825_626,
            ])
        let first = SHA256.digest(of: Array(data.prefix(835_311)))
        #expect(first.hex == "58856409ed89e3e71fcb84e2cd2c9a58426723f2c0ad12dc32e83d98337e166c")
        let plain = PlainChunker(polynomial).firstChunk(of: data[...])
        #expect(plain == (835_311, 0xa_a40d_3a50_0000))
    }

    @Test func runsOfOneByte() throws {
        let chunker = Chunker(try #require(Self.polynomial))
        #expect(
            Self.lengths(chunker, [UInt8](repeating: 0xff, count: 20 << 20)) == [8_388_608, 8_388_608, 4_194_304])
        #expect(Self.lengths(chunker, [UInt8](repeating: 0, count: 1_200_000)) == [524_288, 524_288, 151_424])
        for size in [0, 1, 524_287, 524_288, 524_289] {
            let lengths = Self.lengths(chunker, [UInt8](repeating: 1, count: size))
            #expect(lengths == (size == 0 ? [] : [size]), "\(size)")
        }
    }

    /// Zero runs make cuts at the first byte where they may be; between them random bytes put cuts into every lane.
    @Test func agreesWithThePlainOne() throws {
        var random = SeededRandom.printed(for: "chunker agreesWithThePlainOne")
        let polynomial = ChunkerPolynomial.random { random.bytes($0) }
        let (chunker, plain) = (Chunker(polynomial), PlainChunker(polynomial))
        for _ in 0..<8 {
            var data = Self.testData(1 << 20, seed: UInt32.random(in: 1...UInt32.max, using: &random))
            for _ in 0..<3 {
                let start = Int.random(in: 500_000..<data.count - 70, using: &random)
                for index in start..<start + Int.random(in: 60...70, using: &random) { data[index] = 0 }
            }
            #expect(Self.lengths(chunker, data) == plain.lengths(data))
        }
    }

    @Test func choosingAPolynomial() throws {
        var counter: UInt32 = 0
        let chosen = ChunkerPolynomial.random { count in
            // Eight bytes at a time: four tries from each digest.
            defer { counter += 1 }
            let digest = SHA256.digest(of: Array("polynomial-test".utf8) + Self.bigEndian(counter / 4))
            let start = Int(counter % 4) * count
            return digest.withBytes { Array($0[start..<start + count]) }
        }
        #expect(chosen.value == 0x3a_f396_e592_1c47 && counter == 3)
        #expect(ChunkerPolynomial(hex: "3af396e5921c47") == chosen && chosen.hex == "3af396e5921c47")
        #expect(ChunkerPolynomial.random() != ChunkerPolynomial.random())
    }

    @Test(arguments: [
        "", "0", "3da3358b4dc172", "1da3358b4dc173", "3da3358b4dc175", "+3da3358b4dc173", "x", "13da3358b4dc173",
    ])
    func refusedPolynomials(hex: String) {
        #expect(ChunkerPolynomial(hex: hex) == nil)
    }

    private static func lengths(_ chunker: Chunker, _ bytes: [UInt8]) -> [Int] {
        bytes.withUnsafeBytes { bytes in
            var lengths: [Int] = []
            var position = 0
            while position < bytes.count {
                lengths.append(chunker.firstChunk(of: UnsafeRawBufferPointer(rebasing: bytes[position...])))
                position += lengths[lengths.count - 1]
            }
            return lengths
        }
    }

    private static func testData(_ size: Int, seed: UInt32 = 0) -> [UInt8] {
        var hash = SHA256()
        var data: [UInt8] = []
        data.reserveCapacity(size)
        var number = seed
        while data.count < size {
            hash.update(Array("restic-chunker-test".utf8) + bigEndian(number))
            hash.finish().withBytes { data.append(contentsOf: $0) }
            number &+= 1
        }
        return data
    }

    private static func bigEndian(_ number: UInt32) -> [UInt8] {
        withUnsafeBytes(of: number.bigEndian) { Array($0) }
    }
}
