import CCrypto

/// What is fetched from libcrypto once per process.
enum LibCrypto {
    // `nonisolated(unsafe)`: each is set once, never freed, and only read; libcrypto shares what is fetched between threads.

    // A library context of our own reads no openssl.cnf, so that no configuration of the host can take an algorithm
    // away: the built-in default provider is always there, and all that can fail is an allocation.
    nonisolated(unsafe) private static let library: OpaquePointer = {
        // Nothing is cleaned up when the process exits: threads that end just then clean up, too, and free it twice.
        check(OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil))
        return present(OSSL_LIB_CTX_new())
    }()
    nonisolated(unsafe) static let sha256: OpaquePointer = present(EVP_MD_fetch(library, "SHA256", nil))
    nonisolated(unsafe) static let aes256ECB: OpaquePointer = present(EVP_CIPHER_fetch(library, "AES-256-ECB", nil))
    nonisolated(unsafe) static let aes256CTR: OpaquePointer = present(EVP_CIPHER_fetch(library, "AES-256-CTR", nil))
    nonisolated(unsafe) static let aes128ECB: OpaquePointer = present(EVP_CIPHER_fetch(library, "AES-128-ECB", nil))
    nonisolated(unsafe) static let poly1305: OpaquePointer = present(EVP_MAC_fetch(library, "POLY1305", nil))
    nonisolated(unsafe) static let scrypt: OpaquePointer = present(EVP_KDF_fetch(library, "SCRYPT", nil))
    nonisolated(unsafe) static let hmac: OpaquePointer = present(EVP_MAC_fetch(library, "HMAC", nil))
    nonisolated(unsafe) static let pbkdf2: OpaquePointer = present(EVP_KDF_fetch(library, "PBKDF2", nil))

    /// With a fetched algorithm and a living context these calls have no other way to fail, and no caller could do better
    /// than stop: going on would publish something wrong.
    static func check(_ result: Int32) {
        if result != 1 { outOfMemory() }
    }

    static func present(_ pointer: OpaquePointer?) -> OpaquePointer {
        guard let pointer else { outOfMemory() }
        return pointer
    }

    /// As Swift's own allocations do.
    static func outOfMemory() -> Never {
        fatalError("libcrypto: out of memory")
    }
}
