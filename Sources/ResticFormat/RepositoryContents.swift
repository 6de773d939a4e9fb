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

    /// The blobs of a file's content, in order.
    func content(of index: Int) -> [SHA256Digest] {
        if let several = chunks[index] { return several }
        return table[index].size == 0 ? [] : [table[index].digest]
    }

    package func makeReader(stop: StopFlag) -> sending any ContentReader { RepositoryReader(self, stop: stop) }
}

/// Reads files of a snapshot, blob by blob. What stands beside a blob in its pack is read with it, since it is mostly wanted next.
final class RepositoryReader: ContentReader {
    private let contents: RepositoryContents
    private let stop: StopFlag
    private var blobs: BlobReader

    init(_ contents: RepositoryContents, stop: StopFlag) {
        self.contents = contents
        self.stop = stop
        blobs = BlobReader(contents.repository, contents.index)
    }

    func copy(_ index: Int, to target: inout NewFile) throws {
        var writing = SparseWriting()
        try read(index) { try writing.write($0, to: &target) }
        try writing.finish(&target)
    }

    func read(_ index: Int, _ each: (UnsafeRawBufferPointer) throws -> Void) throws {
        let size = contents.table[index].size
        var total: UInt64 = 0
        for id in contents.content(of: index) {
            try stop.check()
            try blob(id, of: index) { bytes in
                total += UInt64(bytes.count)
                guard total <= size else { throw wrongSize(of: index) }
                try each(bytes)
            }
        }
        guard total == size else { throw wrongSize(of: index) }
    }

    func head(of index: Int, count: Int) throws -> [UInt8] {
        guard let first = contents.content(of: index).first else { return [] }
        return try blob(first, of: index) { Array($0.prefix(count)) }
    }

    private func blob<R>(
        _ id: SHA256Digest, of index: Int, _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        do {
            return try blobs.with(BlobKey(.data, id), body)
        } catch let error as FormatError {
            throw RepositoryContents.damaged(contents.name, "\(contents.table.path(of: index)): \(error)")
        } catch let error as StorageError {
            throw BackupError(error)
        }
    }

    private func wrongSize(of index: Int) -> BackupError {
        RepositoryContents.damaged(
            contents.name, "\(contents.table.path(of: index)): its content has not the size that is recorded")
    }
}
