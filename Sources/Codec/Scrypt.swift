import CCrypto
import Model

/// How much work deriving a key takes (RFC 7914).
package struct ScryptParameters: Equatable, Sendable {
    /// N, a power of two.
    package let cost: Int
    /// r.
    package let blockSize: Int
    /// p.
    package let parallelism: Int

    /// Bytes that a derivation may need at most. rustic's repositories need 128 MiB.
    package static let memoryLimit = 1 << 30
    /// The largest N · r · p: 70 times what restic chooses on a computer that takes half a second for it.
    package static let workLimit = 1 << 27

    /// Nil unless scrypt knows the parameters and they are within the limits.
    package init?(cost: Int, blockSize: Int, parallelism: Int) {
        guard cost > 1, cost & (cost - 1) == 0, cost <= Self.workLimit, 1...Self.workLimit ~= blockSize,
            1...Self.workLimit ~= parallelism
        else { return nil }
        let (block, tooLarge) = cost.multipliedReportingOverflow(by: blockSize)
        let (work, tooMuch) = block.multipliedReportingOverflow(by: parallelism)
        guard !tooLarge, !tooMuch, work <= Self.workLimit, block <= Self.memoryLimit / 128 else { return nil }
        self.cost = cost
        self.blockSize = blockSize
        self.parallelism = parallelism
    }

    private init(known cost: Int, _ blockSize: Int, _ parallelism: Int) {
        self.cost = cost
        self.blockSize = blockSize
        self.parallelism = parallelism
    }

    /// N = 32,768, r = 8, p = 5, as restic chooses on a computer of 2024: 32 MiB and about 0.4 s.
    package static let standard = ScryptParameters(known: 32_768, 8, 5)
}

/// Why no key was derived.
package struct ScryptError: Error, Sendable, CustomStringConvertible {
    package let description = "there is not enough memory to derive the key from the password"
}

/// Keys from passwords (RFC 7914).
package enum Scrypt {
    /// `count` bytes from a password of any bytes, also none, and a salt.
    package static func derive(
        password: [UInt8], salt: [UInt8], _ parameters: ScryptParameters, count: Int
    ) throws(ScryptError) -> [UInt8] {
        let context = LibCrypto.present(EVP_KDF_CTX_new(LibCrypto.scrypt))
        defer { EVP_KDF_CTX_free(context) }
        // libcrypto counts a little more than the 128 · N · r bytes of the table.
        let memory = UInt64(ScryptParameters.memoryLimit) * 2
        var result: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            result = crypto_scrypt(
                context, password, password.count, salt, salt.count, UInt64(parameters.cost),
                UInt32(parameters.blockSize), UInt32(parameters.parallelism), memory, buffer.baseAddress, count)
            filled = result == 1 ? count : 0
        }
        guard result == 1 else { throw ScryptError() }
        return bytes
    }
}
