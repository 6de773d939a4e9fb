import Codec
import Model
import Storage

/// What stands behind the blobs of a pack: the list of them, encrypted, and its length.
///
/// Source: restic's design document, "Pack Format".
package enum PackHeader {
    /// Bytes of the length, little-endian, at the end of the pack.
    package static let lengthSize = 4
    /// Of the encrypted header.
    static let sizeLimit = 16 << 20
    /// Bytes of an entry: a type, one length or two, and an ID.
    private static let plainEntry = 37
    private static let compressedEntry = 41
    /// Blobs that a pack can have, whatever they are.
    package static let blobLimit = (sizeLimit - MessageCipher.overhead) / compressedEntry
    /// Entries that are read at once, and mostly suffice.
    private static let eagerEntries = 15

    /// Bytes that the entry of a blob takes.
    package static func entrySize(_ place: BlobPlace) -> Int { entrySize(isCompressed: place.isCompressed) }

    static func entrySize(isCompressed: Bool) -> Int { isCompressed ? compressedEntry : plainEntry }

    /// Bytes of a pack that has these blobs and no others.
    static func packSize(of blobs: [PackedBlob]) -> UInt64 {
        blobs.reduce(UInt64(MessageCipher.overhead + lengthSize)) {
            $0 + UInt64($1.place.length) + UInt64(entrySize($1.place))
        }
    }

    /// The list as it is encrypted.
    package static func encode(_ blobs: [PackedBlob]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(blobs.count * compressedEntry)
        for blob in blobs {
            bytes.append(blob.key.type.rawValue | (blob.place.isCompressed ? 2 : 0))
            withUnsafeBytes(of: blob.place.length.littleEndian) { bytes.append(contentsOf: $0) }
            if blob.place.isCompressed {
                withUnsafeBytes(of: blob.place.uncompressedLength.littleEndian) { bytes.append(contentsOf: $0) }
            }
            blob.key.id.withBytes { bytes.append(contentsOf: $0) }
        }
        return bytes
    }

    /// Reads a decrypted list; the blobs fill the first `size` bytes of the pack without gaps.
    package static func decode(
        _ bytes: [UInt8], size: UInt64, _ version: RepositoryConfiguration.Version
    ) throws(FormatError) -> [PackedBlob] {
        var blobs: [PackedBlob] = []
        var rest = bytes[...]
        var offset: UInt64 = 0
        while let type = rest.popFirst() {
            guard type < (version == .one ? 2 : 4), let blobType = BlobType(rawValue: type & 1) else {
                throw FormatError("its header has a blob of the unknown type \(type)")
            }
            let isCompressed = type & 2 != 0
            guard let length = number(&rest), let uncompressed = isCompressed ? number(&rest) : 0,
                let id = SHA256Digest(rest.prefix(32))
            else { throw FormatError("its header is cut off") }
            rest = rest.dropFirst(32)
            guard !isCompressed || uncompressed > 0,
                let place = BlobPlace(offset: offset, length: length, uncompressedLength: uncompressed)
            else { throw FormatError("its header has a blob of an impossible size") }
            offset += length
            blobs.append(PackedBlob(BlobKey(blobType, id), place))
        }
        guard offset == size else { throw FormatError("its blobs take \(offset) bytes, and there are \(size)") }
        return blobs
    }

    private static func number(_ bytes: inout ArraySlice<UInt8>) -> UInt64? {
        guard bytes.count >= 4 else { return nil }
        defer { bytes = bytes.dropFirst(4) }
        return bytes.prefix(4).reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Reads the header of a pack of `size` bytes, whose ID nobody compares with what is read.
    package static func read(
        _ pack: SHA256Digest, size: UInt64, from backend: any Backend, _ version: RepositoryConfiguration.Version,
        _ cipher: inout MessageCipher
    ) throws -> [PackedBlob] {
        let eager = eagerEntries * compressedEntry + MessageCipher.overhead + lengthSize
        let tail = Int(min(size, UInt64(eager)))
        guard tail >= lengthSize + MessageCipher.overhead else { throw FormatError("it is too small for a pack") }
        var bytes = try backend.read(.pack(pack), at: size - UInt64(tail), count: tail)
        let length = bytes.suffix(lengthSize).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length >= MessageCipher.overhead, length <= sizeLimit, UInt64(length + lengthSize) <= size else {
            throw FormatError("its header says that it has \(length) bytes")
        }
        bytes.removeLast(lengthSize)
        if length > bytes.count {
            let start = size - UInt64(lengthSize + length)
            bytes = try backend.read(.pack(pack), at: start, count: length)
        }
        return try open(Array(bytes.suffix(length)), behind: size - UInt64(lengthSize + length), version, &cipher)
    }

    /// Reads the end of a pack, from behind its blobs, which take `size` bytes.
    static func read(
        end: UnsafeRawBufferPointer, behind size: UInt64, _ version: RepositoryConfiguration.Version,
        _ cipher: inout MessageCipher
    ) throws(FormatError) -> [PackedBlob] {
        guard end.count >= lengthSize + MessageCipher.overhead else { throw FormatError("it has no header") }
        let length = end.suffix(lengthSize).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard length == end.count - lengthSize else {
            throw FormatError(
                "its header says that it has \(length) bytes, and there are \(end.count - lengthSize)")
        }
        return try open(Array(end.dropLast(lengthSize)), behind: size, version, &cipher)
    }

    private static func open(
        _ message: [UInt8], behind size: UInt64, _ version: RepositoryConfiguration.Version,
        _ cipher: inout MessageCipher
    ) throws(FormatError) -> [PackedBlob] {
        let header: [UInt8]
        do throws(MessageError) {
            header = try cipher.open(message)
        } catch {
            throw FormatError("its header: \(error)")
        }
        return try decode(header, size: size, version)
    }
}
