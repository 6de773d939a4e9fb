import Codec
import Containers
import Disk
import Model
import Storage
import Workers

/// Reads files of a snapshot, blob by blob. What stands beside a blob in its pack is read with it, since it is mostly wanted next.
final class RepositoryReader: ContentReader {
    private let contents: RepositoryContents
    private let stop: StopFlag
    private var blobs: BlobReader
    /// Of another version of a file.
    private var piece = Buffer(size: 4096)
    private var hash = SHA256()
    /// Bytes; no chunk of ours is larger.
    private static let largestPiece = Chunker.maximum

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

    func copy(_ index: Int, to target: inout NewFile, reusing old: borrowing OpenFile) throws {
        var writing = SparseWriting()
        var position: UInt64 = 0
        for id in contents.content(of: index) {
            try stop.check()
            if let length = try load(id, from: old, at: position) {
                try writing.write(UnsafeRawBufferPointer(rebasing: piece.bytes[..<length]), to: &target)
                position += UInt64(length)
            } else {
                try blob(id, of: index) { bytes in
                    try writing.write(bytes, to: &target)
                    position += UInt64(bytes.count)
                }
            }
            guard position <= contents.table[index].size else { throw wrongSize(of: index) }
        }
        guard position == contents.table[index].size else { throw wrongSize(of: index) }
        try writing.finish(&target)
    }

    func isSame(_ index: Int, as file: borrowing OpenFile) throws -> Bool? {
        var position: UInt64 = 0
        for id in contents.content(of: index) {
            try stop.check()
            // Without the length nothing can be said; whoever reads it tells what is wrong.
            guard let number = contents.index.number(of: BlobKey(.data, id)) else { return nil }
            guard let length = try load(id, from: file, at: position) else {
                return contents.index.place(number).contentLength > Self.largestPiece ? nil : false
            }
            position += UInt64(length)
        }
        return position == contents.table[index].size
    }

    /// Reads into `piece` what stands in `file` where a blob would: its length, if it is the blob.
    private func load(_ id: SHA256Digest, from file: borrowing OpenFile, at position: UInt64) throws -> Int? {
        guard let number = contents.index.number(of: BlobKey(.data, id)) else { return nil }
        let length = contents.index.place(number).contentLength
        guard length <= Self.largestPiece else { return nil }
        if piece.bytes.count < length { piece = Buffer(size: length) }
        let memory = UnsafeMutableRawBufferPointer(rebasing: piece.bytes[..<length])
        do throws(DiskError) {
            guard try file.read(at: position, into: memory) == length else { return nil }
        } catch {
            // What cannot be read there is in the repository.
            return nil
        }
        hash.reset()
        hash.update(UnsafeRawBufferPointer(memory))
        return hash.finish() == id ? length : nil
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
