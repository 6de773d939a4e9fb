import Codec
import Model

package enum BlobType: UInt8, Sendable, CaseIterable {
    case data, tree

    package var name: String { self == .data ? "data" : "tree" }
}

/// Names a blob: the same bytes may be stored as data and as a tree.
package struct BlobKey: Hashable, Sendable {
    package let type: BlobType
    /// SHA-256 of its content.
    package let id: SHA256Digest

    package init(_ type: BlobType, _ id: SHA256Digest) {
        self.type = type
        self.id = id
    }
}

extension BlobKey: CustomStringConvertible {
    package var description: String { "\(type.name) blob \(id.hex.prefix(8))" }
}

/// Where in a pack a blob stands.
package struct BlobPlace: Hashable, Sendable {
    package let offset: UInt32
    /// Bytes that it takes there: a message.
    package let length: UInt32
    /// Bytes of its content if that is compressed there; 0 if it is not.
    package let uncompressedLength: UInt32

    /// The largest content that is read. Restic makes data of up to 8 MiB; a tree of a million files has 500 MB.
    package static let contentLimit = 1 << 30

    package init(offset: UInt32, length: UInt32, uncompressedLength: UInt32) {
        self.offset = offset
        self.length = length
        self.uncompressedLength = uncompressedLength
    }

    /// Nil unless the numbers are possible ones: a message of at least 32 bytes within 4 GiB, and a content within the limit.
    init?(offset: UInt64, length: UInt64, uncompressedLength: UInt64) {
        guard length >= UInt64(MessageCipher.overhead), offset <= UInt32.max, length <= UInt32.max,
            offset + length <= UInt32.max, uncompressedLength <= Self.contentLimit,
            length <= UInt64(Self.contentLimit + MessageCipher.overhead)
        else { return nil }
        self.init(
            offset: UInt32(offset), length: UInt32(length), uncompressedLength: UInt32(uncompressedLength))
    }

    package var isCompressed: Bool { uncompressedLength != 0 }

    package var contentLength: Int {
        isCompressed ? Int(uncompressedLength) : Int(length) - MessageCipher.overhead
    }

    /// Behind its last byte.
    package var end: UInt32 { offset + length }
}

/// A blob and where it stands in its pack.
package struct PackedBlob: Hashable, Sendable {
    package let key: BlobKey
    package let place: BlobPlace

    package init(_ key: BlobKey, _ place: BlobPlace) {
        self.key = key
        self.place = place
    }
}
