import Codec
import Model
import Storage
import Workers

/// Decrypts, decompresses and checks what a repository holds, with contexts and memory that are used again and again: one for
/// each worker.
package struct RepositoryCoder: ~Copyable {
    private let version: RepositoryConfiguration.Version
    package var cipher: MessageCipher
    private var decompressor = ZstdDecompressor()
    private var hash = SHA256()
    private var message = Buffer(size: 64 << 10)
    private var content = Buffer(size: 64 << 10)

    package init(_ keys: MessageKeys, _ version: RepositoryConfiguration.Version) {
        self.version = version
        cipher = MessageCipher(keys)
    }

    /// Reads a blob and calls `body` with its content, whose hash was compared with its ID.
    ///
    /// Throws ``FormatError`` where the blob is damaged, and `StorageError` where it cannot be read.
    package mutating func readBlob<R>(
        _ key: BlobKey, at location: BlobIndex.Location, from backend: any Backend,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        let length = Int(location.place.length)
        if message.bytes.count < length { message = Buffer(size: Self.roomy(length)) }
        let stored = UnsafeMutableRawBufferPointer(rebasing: message.bytes[..<length])
        try backend.read(.pack(location.pack), at: UInt64(location.place.offset), into: stored)
        return try body(try open(stored, key, location.place))
    }

    /// Calls `body` with the content of a blob, which stands encrypted in `stored` and stays as it is there. Throws
    /// ``FormatError`` where it is damaged.
    mutating func openBlob(
        _ stored: UnsafeRawBufferPointer, _ key: BlobKey, _ place: BlobPlace, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(FormatError) {
        body(try open(copying: stored, key, place))
    }

    /// Checks that `sealed`, which stays as it is, holds the blob: bad memory is found before it matters. Goes through it piece by
    /// piece, so that no room for all of it is needed.
    mutating func verify(
        _ sealed: UnsafeRawBufferPointer, _ key: BlobKey, isCompressed: Bool, contentLength: Int
    ) throws(FormatError) {
        hash.reset()
        var length = 0
        do {
            if isCompressed { decompressor.begin() }
            try cipher.open(sealed, through: message.bytes) { piece in
                guard isCompressed else {
                    length += piece.count
                    return hash.update(piece)
                }
                try decompressor.add(piece, through: content.bytes) { plain in
                    length += plain.count
                    hash.update(plain)
                }
            }
        } catch {
            throw FormatError("\(error)")
        }
        guard length == contentLength, hash.finish() == key.id else {
            throw FormatError("its content has not the hash that it is named by")
        }
    }

    private mutating func open(
        copying stored: UnsafeRawBufferPointer, _ key: BlobKey, _ place: BlobPlace
    ) throws(FormatError) -> UnsafeRawBufferPointer {
        if message.bytes.count < stored.count { message = Buffer(size: Self.roomy(stored.count)) }
        let copy = UnsafeMutableRawBufferPointer(rebasing: message.bytes[..<stored.count])
        copy.copyMemory(from: stored)
        return try open(copy, key, place)
    }

    /// The content of a blob that stands encrypted in `stored`, which is decrypted there.
    mutating func open(
        _ stored: UnsafeMutableRawBufferPointer, _ key: BlobKey, _ place: BlobPlace
    ) throws(FormatError) -> UnsafeRawBufferPointer {
        var plain: UnsafeRawBufferPointer
        do throws(MessageError) {
            plain = UnsafeRawBufferPointer(try cipher.open(stored))
        } catch {
            throw FormatError("\(error)")
        }
        if place.isCompressed {
            let size = place.contentLength
            if content.bytes.count < size { content = Buffer(size: Self.roomy(size)) }
            let target = UnsafeMutableRawBufferPointer(rebasing: content.bytes[..<size])
            do throws(ZstdError) {
                try decompressor.decompress(plain, into: target)
            } catch {
                throw FormatError("\(error)")
            }
            plain = UnsafeRawBufferPointer(target)
        }
        hash.reset()
        hash.update(plain)
        guard hash.finish() == key.id else { throw FormatError("its content has not the hash that it is named by") }
        return plain
    }

    /// The JSON of a lock, a snapshot or an index from the bytes of its file, whose hash was compared with its name.
    package mutating func openDocument(_ file: [UInt8], limit: Int) throws(FormatError) -> [UInt8] {
        let plain: [UInt8]
        do throws(MessageError) {
            plain = try cipher.open(file)
        } catch {
            throw FormatError("\(error)")
        }
        guard version == .two, let first = plain.first else { return plain }
        switch first {
        case 2:
            do throws(ZstdError) {
                return try plain.withRawBytes { plain throws(ZstdError) in
                    try decompressor.decompress(UnsafeRawBufferPointer(rebasing: plain[1...]), limit: limit)
                }
            } catch {
                throw FormatError("\(error)")
            }
        case UInt8(ascii: "{"), UInt8(ascii: "["): return plain
        default: throw FormatError("it is encoded in the unknown way \(first)")
        }
    }

    /// A document as it is stored: compressed in version 2, always, as restic does.
    package mutating func sealDocument(_ json: [UInt8], _ compressor: inout ZstdCompressor) -> [UInt8] {
        json.withRawBytes { sealDocument($0, &compressor) }
    }

    mutating func sealDocument(_ json: UnsafeRawBufferPointer, _ compressor: inout ZstdCompressor) -> [UInt8] {
        let room = (version == .one ? json.count : 1 + ZstdCompressor.bound(json.count)) + MessageCipher.overhead
        return [UInt8](unsafeUninitializedCapacity: room) { buffer, filled in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            let content = MessageCipher.content(of: memory)
            if version == .one {
                content.copyMemory(from: json)
                filled = room
            } else {
                content[0] = 2
                let frame = UnsafeMutableRawBufferPointer(rebasing: content[1...])
                guard let count = compressor.compress(json, into: frame) else { fatalError("zstd: out of memory") }
                filled = 1 + count + MessageCipher.overhead
            }
            cipher.seal(UnsafeMutableRawBufferPointer(rebasing: memory[..<filled]))
        }
    }

    /// Throws ``FormatError`` unless the file of a document, which stays as it is, holds `json`: bad memory is found before it matters.
    /// Goes through it piece by piece.
    mutating func verifyDocument(_ file: UnsafeRawBufferPointer, holds json: UnsafeRawBufferPointer) throws(FormatError)
    {
        var position = 0
        var isSame = true
        func compare(_ piece: UnsafeRawBufferPointer) {
            isSame = isSame && piece.count <= json.count - position
            if isSame {
                isSame = piece.isEqual(to: UnsafeRawBufferPointer(rebasing: json[position..<position + piece.count]))
            }
            position += piece.count
        }
        do {
            var isFirst = true
            if version == .two { decompressor.begin() }
            try cipher.open(file, through: message.bytes) { piece in
                guard version == .two else { return compare(piece) }
                let frame = UnsafeRawBufferPointer(rebasing: piece[(isFirst ? 1 : 0)...])
                isSame = isSame && (!isFirst || piece[0] == 2)
                isFirst = false
                try decompressor.add(frame, through: content.bytes, compare)
            }
        } catch {
            throw FormatError("\(error)")
        }
        guard isSame, position == json.count else { throw FormatError("a new document is not what was put into it") }
    }

    /// A size for a buffer that soon fits everything of its kind.
    private static func roomy(_ size: Int) -> Int {
        (size + size / 4 + 0xffff) & ~0xffff
    }
}
