import Codec
import Model
import Storage
import Synchronization
import Workers

/// Whether a blob is stored compressed.
enum BlobCompression {
    case none
    /// If that makes it smaller.
    case ifSmaller
    /// Also where it takes more: restic's prune stores trees anew that are not.
    case always
}

/// A pack that workers fill together: blobs are stored and hashed as they come.
///
/// Source: restic's design document, "Pack Format".
final class OpenPack: Sendable {
    enum Outcome {
        case added
        /// The pack has become full: whoever is told this stores it.
        case filled
        /// Another one must take the blob.
        case closed
    }

    private struct State: ~Copyable {
        var hash = SHA256()
        var blobs: [PackedBlob] = []
        /// Bytes that the blobs take.
        var size = 0
        /// Small blobs wait here: each would cost a call.
        var waiting: [UInt8] = []
        var isClosed = false
    }

    /// Bytes that are stored at once.
    static let pieceSize = 256 << 10

    private let upload: any ObjectUpload
    private let limit: Int
    private let state: Mutex<State>

    /// `limit`: bytes of blobs after which it is full.
    init(_ upload: any ObjectUpload, limit: Int) {
        self.upload = upload
        self.limit = limit
        state = Mutex(State())
    }

    /// Adds a blob that stands encrypted in `message`.
    func add(
        _ key: BlobKey, _ message: UnsafeRawBufferPointer, uncompressedLength: Int
    ) throws(RepositoryWriteError) -> Outcome {
        try state.withLock { state throws(RepositoryWriteError) in
            if state.isClosed { return .closed }
            guard
                let place = BlobPlace(
                    offset: UInt64(state.size), length: UInt64(message.count),
                    uncompressedLength: UInt64(uncompressedLength))
            else { throw .format(FormatError("the \(key) is too large")) }
            try append(message, &state)
            state.blobs.append(PackedBlob(key, place))
            state.size += message.count
            guard state.size >= limit || state.blobs.count >= PackHeader.blobLimit else { return .added }
            state.isClosed = true
            return .filled
        }
    }

    private func append(_ bytes: UnsafeRawBufferPointer, _ state: inout State) throws(RepositoryWriteError) {
        do throws(StorageError) {
            state.hash.update(bytes)
            if state.waiting.count + bytes.count > Self.pieceSize {
                try state.waiting.withRawBytes { waiting throws(StorageError) in try upload.append(waiting) }
                state.waiting.removeAll(keepingCapacity: true)
            }
            if bytes.count >= Self.pieceSize {
                try upload.append(bytes)
            } else {
                state.waiting.append(contentsOf: bytes)
            }
        } catch {
            state.isClosed = true
            throw .storage(error)
        }
    }

    /// Adds the header and makes it an object. Nobody adds to it any more.
    func finish(
        _ tools: inout PackingTools, _ version: RepositoryConfiguration.Version
    ) throws -> IndexedPack {
        let (blobs, size) = state.withLock { state in
            state.isClosed = true
            return (state.blobs, state.size)
        }
        let header = tools.coder.cipher.seal(PackHeader.encode(blobs))
        guard try PackHeader.decode(try tools.coder.cipher.open(header), size: UInt64(size), version) == blobs else {
            throw FormatError("the header of a new pack is not what was put into it")
        }
        let end = header + withUnsafeBytes(of: UInt32(header.count).littleEndian) { Array($0) }
        let id = try state.withLock { state in
            try end.withRawBytes { end throws(RepositoryWriteError) in try append(end, &state) }
            try state.waiting.withRawBytes { try upload.append($0) }
            state.waiting = []
            return state.hash.finish()
        }
        try upload.finish(as: .pack(id))
        return IndexedPack(id: id, blobs: blobs)
    }

    func discard() { upload.discard() }
}

/// Why a blob could not be added.
enum RepositoryWriteError: Error {
    case storage(StorageError)
    case format(FormatError)

    /// What the caller is told.
    var cause: any Error {
        switch self {
        case .storage(let error): error
        case .format(let error): error
        }
    }
}

/// What a worker makes blobs and packs with.
struct PackingTools: ~Copyable {
    var coder: RepositoryCoder
    var compressor: ZstdCompressor
    /// For trees and documents.
    var textCompressor = ZstdCompressor(.hexadecimalText)
    var hash = SHA256()
    private var memory = Buffer(size: 64 << 10)

    init(coder: consuming RepositoryCoder, compressor: consuming ZstdCompressor) {
        self.coder = coder
        self.compressor = compressor
    }

    /// Compresses a blob as asked for, encrypts it, and decrypts it again to be checked. Calls `body` with the message and the length of
    /// what is compressed in it, or 0.
    mutating func seal<R>(
        _ key: BlobKey, _ content: UnsafeRawBufferPointer, _ compression: BlobCompression,
        _ body: (UnsafeRawBufferPointer, Int) throws -> R
    ) throws -> R {
        let most = compression == .always ? ZstdCompressor.bound(content.count) : content.count
        let room = most + MessageCipher.overhead
        if memory.bytes.count < room { memory = Buffer(size: (room + room / 8 + 0xffff) & ~0xffff) }
        let target = MessageCipher.content(of: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<room]))
        let compressed: Int? =
            // A compressed blob without content cannot be told from a plain one.
            switch content.isEmpty ? .none : compression {
            case .none: nil
            case .ifSmaller:
                compressor.compress(
                    content, into: UnsafeMutableRawBufferPointer(rebasing: target[..<max(0, content.count - 1)]))
            case .always:
                key.type == .tree
                    ? textCompressor.compress(content, into: target) : compressor.compress(content, into: target)
            }
        if compressed == nil { target.copyMemory(from: content) }
        let length = (compressed ?? content.count) + MessageCipher.overhead
        let message = UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<length])
        coder.cipher.seal(message)
        try coder.verify(
            UnsafeRawBufferPointer(message), key, isCompressed: compressed != nil, contentLength: content.count)
        return try body(UnsafeRawBufferPointer(message), compressed == nil ? 0 : content.count)
    }
}
