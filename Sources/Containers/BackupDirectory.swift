import Disk
import Model

/// A backup directory, `backups/`: folders and zips side by side, under one lock and one set of names.
package struct BackupDirectory: Sendable {
    package let directory: Directory
    let run: RunContext

    package init(_ directory: Directory, in run: RunContext) {
        self.directory = directory
        self.run = run
    }

    /// Makes what every backup directory has and takes its lock (promise 15); then removes what dead runs left (promise 2).
    package func lock(holder: String) throws(DiskError) -> Lock {
        let state = try StateFolder(madeIn: directory)
        let lock = try state.lock(holder: holder)
        if try directory.status(of: TreeWalk.marker) == nil {
            var file = try NewFile(TreeWalk.marker, in: directory)
            try directory.giveToOwner(file.descriptor)
            try file.write(Array("This directory holds backups. chastipi-backup never backs it up itself.\n".utf8))
        }
        if try directory.status(of: RestoreByHand.fileName.utf8) == nil {
            try directory.replaceCache(RestoreByHand.fileName, with: Array(RestoreByHand.text.utf8))
        }
        for item in try directory.items() where item.name.starts(with: PartialDirectory.prefix.utf8) {
            try TreeRemoval.remove(item.name, in: directory)
        }
        return lock
    }

    /// Whether a backup in any format has this name.
    package func isTaken(_ name: BackupName) throws(DiskError) -> Bool {
        for format in BackupFormat.local where try directory.status(of: format.fileName(of: name).utf8) != nil {
            return true
        }
        return false
    }

    package func checkFree(_ name: BackupName) throws {
        guard try isTaken(name) else { return }
        throw BackupError(.nameTaken, "there is a backup '\(name)' already", advice: "Choose another --name")
    }

    /// What is known of backups beside themselves; nil if nothing is.
    package func state() throws(DiskError) -> StateFolder? { try StateFolder(existingIn: directory) }

    /// A directory for files that are made before they are moved into a backup. The lock is held.
    package func makeScratch(for what: String) throws(DiskError) -> PartialDirectory {
        try PartialDirectory(what, token: run.randomHex(bytes: 4), in: directory)
    }

    /// A name that nobody sees, for a backup that is not complete, or not any more.
    package func hiddenName(for file: String) -> [UInt8] {
        Array("\(PartialDirectory.prefix)\(file).\(run.randomHex(bytes: 4))".utf8)
    }

    /// Records what a verification found in the backup `file`, so that listings can tell.
    package func remember(_ verified: VerifiedBackup, of file: String, seal: SHA256Digest, percent: Double) {
        let damage = verified.findings.first { $0.severity == .damage }.map { "\($0.subject): \($0.message)" }
        do {
            try state()?.write(
                .init(seal: seal, time: run.now(), percent: percent, damage: damage), of: file)
        } catch {
            // A read-only medium, or not our directory: less is known then, nothing is lost.
            run.report(.note("the result of the verification could not be recorded"))
        }
    }
}

extension BackupError {
    package static func noBackup(_ name: String) -> BackupError {
        BackupError(.notFound, "there is no backup '\(printable(name.utf8))'", advice: "'list' shows those there are")
    }
}

// Space (promise 5).
extension BackupDirectory {
    /// Fails if so many bytes or inodes are not free.
    package func checkSpace(bytes: UInt64, inodes: UInt64) throws {
        let traits = try FileSystemTraits(of: directory)
        if traits.isReadOnly {
            throw BackupError(
                .system, "the backup directory is on a read-only file system", advice: "Remount it, or use --backup-dir"
            )
        }
        if bytes > traits.freeBytes {
            throw BackupError(
                .noSpace,
                "no space: the backup needs \(ByteCount(bytes)), the backup directory has \(ByteCount(traits.freeBytes)) free",
                advice: "Free space or run 'prune --keep-last 3'")
        }
        if let free = traits.freeEntries, inodes > free {
            throw BackupError(
                .noSpace,
                "no space: the backup needs \(inodes) inodes, the backup directory's file system has \(free) free",
                advice: "Run 'prune --keep-last 3' or delete old backups")
        }
    }

    /// What an error while writing tells the user.
    package func spaceError(_ error: any Error) -> any Error {
        guard let disk = error as? DiskError, disk.code == .noSpace else { return error }
        return BackupError(
            .noSpace, "no space: the backup directory's file system is full (\(disk))",
            advice: "Free space or run 'prune --keep-last 3'. Nothing of this one was left behind")
    }
}
