import Containers
import Disk
import Model

extension FolderContainer {
    /// Removes a backup whole (promise 13): first out of sight, durably, and only then piece by piece. The container's lock is held.
    ///
    /// An error before it is out of sight leaves it as it was; after that what is left is removed by the next run.
    package func remove(_ name: BackupName) throws {
        guard try directory.status(of: name.text.utf8)?.kind == .directory else { throw Self.notFound(name.text) }
        let hidden = Array("\(PartialDirectory.prefix)\(name.text).\(run.randomHex(bytes: 4))".utf8)
        let mode = try directory.status(of: name.text.utf8)?.mode ?? 0o700
        // Its `..` changes, for which its owner needs the right to write.
        if mode & 0o200 == 0 { try directory.setMode(mode | 0o700, of: name.text.utf8) }
        try directory.moveDirectory(name.text.utf8, as: hidden)
        do throws(DiskError) {
            try directory.fsync()
        } catch {
            // Not durably out of sight, so not to be removed: and what is to stay must be seen.
            try directory.moveDirectory(hidden, as: name.text.utf8)
            throw error
        }
        do {
            try TreeRemoval.remove(hidden, in: directory)
            try StateFolder(existingIn: directory)?.forget(name)
        } catch {
            run.report(
                .warning("'\(name)' is deleted, but not all of its space is free yet: \(error). The next run goes on"))
        }
    }
}
