import Codec
import Model
import Workers

/// Whether a blob is stored compressed.
enum BlobCompression {
    case none
    /// If that makes it smaller.
    case ifSmaller
    /// Also where it takes more: restic's prune stores trees anew that are not.
    case always
}

/// A pack that is being filled, in memory. Used again for the next one.
///
/// Source: restic's design document, "Pack Format".
struct PackBuilder: ~Copyable {
    private var memory: Buffer
    private(set) var blobs: [PackedBlob] = []
    /// Bytes that the blobs take.
    private(set) var size = 0
    private var hash = SHA256()

    /// `capacity`: bytes that it mostly needs; what is not touched takes no memory.
    init(capacity: Int) {
        memory = Buffer(size: capacity)
    }

    var isEmpty: Bool { blobs.isEmpty }

    /// Adds a blob: compressed as asked for, encrypted, and decrypted again to be checked.
    mutating func add(
        _ key: BlobKey, _ content: UnsafeRawBufferPointer, _ compression: BlobCompression,
        _ tools: inout PackingTools
    ) throws(FormatError) {
        let most = compression == .always ? ZstdCompressor.bound(content.count) : content.count
        reserve(most + MessageCipher.overhead)
        let room = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[size..<size + most + MessageCipher.overhead])
        let target = MessageCipher.content(of: room)
        let compressed: Int? =
            // A compressed blob without content cannot be told from a plain one.
            switch content.isEmpty ? .none : compression {
            case .none: nil
            case .ifSmaller:
                tools.compressor.compress(content, into: UnsafeMutableRawBufferPointer(rebasing: target.dropLast()))
            case .always: tools.compressor.compress(content, into: target)
            }
        if compressed == nil { target.copyMemory(from: content) }
        let length = (compressed ?? content.count) + MessageCipher.overhead
        let message = UnsafeMutableRawBufferPointer(rebasing: room[..<length])
        tools.coder.cipher.seal(message)
        guard
            let place = BlobPlace(
                offset: UInt64(size), length: UInt64(length),
                uncompressedLength: compressed == nil ? 0 : UInt64(content.count))
        else { throw FormatError("the \(key) is too large") }
        try tools.coder.verify(UnsafeRawBufferPointer(message), key, place)
        hash.update(UnsafeRawBufferPointer(message))
        blobs.append(PackedBlob(key, place))
        size += length
    }

    /// Adds a blob as the message that it is in another pack of the repository, if it is sound: it is decrypted to be checked.
    mutating func add(
        _ key: BlobKey, message: UnsafeRawBufferPointer, uncompressedLength: UInt32, _ tools: inout PackingTools
    ) throws(FormatError) {
        reserve(message.count)
        let room = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[size..<size + message.count])
        room.copyMemory(from: message)
        guard
            let place = BlobPlace(
                offset: UInt64(size), length: UInt64(message.count), uncompressedLength: UInt64(uncompressedLength))
        else { throw FormatError("the \(key) is too large") }
        try tools.coder.verify(UnsafeRawBufferPointer(room), key, place)
        hash.update(UnsafeRawBufferPointer(room))
        blobs.append(PackedBlob(key, place))
        size += message.count
    }

    /// Takes over the blobs of `other`, which is empty afterwards. They are encrypted each on its own, so they stay as they are.
    mutating func take(_ other: inout PackBuilder) {
        reserve(other.size)
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(other.memory.bytes)[..<other.size])
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[size...]).copyMemory(from: bytes)
        hash.update(bytes)
        for blob in other.blobs {
            let place = BlobPlace(
                offset: blob.place.offset + UInt32(size), length: blob.place.length,
                uncompressedLength: blob.place.uncompressedLength)
            blobs.append(PackedBlob(blob.key, place))
        }
        size += other.size
        other.reset()
    }

    /// Adds the header, calls `body` with the whole pack and its ID, and begins another one.
    mutating func finish(
        _ tools: inout PackingTools, _ version: RepositoryConfiguration.Version,
        _ body: (SHA256Digest, UnsafeRawBufferPointer) throws -> Void
    ) throws -> IndexedPack {
        defer { reset() }
        let header = tools.coder.cipher.seal(PackHeader.encode(blobs))
        guard try PackHeader.decode(try tools.coder.cipher.open(header), size: UInt64(size), version) == blobs else {
            throw FormatError("the header of a new pack is not what was put into it")
        }
        let end = header + withUnsafeBytes(of: UInt32(header.count).littleEndian) { Array($0) }
        reserve(end.count)
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[size...]).copyBytes(from: end)
        hash.update(end)
        let id = hash.finish()
        let whole = UnsafeRawBufferPointer(memory.bytes)
        try body(id, UnsafeRawBufferPointer(rebasing: whole[..<(size + end.count)]))
        return IndexedPack(id: id, blobs: blobs)
    }

    private mutating func reset() {
        blobs.removeAll(keepingCapacity: true)
        size = 0
        hash.reset()
    }

    private mutating func reserve(_ count: Int) {
        guard memory.bytes.count - size < count else { return }
        let larger = Buffer(size: (size + count) * 5 / 4)
        larger.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: memory.bytes[..<size]))
        memory = larger
    }
}

/// What a worker makes blobs and packs with.
struct PackingTools: ~Copyable {
    var coder: RepositoryCoder
    var compressor: ZstdCompressor
    var hash = SHA256()
}
