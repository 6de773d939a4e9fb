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
        file = Mutex(try Self.make(name, in: parent, mode))
    }

    private static func make(
        _ name: [UInt8], in parent: Directory, _ mode: UInt16
    ) throws(DiskError) -> NewFile {
        do throws(DiskError) {
            let file = try NewFile(name, in: parent, mode: mode)
            try parent.giveToOwner(file.descriptor)
            return file
        } catch {
            // It may stand there all the same, and no other has this name.
            if try parent.status(of: name) != nil { try parent.unlink(name) }
            throw error
        }
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
            do throws(DiskError) {
                try target.fsync()
            } catch {
                // It may not be durable, so it is not there.
                try target.unlink(key.fileName.utf8)
                throw error
            }
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
