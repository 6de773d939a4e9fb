import Codec
import Model
import Storage
import Workers

/// Reads blobs that are mostly asked for in the order in which they stand in packs: a window of each of the last packs is kept.
/// For one thread.
struct BlobReader: ~Copyable {
    /// A part of a pack.
    fileprivate struct Window: ~Copyable {
        let memory = Buffer(size: BlobReader.windowSize)
        var pack = SHA256Digest()
        var start: UInt64 = 0
        var count = 0
        /// Bytes of the pack; 0 if they are not known.
        var packSize: UInt64 = 0
        var used = 0
    }

    private static let windowSize = 1 << 20
    /// Larger blobs are read by themselves.
    private static let largest = windowSize / 4

    private let repository: Repository
    private let index: BlobIndex
    private var coder: RepositoryCoder
    private var first = Window()
    private var second = Window()
    private var turn = 0

    init(_ repository: Repository, _ index: BlobIndex) {
        self.repository = repository
        self.index = index
        coder = repository.coder()
    }

    /// Calls `body` with the content of a blob, which was compared with its ID.
    ///
    /// Throws ``FormatError`` if no copy of it is undamaged, and `StorageError`.
    mutating func with<R>(_ key: BlobKey, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
        guard let location = index.first(key) else {
            throw FormatError("the \(key) cannot be read: the index does not have it")
        }
        if Int(location.place.length) <= Self.largest {
            // What `body` throws must not be taken for a damaged blob.
            var content: Result<R, any Error>?
            do {
                turn += 1
                try withStored(location) { stored, coder in
                    try coder.openBlob(stored, key, location.place) { bytes in content = Result { try body(bytes) } }
                }
            } catch is FormatError {
                // Perhaps another copy, or another try, is better.
            } catch let error as StorageError where [.notFound, .tooShort].contains(error.code) {
                // The same.
            }
            if let content { return try content.get() }
        }
        return try repository.withBlob(key, in: index, &coder, body)
    }

    private mutating func withStored(
        _ location: BlobIndex.Location, _ body: (UnsafeRawBufferPointer, inout RepositoryCoder) throws -> Void
    ) throws {
        let isFirst = first.holds(location) || !second.holds(location) && first.used < second.used
        if isFirst {
            try first.load(location, from: repository.backend, turn)
            try body(first.bytes(of: location), &coder)
        } else {
            try second.load(location, from: repository.backend, turn)
            try body(second.bytes(of: location), &coder)
        }
    }
}

extension BlobReader.Window {
    fileprivate func holds(_ location: BlobIndex.Location) -> Bool {
        pack == location.pack && start <= location.place.offset
            && UInt64(location.place.offset) + UInt64(location.place.length) <= start + UInt64(count)
    }

    fileprivate mutating func load(
        _ location: BlobIndex.Location, from backend: any Backend, _ turn: Int
    ) throws(StorageError) {
        used = turn
        if holds(location) { return }
        let key = ObjectKey.pack(location.pack)
        if pack != location.pack || packSize == 0 {
            count = 0
            packSize = try backend.info(key).size
            pack = location.pack
        }
        start = UInt64(location.place.offset)
        count = 0
        let end = start + UInt64(location.place.length)
        guard end <= packSize else {
            throw StorageError(.tooShort, "read", "\(key)", because: "it ends before byte \(end)")
        }
        let wanted = Int(min(packSize - start, UInt64(memory.bytes.count)))
        try backend.read(key, at: start, into: UnsafeMutableRawBufferPointer(rebasing: memory.bytes[..<wanted]))
        count = wanted
    }

    fileprivate func bytes(of location: BlobIndex.Location) -> UnsafeRawBufferPointer {
        let offset = Int(UInt64(location.place.offset) - start)
        return UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(memory.bytes)[offset..<offset + Int(location.place.length)])
    }
}
