import Codec
import Containers
import Disk
import Model
import Workers

/// What a folder backup holds: opened for reading, nothing of it trusted. No link in it is followed, and what is not as its
/// manifest says is damage.
package struct FolderContents: Sendable {
    package let name: String
    package let directory: Directory
    package let identity: FileIdentity?
    package let metadata: BackupMetadata
    /// Nil for a backup of the original tool.
    package let manifest: Manifest?
    /// The entries: those of the manifest, or what was found where there is none.
    package let table: EntryTable

    /// Opens the backup in `directory`. Throws ``BackupError`` with code `damaged` or `notFound`.
    package init(_ name: String, in directory: Directory, offset: (Timestamp) -> Int) throws {
        self.name = name
        self.directory = directory
        identity = try directory.status().identity
        let bytes = try Self.read(BackupMetadata.fileName, of: directory, named: name, limit: BackupMetadata.sizeLimit)
        let manifest = try Self.readManifest(of: directory, named: name)
        self.manifest = manifest
        guard let bytes else {
            guard manifest == nil else { throw Self.damaged(name, "\(BackupMetadata.fileName) is missing") }
            throw BackupError(.notFound, "'\(name)' is no backup: it has neither metadata nor a manifest")
        }
        var metadata: BackupMetadata
        do throws(MetadataError) {
            metadata = try BackupMetadata.read(bytes)
        } catch {
            throw Self.damaged(name, "\(BackupMetadata.fileName): \(error)")
        }
        guard let manifest else {
            guard metadata.isOfOriginal else { throw Self.damaged(name, "\(Manifest.fileName) is missing") }
            metadata.time = metadata.time.takenAsLocal(offset)
            self.metadata = metadata
            table = try Self.walk(directory, name: name)
            return
        }
        guard manifest.metadataSize == UInt64(bytes.count), manifest.metadataDigest == SHA256.digest(of: bytes) else {
            throw Self.damaged(name, "\(BackupMetadata.fileName) is not the one that the manifest lists")
        }
        self.metadata = metadata
        table = manifest.table
    }

    /// Nil if there is none. Read in pieces: with all its bytes in memory it would be there twice.
    private static func readManifest(of directory: Directory, named name: String) throws -> Manifest? {
        do {
            guard try directory.status(of: Manifest.fileName.utf8) != nil else { return nil }
            let file = try OpenFile(Manifest.fileName.utf8, in: directory)
            let status = try file.status()
            guard status.kind == .file, status.size <= ManifestReader.sizeLimit else {
                throw damaged(name, "\(Manifest.fileName) is no regular file, or too large")
            }
            var reader = ManifestReader(size: Int(status.size))
            let buffer = Buffer(size: 256 * 1024)
            while true {
                let count = try file.read(into: buffer.bytes)
                if count == 0 { break }
                try reader.take(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer.bytes)[..<count]))
            }
            return try reader.finish()
        } catch let error as ManifestError {
            throw damaged(name, "\(Manifest.fileName): \(error)")
        } catch let error as DiskError {
            guard [.invalid, .isLink, .io].contains(error.code) else { throw error }
            throw damaged(name, "\(Manifest.fileName): \(error.reason)")
        }
    }

    /// Nil if there is no such file.
    static func read(_ file: String, of directory: Directory, named name: String, limit: Int) throws -> [UInt8]? {
        do throws(DiskError) {
            guard try directory.status(of: file.utf8) != nil else { return nil }
            return try directory.readFile(file.utf8, limit: limit)
        } catch {
            guard [.invalid, .isLink, .io].contains(error.code) else { throw error }
            throw damaged(name, "\(file): \(error.reason)")
        }
    }

    /// The entries of a backup without a manifest.
    private static func walk(_ directory: Directory, name: String) throws -> EntryTable {
        var walk = try TreeWalk(of: directory, containers: [], honorsMarker: false) { path, _, _ in
            path.elementsEqual(BackupMetadata.fileName.utf8) ? .ignore : .take
        }
        while !walk.pending.isEmpty {
            let current = walk
            walk.absorb(walk.pending.map { current.list($0) })
        }
        // What cannot be read must not pass for empty: a restore would remove what is in the app.
        if let problem = walk.problems.first {
            throw damaged(name, "\(problem.path) cannot be read: \(problem.reason)")
        }
        return try walk.table()
    }

    /// The directory with this index in the table.
    func directory(at index: Int) throws -> Directory {
        do throws(DiskError) {
            return try directory.directory(at: table.path(of: index))
        } catch {
            guard [.notFound, .isLink, .notDirectory, .crossesDevices].contains(error.code) else { throw error }
            throw Self.damaged(name, "\(table.path(of: index)) is no directory")
        }
    }
}

