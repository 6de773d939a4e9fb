import Containers
import Disk
import Model

extension FolderContainer {
    /// First out of sight, durably, and only then piece by piece.
    ///
    /// An error before it is out of sight leaves it as it was; after that what is left is removed by the next run.
    package func remove(_ name: BackupName) throws {
        guard try directory.status(of: name.text.utf8)?.kind == .directory else {
            throw BackupError.noBackup(name.text)
        }
        let hidden = place.hiddenName(for: name.text)
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
            try place.state()?.forget(name.text)
        } catch {
            run.report(
                .warning("'\(name)' is deleted, but not all of its space is free yet: \(error). The next run goes on"))
        }
    }
}
