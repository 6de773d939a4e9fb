import Codec
import Model
import Storage
import Workers

/// The index as its files have it: what each of them lists, and where they are wrong.
package struct IndexFiles: Sendable {
    package struct File: Sendable {
        package let id: SHA256Digest
        /// Numbers of packs, see ``BlobIndex/packs``.
        package fileprivate(set) var packs: [UInt32] = []
        package fileprivate(set) var blobs = 0
    }

    /// Blobs in an index file, after which another one begins: two megabytes of JSON. Restic takes up to 50,000, which costs us tens of
    /// megabytes of memory when they are written and read.
    package static let fullFile = 12_500

    package private(set) var index = BlobIndex()
    /// The files that can be read.
    package private(set) var files: [File] = []
    package fileprivate(set) var unreadable: [UnreadableDocument] = []
    /// Packs that are listed in more than one way, or with gaps between their blobs, by number.
    package private(set) var contradictory: [Int: String] = [:]
    /// Packs in more than one list.
    package private(set) var repeated: Set<Int> = []
    /// By number: bytes that a pack with the listed blobs has, and how many those are.
    private var shapes: [Shape] = []

    private struct Shape: Sendable, Equatable {
        var size: UInt64
        var blobs: UInt32
    }

    package init() {}

    /// Adds what a file lists.
    mutating func add(_ id: SHA256Digest, _ packs: [IndexedPack]) {
        var file = File(id: id)
        for pack in packs {
            let isNew = index.packNumber(of: pack.id) == nil
            let count = index.count
            index.add(pack)
            guard let number = index.packNumber(of: pack.id) else { continue }
            let shape = Shape(size: PackHeader.packSize(of: pack.blobs), blobs: UInt32(clamping: pack.blobs.count))
            if isNew {
                shapes.append(shape)
                if !Self.isGapless(pack.blobs) {
                    contradictory[number] = "the index lists its blobs with gaps or one over the other"
                }
            } else {
                repeated.insert(number)
                // The same blobs at the same places add nothing.
                if shapes[number] != shape || index.count != count {
                    contradictory[number] = "index files list different blobs of it"
                }
            }
            file.packs.append(UInt32(number))
            file.blobs += pack.blobs.count
        }
        files.append(file)
    }

    /// Bytes that a pack has by what the index says of it.
    package func size(ofPack number: Int) -> UInt64 { shapes[number].size }

    /// Damage: files that cannot be read, and packs that are listed wrongly.
    package var findings: [Finding] {
        unreadable.map(\.finding)
            + contradictory.sorted { $0.key < $1.key }.map { number, message in
                Finding(.damage, "\(ObjectKey.pack(index.packs[number]))", message)
            }
    }

    private static func isGapless(_ blobs: [PackedBlob]) -> Bool {
        // Mostly they are in order.
        var end: UInt32 = 0
        for blob in blobs {
            guard blob.place.offset == end else { return isGaplessWhenSorted(blobs) }
            end = blob.place.end
        }
        return true
    }

    private static func isGaplessWhenSorted(_ blobs: [PackedBlob]) -> Bool {
        var end: UInt32 = 0
        for place in blobs.map(\.place).sorted(by: { $0.offset < $1.offset }) {
            guard place.offset == end else { return false }
            end = place.end
        }
        return true
    }
}

/// A lock, a snapshot or an index that cannot be read.
package struct UnreadableDocument: Sendable {
    package let key: ObjectKey
    /// A ``FormatError``, or a `StorageError`.
    package let error: any Error

    package var finding: Finding { Finding(.damage, "\(key)", "\(error)") }
}

extension Repository {
    /// All index files.
    package func indexFiles(on pool: ThreadPool) throws -> IndexFiles {
        let files = Monitor(IndexFiles())
        let version = configuration.version
        let (_, unreadable) = try readDocuments(.index, limit: IndexFile.sizeLimit, on: pool) { id, json in
            let packs = try IndexFile.read(json, version)
            files.withLock { $0.add(id, packs) }
        }
        return files.withLock { files in
            files.unreadable = unreadable
            return files
        }
    }
}
