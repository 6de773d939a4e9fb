import Codec
import Glibc
import Model
import Synchronization
import TestKit
import Testing

@Suite struct SHA256Tests {
    /// From FIPS 180-2, appendix B, and NIST's examples of the empty message and the million times "a".
    @Test(arguments: [
        ("", 1, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ("abc", 1, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        ("a", 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ])
    func nistVectors(text: String, count: Int, hex: String) {
        let message = Array(repeatElement(Array(text.utf8), count: count).joined())
        #expect(SHA256.digest(of: message).hex == hex)
    }

    @Test func piecesAndReuse() {
        var random = SeededRandom.printed(for: "piecesAndReuse")
        var hash = SHA256()
        for _ in 0..<50 {
            let message = random.bytes(Int.random(in: 0..<5000, using: &random))
            if random.once(in: 3) {
                hash.update(random.bytes(10))
                hash.reset()
            }
            var rest = message[...]
            while !rest.isEmpty {
                let count = Int.random(in: 0...rest.count, using: &random)
                hash.update(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            #expect(hash.finish() == SHA256.digest(of: message))
        }
        hash.update(UnsafeRawBufferPointer(start: nil, count: 0))
        #expect(hash.finish() == SHA256.digest(of: []))
    }

    @Test func agreesWithSha256sum() throws {
        var random = SeededRandom.printed(for: "agreesWithSha256sum")
        for size in [1, 55, 56, 63, 64, 65, 4096, Int.random(in: 0..<300_000, using: &random)] {
            let message = random.bytes(size)
            let sum = try ToolRun.run("sha256sum", [], input: message)
            #expect(SHA256.digest(of: message) == SHA256Digest(hex: sum.output.prefix(64)))
        }
    }

    @Test func livesInAMutexAndOnOtherThreads() async {
        let shared = SharedHash()
        let expected = SHA256.digest(of: [1, 2, 3])
        let digests = await withTaskGroup(of: [SHA256Digest].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let own = SHA256.digest(of: [1, 2, 3])
                    let borrowed = shared.hash.withLock { hash in
                        hash.update([1, 2])
                        hash.update([3])
                        return hash.finish()
                    }
                    return [own, borrowed]
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(digests == Array(repeating: expected, count: 8))
    }

    /// `OPENSSL_CONF` that activates only the null provider leaves a plain `EVP_MD_fetch` without SHA-256.
    @Test func noConfigurationOfTheHostTakesItAway() async throws {
        await #expect(processExitsWith: .success) {
            // The environment of a child process that does only this.
            let path = "/tmp/chastipi-openssl-\(getpid()).cnf"
            let text = "openssl_conf = a\n[a]\nproviders = b\n[b]\nnull = c\n[c]\nactivate = 1\n"
            let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
            guard text.withCString({ write(descriptor, $0, strlen($0)) }) == text.utf8.count else { exit(2) }
            setenv("OPENSSL_CONF", path, 1)
            let digest = SHA256.digest(of: [])
            unlink(path)
            exit(digest.hex.hasPrefix("e3b0c442") ? 0 : 1)
        }
    }
}

private final class SharedHash: Sendable {
    let hash = Mutex(SHA256())
}
