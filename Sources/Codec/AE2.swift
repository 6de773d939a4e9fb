import CCrypto
import Model

/// Encrypts and decrypts members of zips as WinZip does: AES-256 in counter mode, then HMAC-SHA1 over the ciphertext ("AES
/// Encryption Information: Encryption Specification AE-1 and AE-2", version 1.04). One member after the other; for one thread.
///
/// The counter is a little-endian number of 128 bits that begins at 1, which no counter mode of libcrypto has: counters are
/// encrypted as they are (ECB) in batches, and make the key stream.
package final class AE2Cipher {
    package static let saltSize = 16
    package static let verifierSize = 2
    package static let tagSize = 10
    /// What an encrypted member has besides its ciphertext: salt and verifier before, the tag behind it.
    package static let overhead = saltSize + verifierSize + tagSize

    private static let iterations: UInt32 = 1000
    private static let keySize = 32
    private static let blockSize = 16
    private static let batch = 4096

    private let password: Password
    private let derivation = LibCrypto.present(EVP_KDF_CTX_new(LibCrypto.pbkdf2))
    private let cipher = LibCrypto.present(EVP_CIPHER_CTX_new())
    private let mac = LibCrypto.present(EVP_MAC_CTX_new(LibCrypto.hmac))
    /// The number of the next block.
    private var counter: UInt64 = 1
    private var counters = [UInt8](repeating: 0, count: batch)
    private var stream = [UInt8](repeating: 0, count: batch)
    /// Bytes of `stream` that are used up.
    private var used = batch

    package init(_ password: Password) {
        self.password = password
    }

    deinit {
        EVP_KDF_CTX_free(derivation)
        EVP_CIPHER_CTX_free(cipher)
        EVP_MAC_CTX_free(mac)
    }

    /// 16 bytes of the kernel's: two members with one salt would have one key stream.
    package static func freshSalt() -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<saltSize).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    /// Begins a member: derives its keys. Returns its password verifier, two bytes.
    package func begin(salt: [UInt8]) -> [UInt8] {
        var keys = derive(salt: salt, count: 2 * Self.keySize + Self.verifierSize, iterations: Self.iterations)
        defer { keys.withUnsafeMutableBytes { OPENSSL_cleanse($0.baseAddress, $0.count) } }
        LibCrypto.check(EVP_EncryptInit_ex2(cipher, LibCrypto.aes256ECB, keys, nil, nil))
        EVP_CIPHER_CTX_set_padding(cipher, 0)
        LibCrypto.check(crypto_start_hmac_sha1(mac, Array(keys[Self.keySize..<2 * Self.keySize]), Self.keySize))
        counter = 1
        used = Self.batch
        return Array(keys[(2 * Self.keySize)...])
    }

    /// Encrypts the member's next bytes where they are.
    package func encrypt(_ bytes: UnsafeMutableRawBufferPointer) {
        combine(bytes)
        update(UnsafeRawBufferPointer(bytes))
    }

    /// Decrypts the member's next bytes where they are. They are not to be believed before the tag is compared.
    package func decrypt(_ bytes: UnsafeMutableRawBufferPointer) {
        update(UnsafeRawBufferPointer(bytes))
        combine(bytes)
    }

    /// Takes the member's next bytes for the tag alone.
    package func update(_ bytes: UnsafeRawBufferPointer) {
        LibCrypto.check(EVP_MAC_update(mac, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count))
    }

    /// The tag over the member's ciphertext, ten bytes.
    package func finish() -> [UInt8] {
        var tag = [UInt8](repeating: 0, count: 20)
        LibCrypto.check(EVP_MAC_final(mac, &tag, nil, tag.count))
        return Array(tag[..<Self.tagSize])
    }

    /// PBKDF2 with HMAC-SHA1 (RFC 8018).
    func derive(salt: [UInt8], count: Int, iterations: UInt32) -> [UInt8] {
        let password = password.bytes
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            LibCrypto.check(
                crypto_pbkdf2_sha1(
                    derivation, password, password.count, salt, salt.count, iterations, buffer.baseAddress, count))
            filled = count
        }
    }

    // MARK: The key stream

    private func combine(_ bytes: UnsafeMutableRawBufferPointer) {
        var done = 0
        while done < bytes.count {
            if used == Self.batch { makeStream(for: bytes.count - done) }
            let count = min(Self.batch - used, bytes.count - done)
            stream.withUnsafeBytes { stream in
                var at = 0
                // Words first: both may begin anywhere.
                while at + 8 <= count {
                    let word = bytes.loadUnaligned(fromByteOffset: done + at, as: UInt64.self)
                    let key = stream.loadUnaligned(fromByteOffset: used + at, as: UInt64.self)
                    bytes.storeBytes(of: word ^ key, toByteOffset: done + at, as: UInt64.self)
                    at += 8
                }
                while at < count {
                    bytes[done + at] ^= stream[used + at]
                    at += 1
                }
            }
            done += count
            used += count
        }
    }

    /// The next bytes of the key stream, a batch at most; small members need but a few blocks. They end where `stream` does.
    private func makeStream(for wanted: Int) {
        let size = min(Self.batch, (wanted + Self.blockSize - 1) / Self.blockSize * Self.blockSize)
        let start = Self.batch - size
        counters.withUnsafeMutableBytes { counters in
            for at in stride(from: start, to: Self.batch, by: Self.blockSize) {
                counters.storeBytes(of: counter.littleEndian, toByteOffset: at, as: UInt64.self)
                counter += 1
            }
            stream.withUnsafeMutableBytes { stream in
                var made: Int32 = 0
                let target = UnsafeMutableRawBufferPointer(rebasing: stream[start...])
                let blocks = UnsafeMutableRawBufferPointer(rebasing: counters[start...])
                LibCrypto.check(
                    EVP_EncryptUpdate(
                        cipher, target.baseAddress?.assumingMemoryBound(to: UInt8.self), &made,
                        blocks.baseAddress?.assumingMemoryBound(to: UInt8.self), Int32(size)))
            }
        }
        used = start
    }
}
