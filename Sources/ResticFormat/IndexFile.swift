import Codec
import Model

/// One pack with its blobs, as an index file lists it.
package struct IndexedPack: Equatable, Sendable {
    package let id: SHA256Digest
    package let blobs: [PackedBlob]

    package init(id: SHA256Digest, blobs: [PackedBlob]) {
        self.id = id
        self.blobs = blobs
    }
}

/// The JSON of an index file.
///
/// Source: restic's design document, "Indexing".
package enum IndexFile {
    /// Of the JSON: about a million blobs take 200 MB.
    package static let sizeLimit = 1 << 30

    /// Reads the packs. Fails on what no index has: blobs of impossible sizes, or compressed ones in version 1.
    package static func read(
        _ bytes: [UInt8], _ version: RepositoryConfiguration.Version
    ) throws(FormatError) -> [IndexedPack] {
        do throws(JSONError) {
            return try bytes.withRawBytes { bytes throws(JSONError) in
                var scanner = JSONScanner(bytes)
                var packs: [IndexedPack] = []
                try scanner.beginObject()
                while let key = try scanner.nextKey() {
                    guard key.isEqual(to: "packs"), !scanner.isNull() else {
                        // `supersedes` says nothing that a reader may heed.
                        if !key.isEqual(to: "packs") { try scanner.skipValue() }
                        continue
                    }
                    try scanner.beginArray()
                    while try scanner.nextElement() { packs.append(try pack(&scanner, version)) }
                }
                try scanner.expectEnd()
                return packs
            }
        } catch {
            throw FormatError("the index cannot be read: \(error)")
        }
    }

    private static func pack(
        _ scanner: inout JSONScanner, _ version: RepositoryConfiguration.Version
    ) throws(JSONError) -> IndexedPack {
        var id: SHA256Digest?
        var blobs: [PackedBlob] = []
        let start = scanner.position
        try scanner.beginObject()
        while let key = try scanner.nextKey() {
            if key.isEqual(to: "id") {
                id = try scanner.digest()
            } else if key.isEqual(to: "blobs") {
                if scanner.isNull() { continue }
                try scanner.beginArray()
                while try scanner.nextElement() { blobs.append(try blob(&scanner, version)) }
            } else {
                try scanner.skipValue()
            }
        }
        guard let id else { throw scanner.error("a pack without ID", at: start) }
        return IndexedPack(id: id, blobs: blobs)
    }

    private static func blob(
        _ scanner: inout JSONScanner, _ version: RepositoryConfiguration.Version
    ) throws(JSONError) -> PackedBlob {
        var (id, type) = (SHA256Digest?.none, BlobType?.none)
        var (offset, length, uncompressed) = (UInt64(0), UInt64(0), UInt64(0))
        let start = scanner.position
        try scanner.beginObject()
        while let key = try scanner.nextKey() {
            if key.isEqual(to: "id") {
                id = try scanner.digest()
            } else if key.isEqual(to: "type") {
                let text = try scanner.plainString()
                type = text.isEqual(to: "data") ? .data : text.isEqual(to: "tree") ? .tree : nil
            } else if key.isEqual(to: "offset") {
                offset = try scanner.unsigned()
            } else if key.isEqual(to: "length") {
                length = try scanner.unsigned()
            } else if key.isEqual(to: "uncompressed_length") {
                uncompressed = try scanner.unsigned()
            } else {
                try scanner.skipValue()
            }
        }
        guard let id, let type,
            let place = BlobPlace(offset: offset, length: length, uncompressedLength: uncompressed),
            version == .two || uncompressed == 0
        else { throw scanner.error("a blob without ID, type or possible sizes", at: start) }
        return PackedBlob(BlobKey(type, id), place)
    }

    /// The JSON of `packs`, with the line end that restic puts there.
    package static func encode(_ packs: [IndexedPack]) -> [UInt8] {
        withEncoded(packs) { Array($0) }
    }

    /// Calls `body` with the same.
    static func withEncoded<R>(
        _ packs: [IndexedPack], _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        var writer = CanonicalWriter(capacity: packs.reduce(64) { $0 + 100 + 180 * $1.blobs.count })
        writer.literal("{\"packs\":[")
        for (index, pack) in packs.enumerated() {
            writer.literal(index > 0 ? ",{\"id\":" : "{\"id\":")
            writer.digest(pack.id)
            writer.literal(",\"blobs\":[")
            for (index, blob) in pack.blobs.enumerated() {
                writer.literal(index > 0 ? ",{\"id\":" : "{\"id\":")
                writer.digest(blob.key.id)
                writer.literal(blob.key.type == .data ? ",\"type\":\"data\"" : ",\"type\":\"tree\"")
                writer.literal(",\"offset\":")
                writer.unsigned(UInt64(blob.place.offset))
                writer.literal(",\"length\":")
                writer.unsigned(UInt64(blob.place.length))
                if blob.place.isCompressed {
                    writer.literal(",\"uncompressed_length\":")
                    writer.unsigned(UInt64(blob.place.uncompressedLength))
                }
                writer.literal("}")
            }
            writer.literal("]}")
        }
        writer.literal("]}\n")
        return try body(writer.bytes)
    }
}