extension FolderContents: BackupContents {
    package var format: BackupFormat { .folder }
    package var seal: SHA256Digest? { manifest?.seal }
    package var isRecorded: Bool { manifest != nil }

    package func makeReader(stop: StopFlag) -> sending any ContentReader { FolderReader(self, stop: stop) }
}

/// Reads files of a folder backup; the last one's directory stays open.
private final class FolderReader: ContentReader {
    private let contents: FolderContents
    private let stop: StopFlag
    private let buffer = Buffer(size: 1 << 18)
    private var hash = SHA256()
    private var last: (index: Int, directory: Directory)?

    init(_ contents: FolderContents, stop: StopFlag) {
        self.contents = contents
        self.stop = stop
    }

    func copy(_ index: Int, to target: inout NewFile) throws {
        let isSparse = contents.table[index].flags.contains(.sparse)
        try checking(index) { file, size in
            try FileCopy.copy(
                file, size: size, to: &target, through: buffer.bytes, isSparse: isSparse, stop: stop
            ) { hash.update($0) }
            return target.size
        }
    }

    func read(_ index: Int, _ each: (UnsafeRawBufferPointer) throws -> Void) throws {
        try checking(index) { file, _ in
            var size: UInt64 = 0
            try FileCopy.read(file, through: buffer.bytes, stop: stop) { bytes in
                hash.update(bytes)
                size += UInt64(bytes.count)
                try each(bytes)
            }
            return size
        }
    }

    func head(of index: Int, count: Int) throws -> [UInt8] {
        let file = try open(index)
        return try file.bytes(at: 0, count: count)
    }

    private func open(_ index: Int) throws -> OpenFile {
        let parent = Int(contents.table[index].parent)
        if last?.index != parent { last = (parent, try contents.directory(at: parent)) }
        guard let directory = last?.directory else { throw missing(index) }
        do throws(DiskError) {
            return try OpenFile(contents.table.withName(of: index) { Array($0) }, in: directory)
        } catch {
            throw error.code == .notFound || error.code == .isLink ? missing(index) : error
        }
    }

    private func missing(_ index: Int) -> BackupError {
        FolderContents.damaged(contents.name, "\(contents.table.path(of: index)) is missing or no file")
    }

    /// Calls `body` with the open file and its size; it hashes what it reads and returns how much that was.
    private func checking(_ index: Int, _ body: (borrowing OpenFile, UInt64) throws -> UInt64) throws {
        let (table, name) = (contents.table, contents.name)
        var size: UInt64 = 0
        do {
            let file = try open(index)
            let status = try file.status()
            guard status.kind == .file else {
                throw FolderContents.damaged(name, "\(table.path(of: index)) is no regular file")
            }
            size = try body(file, status.size)
        } catch let error as SourceUnreadable {
            hash.reset()
            throw FolderContents.damaged(name, "\(table.path(of: index)) cannot be read: \(error.cause.reason)")
        } catch {
            hash.reset()
            throw error
        }
        let digest = hash.finish()
        guard table[index].flags.contains(.hashed) else { return }
        guard size == table[index].size, digest == table[index].digest else {
            throw FolderContents.damaged(name, "the content of \(table.path(of: index)) is not what was backed up")
        }
    }
}

extension LocalTime {
    /// A naive time that was read as UTC, as the local time that it is.
    fileprivate func takenAsLocal(_ offset: (Timestamp) -> Int) -> LocalTime {
        let seconds = offset(moment)
        return LocalTime(moment: moment.adding(seconds: -Int64(seconds)), offset: seconds)
    }
}
