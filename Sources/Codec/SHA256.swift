import CCrypto
import Model

/// SHA-256 of bytes that come in pieces.
///
/// Owns one libcrypto context, made once and used for any number of messages: give each worker its own.
package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    /// Ready for the first message.
    package init() {
        context = LibCrypto.present(EVP_MD_CTX_new())
        start()
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    /// Drops what came in so far and is ready for a new message.
    package mutating func reset() {
        start()
    }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        LibCrypto.check(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count))
    }

    package mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest of everything since the last `reset` or `finish`; ready for a new message afterwards.
    package mutating func finish() -> SHA256Digest {
        let context = self.context
        var digest = SHA256Digest()
        digest.withMutableBytes { bytes in
            LibCrypto.check(EVP_DigestFinal_ex(context, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), nil))
        }
        start()
        return digest
    }

    package static func digest(of bytes: UnsafeRawBufferPointer) -> SHA256Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    package static func digest(of bytes: [UInt8]) -> SHA256Digest {
        bytes.withUnsafeBytes { digest(of: $0) }
    }

    private mutating func start() {
        LibCrypto.check(EVP_DigestInit_ex(context, LibCrypto.sha256, nil))
    }
}

// Proof for `@unchecked`: the context belongs to this value alone, the value can't be copied, and every use of the
// context is in a `mutating` method, `init` or `deinit`, hence exclusive. libcrypto ties a context to no thread.
extension SHA256: @unchecked Sendable {}
