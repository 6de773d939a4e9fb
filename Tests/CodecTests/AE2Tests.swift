import Foundation
import Model
import TestKit
import Testing

@testable import Codec

@Suite struct AE2Tests {
    /// From RFC 6070.
    @Test(
        arguments: [
            ("password", "salt", 1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"),
            ("password", "salt", 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"),
            ("password", "salt", 4096, "4b007901b765489abead49d926f721d065a429c1"),
            (
                "passwordPASSWORDpassword", "saltSALTsaltSALTsaltSALTsaltSALTsalt", 4096,
                "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"
            ),
            ("pass\0word", "sa\0lt", 4096, "56fa6aa75548099dcc37d7f03425e0c3"),
        ] as [(String, String, UInt32, String)])
    func keysAreThoseOfTheRFC(password: String, salt: String, iterations: UInt32, hex: String) throws {
        let cipher = AE2Cipher(try #require(Password(password.utf8)))
        let key = cipher.derive(salt: Array(salt.utf8), count: hex.count / 2, iterations: iterations)
        #expect(Self.hex(key) == hex)
    }

    /// The key stream is AES of counters, least byte first from 1 on; the tag is HMAC-SHA1 of the ciphertext: by openssl.
    @Test func agreesWithOpenSSL() throws {
        var random = SeededRandom.printed(for: "agreesWithOpenSSL")
        let cipher = AE2Cipher(try #require(Password("a password".utf8)))
        for size in [0, 1, 15, 16, 17, 4095, 4096, 4097, 70_000, Int.random(in: 0..<20_000, using: &random)] {
            let salt = AE2Cipher.freshSalt()
            let keys = cipher.derive(salt: salt, count: 66, iterations: 1000)
            let plain = random.bytes(size)
            var bytes = plain
            #expect(cipher.begin(salt: salt) == Array(keys[64...]))
            Self.inPieces(&bytes, &random) { cipher.encrypt($0) }
            let tag = cipher.finish()

            var counters: [UInt8] = []
            for number in 1...UInt64(size / 16 + 1) {
                withUnsafeBytes(of: number.littleEndian) { counters += $0 }
                counters += [UInt8](repeating: 0, count: 8)
            }
            let stream = try ToolRun.run(
                "openssl", ["enc", "-aes-256-ecb", "-nopad", "-K", Self.hex(keys[..<32])], input: counters)
            #expect(bytes == zip(plain, stream.output).map { $0 ^ $1 })
            let mac = try ToolRun.run(
                "openssl",
                ["dgst", "-sha1", "-mac", "HMAC", "-macopt", "hexkey:" + Self.hex(keys[32..<64]), "-binary"],
                input: bytes)
            #expect(tag == Array(mac.output.prefix(10)))

            _ = cipher.begin(salt: salt)
            Self.inPieces(&bytes, &random) { cipher.decrypt($0) }
            #expect(bytes == plain && cipher.finish() == tag)
        }
    }

    @Test func aPasswordIsNeverShown() throws {
        let password = try #require(Password("secret word".utf8))
        var dumped = ""
        dump(password, to: &dumped)
        for text in [
            "\(password)", String(reflecting: password), "\([password])", "\(Optional(password) as Any)", dumped,
        ] {
            #expect(!text.contains("secret") && !text.contains("115"), "\(text)")
        }
        #expect(Password([]) == nil)
    }

    private static func inPieces(
        _ bytes: inout [UInt8], _ random: inout SeededRandom, _ body: (UnsafeMutableRawBufferPointer) -> Void
    ) {
        bytes.withUnsafeMutableBytes { bytes in
            var start = 0
            while start < bytes.count {
                let count = Int.random(in: 0...min(5000, bytes.count - start), using: &random)
                body(UnsafeMutableRawBufferPointer(rebasing: bytes[start..<start + count]))
                start += count
            }
        }
    }

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
}
