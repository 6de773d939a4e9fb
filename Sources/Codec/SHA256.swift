import CCrypto
import Model

/// SHA-256 of bytes that come in pieces.
///
/// Owns one libcrypto context, made once and used for any number of messages: give each worker its own.
package struct SHA256: ~Copyable {
    private let context: OpaquePointer

    /// Ready for the first message.
    package init() {
        guard let context = EVP_MD_CTX_new() else { LibCrypto.outOfMemory() }
        self.context = context
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

/// What is fetched from libcrypto once per process.
private enum LibCrypto {
    // `nonisolated(unsafe)`: set once, never freed, and only read; libcrypto shares fetched digests between threads.
    nonisolated(unsafe) static let sha256: OpaquePointer = {
        // A library context of our own reads no openssl.cnf, so that no configuration of the host can take SHA-256
        // away: the built-in default provider is always there, and all that can fail is an allocation.
        guard let library = OSSL_LIB_CTX_new(), let digest = EVP_MD_fetch(library, "SHA256", nil) else { outOfMemory() }
        return digest
    }()

    /// With the fetched digest and a living context these calls have no other way to fail, and no caller could do
    /// better than stop: going on would publish a wrong digest.
    static func check(_ result: Int32) {
        if result != 1 { outOfMemory() }
    }

    /// As Swift's own allocations do.
    static func outOfMemory() -> Never {
        fatalError("libcrypto: out of memory")
    }
}
