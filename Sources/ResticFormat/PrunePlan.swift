import Model
import Storage

/// What a prune is going to do.
package struct PrunePlan: Sendable {
    package struct Amount: Sendable, Equatable {
        package var count = 0
        package var bytes: UInt64 = 0

        mutating func add(_ size: UInt64) {
            count += 1
            bytes.add(saturating: size)
        }
    }

    /// Blobs that snapshots need, each once.
    package internal(set) var used = Amount()
    /// Blobs that none needs.
    package internal(set) var unused = Amount()
    /// Copies of needed blobs that are not needed.
    package internal(set) var duplicates = Amount()

    /// Packs that stay as they are.
    package internal(set) var kept = Amount()
    /// Packs whose needed blobs are stored anew.
    package internal(set) var repacked = Amount()
    /// Blobs in them that go.
    package internal(set) var repackedAway = Amount()
    /// Packs without a needed blob.
    package internal(set) var removed = Amount()
    /// Packs that no index names.
    package internal(set) var unindexed = Amount()
    /// Packs that the index names, that nobody needs and that are missing already.
    package internal(set) var missing = 0
    /// Index files that are replaced.
    package internal(set) var replacedIndexFiles = 0
    /// Snapshots that count.
    package internal(set) var snapshots = 0

    /// Bytes that become free, not counting those of the index and what compressing saves.
    package var freed: UInt64 { [repackedAway.bytes, removed.bytes, unindexed.bytes].saturatingSum() }

    /// Bytes of blobs that stay and that no snapshot needs.
    package var remaining: UInt64 {
        let all = [unused.bytes, duplicates.bytes].saturatingSum()
        let gone = [repackedAway.bytes, removedBlobs].saturatingSum()
        return all - min(all, gone)
    }

    /// Whether there is nothing to do.
    package var isEmpty: Bool {
        repacked.count == 0 && removed.count == 0 && unindexed.count == 0 && missing == 0 && replacedIndexFiles == 0
    }

    /// Bytes of blobs in ``removed``.
    var removedBlobs: UInt64 = 0

    // What is to be done.
    let files: IndexFiles
    let options: PruneOptions
    /// Snapshots that were there, the ignored ones not counted.
    let snapshotIDs: Set<SHA256Digest>
    /// The copy of each needed blob that stays or is moved, by number.
    var needed: BlobMarks
    var unindexedPacks: [ObjectKey] = []
    /// By number; those that are missing too.
    var removedPacks: [Int] = []
    /// By number.
    var repackedPacks: [Int] = []

    init(_ files: IndexFiles, _ options: PruneOptions, _ snapshots: Set<SHA256Digest>, needed: BlobMarks) {
        self.files = files
        self.options = options
        snapshotIDs = snapshots
        self.snapshots = snapshots.count
        self.needed = needed
    }

    var indexRewrite: IndexRewrite {
        IndexRewrite(files: files, excluded: Set(removedPacks + repackedPacks))
    }
}
