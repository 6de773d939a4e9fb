import Codec
import Containers
import Disk
import Model
import Storage
import Workers

/// What a snapshot holds of an app, opened for reading. Its trees were checked against their hashes when they were read.
///
/// A class: workers that share a structure of so many parts would count references all the time.
package final class RepositoryContents: BackupContents {
    package let name: String
    package let metadata: BackupMetadata
    package let isRecorded: Bool
    package let table: EntryTable
    let snapshot: Repository.StoredSnapshot
    let repository: Repository
    let index: BlobIndex
    /// The trees of directories, by entry.
    let trees: [Int: SHA256Digest]
    private let chunks: [Int: [SHA256Digest]]

    init(
        name: String, metadata: BackupMetadata, isRecorded: Bool, snapshot: Repository.StoredSnapshot,
        tree: SnapshotTree, repository: Repository, index: BlobIndex
    ) {
        self.name = name
        self.metadata = metadata
        self.isRecorded = isRecorded
        self.snapshot = snapshot
        self.repository = repository
        self.index = index
        (table, trees, chunks) = (tree.table, tree.trees, tree.chunks)
    }

    package var format: BackupFormat { .repository }
    package var seal: SHA256Digest? { snapshot.id }
    package var identity: FileIdentity? { nil }
    package var knowsOwners: Bool { true }
    package var isDivided: Bool { true }

    /// The blobs of a file's content, in order.
    func content(of index: Int) -> [SHA256Digest] {
        chunks(of: index) ?? onlyBlob(of: index).map { [$0] } ?? []
    }

    /// The blob of a file that has no other; nil for an empty one.
    func onlyBlob(of index: Int) -> SHA256Digest? {
        let record = table[index]
        return record.size == 0 ? nil : record.digest
    }

    /// Whether `isWanted` holds for all blobs of a file's content.
    func allBlobs(of index: Int, where isWanted: (SHA256Digest) -> Bool) -> Bool {
        if let several = chunks(of: index) { return several.allSatisfy(isWanted) }
        return onlyBlob(of: index).map(isWanted) ?? true
    }

    /// The blobs of a file that has more than one.
    func chunks(of index: Int) -> [SHA256Digest]? { chunks.isEmpty ? nil : chunks[index] }

    package func parts(of index: Int) -> [SHA256Digest]? { content(of: index) }

    /// Packs in the order of the index.
    package func position(of file: Int) -> UInt64? {
        guard table[file].kind == .file, let first = content(of: file).first,
            let number = index.number(of: BlobKey(.data, first))
        else { return nil }
        return UInt64(index.packNumber(number) + 1) << 32 | UInt64(index.place(number).offset)
    }

    package func makeReader(stop: StopFlag) -> sending any ContentReader { RepositoryReader(self, stop: stop) }
}
