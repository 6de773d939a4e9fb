import Codec
import Model

/// The configuration of a repository.
///
/// Source: restic's design document, "Config".
package struct RepositoryConfiguration: Equatable, Sendable {
    package enum Version: Int, Sendable, Comparable {
        /// Nothing is compressed.
        case one = 1
        /// Blobs and documents may be compressed.
        case two = 2

        package static func < (a: Version, b: Version) -> Bool { a.rawValue < b.rawValue }
    }

    package static let sizeLimit = 1 << 20

    package let version: Version
    /// 32 random bytes, the same for the repository's life.
    package let id: SHA256Digest
    package let polynomial: ChunkerPolynomial
    /// What other programs keep there.
    private let others: [JSONMember]

    private static let keys = ["version", "id", "chunker_polynomial"]

    package init(version: Version, id: SHA256Digest, polynomial: ChunkerPolynomial) {
        self.version = version
        self.id = id
        self.polynomial = polynomial
        others = []
    }

    /// Reads the decrypted configuration.
    package init(json bytes: [UInt8]) throws(FormatError) {
        let json = try readObject(bytes, what: "the configuration")
        guard let number = json["version"]?.integerValue else { throw FormatError("the configuration has no version") }
        guard let version = Version(rawValue: Int(number)) else {
            throw FormatError("its format has version \(number), and this program knows 1 and 2")
        }
        guard let id = json["id"]?.stringValue.flatMap({ SHA256Digest(hex: $0.utf8) }) else {
            throw FormatError("the configuration has no ID")
        }
        guard let polynomial = json["chunker_polynomial"]?.stringValue.flatMap({ ChunkerPolynomial(hex: $0) }) else {
            throw FormatError("the configuration has no polynomial that is irreducible and of degree 53")
        }
        self.version = version
        self.id = id
        self.polynomial = polynomial
        others = json.objectValue?.filter { !Self.keys.contains($0.key) } ?? []
    }

    /// Whether rustic was told that nothing may be removed.
    package var isAppendOnly: Bool {
        others.contains { $0.key == "append_only" && $0.value.boolValue == true }
    }

    /// What is encrypted and stored.
    package var json: [UInt8] {
        var writer = CanonicalWriter(capacity: 256)
        writer.literal("{\"version\":")
        writer.unsigned(UInt64(version.rawValue))
        writer.literal(",\"id\":")
        writer.digest(id)
        writer.literal(",\"chunker_polynomial\":")
        writer.string(Array(polynomial.hex.utf8))
        for member in others {
            writer.literal(",")
            writer.string(Array(member.key.utf8))
            writer.literal(":")
            writer.append(member.value.encode())
        }
        writer.literal("}")
        return Array(writer.bytes)
    }
}
