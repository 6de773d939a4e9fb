import CCrypto
import Model

/// Why a message cannot be decrypted, as a clause.
package enum MessageError: Error, Sendable, CustomStringConvertible {
    /// Fewer bytes than an empty message has.
    case tooShort
    /// Damaged, or encrypted under other keys.
    case notAuthentic

    package var description: String {
        switch self {
        case .tooShort: "it is too short to be encrypted"
        case .notAuthentic: "it is damaged or was encrypted with another key"
        }
    }
}

/// Encrypts and decrypts messages of a repository where they are: an IV of 16 bytes, the ciphertext (AES-256 in counter mode, the
/// IV being the first counter), and a tag of 16 bytes (Poly1305 over the ciphertext; its key is r and the IV encrypted by AES-128).
///
/// Owns libcrypto contexts that hold the keys: give each worker its own.
/// Source: restic's design document, "Keys, Encryption and MAC".
package struct MessageCipher: ~Copyable {
    package static let ivSize = 16
    package static let tagSize = 16
    /// Bytes that a message has besides its ciphertext.
    package static let overhead = ivSize + tagSize

    private let cipher = LibCrypto.present(EVP_CIPHER_CTX_new())
    private let block = LibCrypto.present(EVP_CIPHER_CTX_new())
    private let mac = LibCrypto.present(EVP_MAC_CTX_new(LibCrypto.poly1305))
    private var generator = SystemRandomNumberGenerator()
    /// r, then the encrypted IV of the message at hand.
    private let tagKey = Scratch(size: 32)
    private let tag = Scratch(size: MessageCipher.tagSize)

    package init(_ keys: MessageKeys) {
        LibCrypto.check(EVP_EncryptInit_ex2(cipher, LibCrypto.aes256CTR, keys.encryption, nil, nil))
        LibCrypto.check(EVP_EncryptInit_ex2(block, LibCrypto.aes128ECB, keys.nonceKey, nil, nil))
        EVP_CIPHER_CTX_set_padding(block, 0)
        tagKey.bytes.copyBytes(from: keys.authentication)
    }

    deinit {
        OPENSSL_cleanse(tagKey.bytes.baseAddress, tagKey.bytes.count)
        EVP_CIPHER_CTX_free(cipher)
        EVP_CIPHER_CTX_free(block)
        EVP_MAC_CTX_free(mac)
    }

    /// Encrypts what stands in `message` between room for the IV and room for the tag, with a fresh IV of the kernel's.
    ///
    /// - Precondition: `message` has at least ``overhead`` bytes.
    package mutating func seal(_ message: UnsafeMutableRawBufferPointer) {
        let iv = UnsafeMutableRawBufferPointer(rebasing: message[..<Self.ivSize])
        repeat { SecureRandom.fill(iv, &generator) } while Self.isZero(iv)
        sealWithIV(message)
    }

    /// The same with the IV that stands in `message`, which no other message may have.
    mutating func sealWithIV(_ message: UnsafeMutableRawBufferPointer) {
        combine(message)
        computeTag(message)
        UnsafeMutableRawBufferPointer(rebasing: message[(message.count - Self.tagSize)...]).copyMemory(
            from: UnsafeRawBufferPointer(tag.bytes))
    }

    /// Decrypts `message` where it is, if it is authentic; else it stays as it is. Returns where the plaintext stands.
    package mutating func open(
        _ message: UnsafeMutableRawBufferPointer
    ) throws(MessageError) -> UnsafeMutableRawBufferPointer {
        guard message.count >= Self.overhead else { throw .tooShort }
        guard !Self.isZero(UnsafeMutableRawBufferPointer(rebasing: message[..<Self.ivSize])) else {
            throw .notAuthentic
        }
        computeTag(message)
        let found = UnsafeMutableRawBufferPointer(rebasing: message[(message.count - Self.tagSize)...])
        guard CRYPTO_memcmp(found.baseAddress, tag.bytes.baseAddress, Self.tagSize) == 0 else { throw .notAuthentic }
        combine(message)
        return Self.content(of: message)
    }

    /// Decrypts `message`, which stays as it is, if it is authentic: `each` is called with the plaintext, piece by piece, which stands
    /// in `buffer`.
    package mutating func open(
        _ message: UnsafeRawBufferPointer, through buffer: UnsafeMutableRawBufferPointer,
        _ each: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        guard message.count >= Self.overhead else { throw MessageError.tooShort }
        let content = UnsafeRawBufferPointer(rebasing: message[Self.ivSize..<message.count - Self.tagSize])
        let iv = UnsafeRawBufferPointer(rebasing: message[..<Self.ivSize])
        guard iv.contains(where: { $0 != 0 }) else { throw MessageError.notAuthentic }
        computeTag(iv: iv, content)
        let found = UnsafeRawBufferPointer(rebasing: message[(message.count - Self.tagSize)...])
        guard CRYPTO_memcmp(found.baseAddress, tag.bytes.baseAddress, Self.tagSize) == 0 else {
            throw MessageError.notAuthentic
        }
        LibCrypto.check(EVP_EncryptInit_ex2(cipher, nil, nil, Self.octets(iv), nil))
        var done = 0
        while done < content.count {
            var made: Int32 = 0
            let count = min(content.count - done, buffer.count)
            LibCrypto.check(
                EVP_EncryptUpdate(
                    cipher, Self.octets(buffer), &made, Self.octets(content)?.advanced(by: done), Int32(count)))
            try each(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
            done += count
        }
    }

    /// `plaintext` as a message.
    package mutating func seal(_ plaintext: [UInt8]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: plaintext.count + Self.overhead) { buffer, filled in
            filled = plaintext.count + Self.overhead
            let message = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: filled)
            Self.content(of: message).copyBytes(from: plaintext)
            seal(message)
        }
    }

    /// The plaintext of `message`.
    package mutating func open(_ message: [UInt8]) throws(MessageError) -> [UInt8] {
        let copy = Scratch(size: message.count)
        copy.bytes.copyBytes(from: message)
        return Array(try open(copy.bytes))
    }

    /// Where the ciphertext or the plaintext of `message` stands.
    package static func content(of message: UnsafeMutableRawBufferPointer) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: message[ivSize..<message.count - tagSize])
    }

    // MARK: Primitives

    /// XORs the content with the key stream.
    private mutating func combine(_ message: UnsafeMutableRawBufferPointer) {
        let content = Self.content(of: message)
        LibCrypto.check(EVP_EncryptInit_ex2(cipher, nil, nil, Self.octets(message), nil))
        var done = 0
        // libcrypto counts in 32 bits.
        while done < content.count {
            var made: Int32 = 0
            let count = min(content.count - done, 1 << 30)
            let place = content.baseAddress?.advanced(by: done).assumingMemoryBound(to: UInt8.self)
            LibCrypto.check(EVP_EncryptUpdate(cipher, place, &made, place, Int32(count)))
            done += count
        }
    }

    private mutating func computeTag(_ message: UnsafeMutableRawBufferPointer) {
        let iv = UnsafeRawBufferPointer(rebasing: message[..<Self.ivSize])
        computeTag(iv: iv, UnsafeRawBufferPointer(Self.content(of: message)))
    }

    private mutating func computeTag(iv: UnsafeRawBufferPointer, _ content: UnsafeRawBufferPointer) {
        var made: Int32 = 0
        let key = Self.octets(tagKey.bytes)
        LibCrypto.check(EVP_EncryptUpdate(block, key?.advanced(by: 16), &made, Self.octets(iv), 16))
        LibCrypto.check(crypto_start_poly1305(mac, key))
        LibCrypto.check(EVP_MAC_update(mac, Self.octets(content), content.count))
        LibCrypto.check(EVP_MAC_final(mac, Self.octets(tag.bytes), nil, Self.tagSize))
    }

    private static func octets(_ bytes: UnsafeMutableRawBufferPointer) -> UnsafeMutablePointer<UInt8>? {
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }

    private static func octets(_ bytes: UnsafeRawBufferPointer) -> UnsafePointer<UInt8>? {
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self)
    }

    private static func isZero(_ iv: UnsafeMutableRawBufferPointer) -> Bool {
        iv.allSatisfy { $0 == 0 }
    }
}

/// Memory of a fixed size.
private struct Scratch: ~Copyable {
    let bytes: UnsafeMutableRawBufferPointer

    init(size: Int) {
        bytes = .allocate(byteCount: size, alignment: 16)
    }

    deinit {
        bytes.deallocate()
    }
}
