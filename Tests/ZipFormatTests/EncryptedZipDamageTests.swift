import Codec
import Disk
import Model
import TestKit
import Testing

@testable import ZipFormat

/// What is found when bytes of an encrypted zip are changed, with its password and the seal as it was or made anew.
@Suite struct EncryptedZipDamageTests {
    @Test func everyChangedByteIsFound() throws {
        let fixture = try ZipFixture(password: "a password")
        #expect(try fixture.problems(of: fixture.bytes).isEmpty)
        var random = SeededRandom.printed(for: "everyChangedByteIsFound")
        for index in fixture.bytes.indices {
            var bytes = fixture.bytes
            bytes[index] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            #expect(try !fixture.problems(of: bytes).isEmpty, "byte \(index) of \(bytes.count) is not found")
        }
    }

    /// Whoever lacks the password can make a seal, but no member: salt, verifier, ciphertext and tag are guarded, and so is the
    /// metadata, which the manifest lists.
    @Test func everyForgedByteIsFound() throws {
        let fixture = try ZipFixture(password: "a password")
        let members = try Self.directory(of: fixture.bytes).members
        #expect(members.count { $0.isAES } == members.count - 2)
        for member in members where member.compressed > 0 {
            for index in Int(member.end - member.compressed)..<Int(member.end) {
                var bytes = fixture.bytes
                bytes[index] ^= 1
                let problems = try fixture.problems(of: Self.sealed(bytes))
                #expect(!problems.isEmpty, "byte \(index) is not found")
            }
        }
        #expect(try fixture.problems(of: Self.sealed(fixture.bytes)).isEmpty)
    }

    /// One wrong password in 65,536 has the manifest's verifier: its authentication code decides.
    @Test func aWrongPasswordWithTheRightVerifierIsWrong() throws {
        let fixture = try ZipFixture(password: "a password")
        let members = try Self.directory(of: fixture.bytes).members
        let manifest = members[members.count - 2]
        let (salt, wrong) = (Int(manifest.end - manifest.compressed), try #require(Password("guess".utf8)))
        var bytes = fixture.bytes
        let verifier = AE2Cipher(wrong).begin(salt: Array(bytes[salt..<salt + AE2Cipher.saltSize]))
        bytes.replaceSubrange(salt + AE2Cipher.saltSize..<salt + AE2Cipher.saltSize + 2, with: verifier)
        fixture.password = wrong
        #expect(try fixture.problems(of: Self.sealed(bytes)).contains { $0.contains("the password is wrong") })
        #expect(try fixture.problems(of: bytes).contains { $0.contains("is damaged") })
    }

    /// A known file that stands in for another of the same zip, with the same password.
    @Test func anExchangedMemberIsFound() throws {
        let fixture = try ZipFixture(password: "a password")
        let other = try ZipFixture(password: "a password")
        let members = try Self.directory(of: fixture.bytes).members
        for (number, member) in members.enumerated() where member.isAES {
            let theirs = try Self.directory(of: other.bytes).members[number]
            guard theirs.compressed == member.compressed else { continue }
            var bytes = fixture.bytes
            bytes.replaceSubrange(
                Int(member.end - member.compressed)..<Int(member.end),
                with: other.bytes[Int(theirs.end - theirs.compressed)..<Int(theirs.end)])
            // The same content, encrypted with the same password, is right; but for the manifest, which has other times.
            let isManifest = number == members.count - 2
            #expect(try fixture.problems(of: Self.sealed(bytes)).isEmpty == !isManifest, "member \(number)")
        }
    }

    @Test func saltsDiffer() throws {
        var salts: Set<[UInt8]> = []
        var count = 0
        for _ in 0..<2 {
            let bytes = try ZipFixture(password: "a password").bytes
            for member in try Self.directory(of: bytes).members where member.isAES {
                let start = Int(member.end - member.compressed)
                salts.insert(Array(bytes[start..<start + AE2Cipher.saltSize]))
                count += 1
            }
        }
        #expect(salts.count == count && count > 8)
    }

    private static func directory(of bytes: [UInt8]) throws -> ZipDirectory {
        let tree = try TemporaryTree()
        try tree.write(entry("z.zip"), bytes)
        return try ZipDirectory(try OpenFile("z.zip".utf8, in: tree.directory))
    }

    /// With a seal that is right for what stands before.
    private static func sealed(_ bytes: [UInt8]) -> [UInt8] {
        let rest = Array(bytes.dropLast(ZipSeal.length))
        return rest + ZipSeal.comment(SHA256.digest(of: rest))
    }
}
