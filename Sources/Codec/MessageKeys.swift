import CCrypto
import Model

/// What encrypts and authenticates messages of a repository. Printed it is the word "keys".
///
/// Source: restic's design document, "Keys, Encryption and MAC".
package struct MessageKeys: Sendable {
    /// Bytes of all three keys together, as scrypt makes them.
    package static let size = 64

    /// 32 bytes, for AES-256.
    package let encryption: [UInt8]
    /// 16 bytes, for the AES-128 block that makes the second half of a Poly1305 key ("k").
    package let nonceKey: [UInt8]
    /// 16 bytes, the first half of a Poly1305 key, not clamped ("r").
    package let authentication: [UInt8]

    /// Nil unless the sizes are 32, 16 and 16, and none of the keys is all zeros.
    package init?(encryption: [UInt8], nonceKey: [UInt8], authentication: [UInt8]) {
        let parts = [(encryption, 32), (nonceKey, 16), (authentication, 16)]
        guard parts.allSatisfy({ part, size in part.count == size && part.contains { $0 != 0 } }) else { return nil }
        self.encryption = encryption
        self.nonceKey = nonceKey
        self.authentication = authentication
    }

    /// The three keys one after the other; nil unless there are 64 bytes.
    package init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.size else { return nil }
        self.init(
            encryption: Array(bytes[..<32]), nonceKey: Array(bytes[32..<48]), authentication: Array(bytes[48...]))
    }

    /// From the kernel's random source.
    package static func random() -> MessageKeys {
        while true {
            if let keys = MessageKeys(SecureRandom.bytes(size)) { return keys }
        }
    }
}

extension MessageKeys: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "keys" }
    package var debugDescription: String { "keys" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// The kernel's random source, for what must not be guessed: never the caller's.
package enum SecureRandom {
    package static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            fill(UnsafeMutableRawBufferPointer(buffer), &generator)
            filled = count
        }
    }

    static func fill(_ bytes: UnsafeMutableRawBufferPointer, _ generator: inout SystemRandomNumberGenerator) {
        var at = 0
        while at < bytes.count {
            withUnsafeBytes(of: generator.next()) { word in
                let part = word.prefix(bytes.count - at)
                UnsafeMutableRawBufferPointer(rebasing: bytes[at...]).copyBytes(from: part)
                at += part.count
            }
        }
    }
}
