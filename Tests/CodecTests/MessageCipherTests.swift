import Model
import TestKit
import Testing

@testable import Codec

@Suite struct MessageCipherTests {
    /// E = 00 … 1f, K = 20 … 2f, R = f0 … ff; the expected values were confirmed with restic's own code.
    private static let keys = MessageKeys(Array(0x00...0x2f) + Array(0xf0...0xff))

    @Test(arguments: [
        (
            Array(0x40...0x4f) as [UInt8], Array("hello world\n".utf8),
            "cb1bb353f87acd80e11706cd9dfec8060f5e1e3b13cfabebc7dd7a91"
        ),
        (Array(0x40...0x4f), [], "859469c07743c7e45b318d151d3d87e9"),
        (
            Array(repeating: 0xff, count: 16), Array(repeating: 0, count: 48),
            "e999e41d4ca770da5387117b5d8f57eef29000b62a499fd0a9f39a6add2e7780f05d76ae4ab99fe5a6f69b3148c2363d"
                + "a8830070757ce551239b364fddab0f51"
        ),
    ])
    func vectors(iv: [UInt8], plaintext: [UInt8], expected: String) throws {
        var cipher = MessageCipher(try #require(Self.keys))
        var message = iv + plaintext + [UInt8](repeating: 0, count: 16)
        message.withUnsafeMutableBytes { cipher.sealWithIV($0) }
        #expect(hexText(message) == hexText(iv) + expected)
        #expect(try cipher.open(message) == plaintext)
    }

    @Test func everyFlippedBitIsFound() throws {
        var cipher = MessageCipher(.random())
        for size in [0, 1, 16, 77] {
            let message = cipher.seal([UInt8](repeating: 7, count: size))
            #expect(message.count == size + MessageCipher.overhead)
            for bit in 0..<message.count * 8 {
                var damaged = message
                damaged[bit / 8] ^= 1 << UInt8(bit % 8)
                #expect(throws: MessageError.notAuthentic) { try openOnce(&cipher, damaged) }
            }
            for count in 0..<MessageCipher.overhead {
                #expect(throws: MessageError.tooShort) { try openOnce(&cipher, Array(message.prefix(count))) }
            }
        }
    }

    @Test func oneCipherForManyMessages() throws {
        var random = SeededRandom.printed(for: "oneCipherForManyMessages")
        let keys = MessageKeys.random()
        var cipher = MessageCipher(keys)
        var ivs: Set<[UInt8]> = []
        for _ in 0..<200 {
            let plaintext = random.bytes(Int.random(in: 0..<3000, using: &random))
            let message = cipher.seal(plaintext)
            ivs.insert(Array(message.prefix(16)))
            var other = MessageCipher(keys)
            #expect(try cipher.open(message) == plaintext)
            #expect(try other.open(message) == plaintext)
            var stranger = MessageCipher(.random())
            #expect(throws: MessageError.notAuthentic) { try openOnce(&stranger, message) }
        }
        #expect(ivs.count == 200)
    }

    @Test func aZeroIVIsRefused() throws {
        var cipher = MessageCipher(try #require(Self.keys))
        var message = [UInt8](repeating: 0, count: 40)
        message.withUnsafeMutableBytes { cipher.sealWithIV($0) }
        #expect(throws: MessageError.notAuthentic) { try openOnce(&cipher, message) }
    }

    @Test func keysAreCheckedAndNeverShown() throws {
        #expect(MessageKeys([UInt8](repeating: 1, count: 63)) == nil)
        for start in [0, 32, 48] {
            var bytes = [UInt8](repeating: 1, count: 64)
            for index in start..<(start == 0 ? 32 : start + 16) { bytes[index] = 0 }
            #expect(MessageKeys(bytes) == nil)
        }
        let keys = try #require(Self.keys)
        var dumped = ""
        dump(keys, to: &dumped)
        #expect("\(keys)" == "keys" && String(reflecting: keys) == "keys" && !dumped.contains("31"))
    }
}

/// `#expect` takes no closure that captures what cannot be copied.
private func openOnce(_ cipher: inout MessageCipher, _ message: [UInt8]) throws -> [UInt8] {
    try cipher.open(message)
}

@Suite struct ScryptTests {
    @Test func vectors() throws {
        let parameters = try #require(ScryptParameters(cost: 1024, blockSize: 8, parallelism: 1))
        let key = try Scrypt.derive(password: Array("pä55".utf8), salt: Array(0..<64), parameters, count: 64)
        #expect(
            hexText(key)
                == "ffc1d9585b560acae9f17fe58dd430008f83d2739da727fad9f3dc762ba023e34949763f90d449a5bab13bfd761cdc3d1e8b02be09b789451c850aba19ba2516"
        )
        // From RFC 7914, section 12.
        let other = try #require(ScryptParameters(cost: 16, blockSize: 1, parallelism: 1))
        #expect(hexText(try Scrypt.derive(password: [], salt: [], other, count: 8)) == "77d6576238657b20")
    }

    @Test(arguments: [
        (0, 8, 1), (1, 8, 1), (3, 8, 1), (-2, 8, 1), (1024, 0, 1), (1024, 8, 0), (1024, 8, -1), (Int.max, 8, 1),
        (1 << 62, 8, 1), (1 << 21, 8, 1), (1 << 20, 8, 17), (2, Int.max, 1), (2, 1, Int.max),
    ])
    func refusedParameters(cost: Int, blockSize: Int, parallelism: Int) {
        #expect(ScryptParameters(cost: cost, blockSize: blockSize, parallelism: parallelism) == nil)
    }
}

func hexText(_ bytes: some Sequence<UInt8>) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}
