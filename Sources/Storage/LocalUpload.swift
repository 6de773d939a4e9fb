import Disk
import Model
import Synchronization

/// A pack that grows as a file beside the directories of packs, and is moved to its place when its name is known.
final class LocalUpload: ObjectUpload {
    private let parent: Directory
    private let name: [UInt8]
    private let file: Mutex<NewFile>
    private let directory: @Sendable (ObjectKey) throws(DiskError) -> Directory

    /// `directory`: where an object belongs.
    init(
        in parent: Directory, mode: UInt16,
        directory: @escaping @Sendable (ObjectKey) throws(DiskError) -> Directory
    ) throws(DiskError) {
        var generator = SystemRandomNumberGenerator()
        self.parent = parent
        self.directory = directory
        name = Array("pack-tmp-\(String(generator.next() as UInt64, radix: 16))".utf8)
        let file = try NewFile(name, in: parent, mode: mode)
        try parent.giveToOwner(file.descriptor)
        self.file = Mutex(file)
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        do throws(DiskError) {
            try file.withLock { file throws(DiskError) in try file.write(bytes) }
        } catch {
            throw LocalBackend.storageError(error, "write", "a pack")
        }
    }

    func finish(as key: ObjectKey) throws(StorageError) {
        do throws(DiskError) {
            try file.withLock { file throws(DiskError) in try file.fsync() }
            let target = try directory(key)
            try parent.moveFile(name, to: target, as: key.fileName.utf8)
            try target.fsync()
        } catch {
            discard()
            throw LocalBackend.storageError(error, "create", "\(key)")
        }
    }

    func discard() {
        do throws(DiskError) {
            if try parent.status(of: name) != nil { try parent.unlink(name) }
        } catch {
            // A leftover, which a prune removes.
        }
    }
}
