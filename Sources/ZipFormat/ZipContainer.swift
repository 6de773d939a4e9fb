import Codec
import Containers
import Disk
import Model
import Workers

/// The zips of a backup directory.
package struct ZipContainer: Container {
    package let place: BackupDirectory
    private let surroundings: ZipContents.Surroundings
    let pool: ThreadPool
    let run: RunContext

    var directory: Directory { place.directory }
    private static let suffix = Array(".zip".utf8)

    package init(
        _ place: BackupDirectory, _ surroundings: ZipContents.Surroundings, pool: ThreadPool, in run: RunContext
    ) {
        self.place = place
        self.surroundings = surroundings
        self.pool = pool
        self.run = run
    }

    package var format: BackupFormat { .zip }

    package func isTaken(_ name: BackupName) throws -> Bool {
        try directory.status(of: fileName(name)) != nil
    }

    private func fileName(_ name: BackupName) -> [UInt8] { Array(format.fileName(of: name).utf8) }

    package func contents(of name: BackupName) throws -> any BackupContents {
        let file = fileName(name)
        do {
            guard try directory.status(of: file)?.kind == .file else { throw BackupError.noBackup(name.text) }
            return try ZipContents(name.text, try OpenFile(file, in: directory), surroundings)
        } catch let error as DiskError where error.code == .notFound {
            throw BackupError.noBackup(name.text)
        }
    }

    package func findingsWithoutPassword(of name: BackupName, isWhole: Bool) throws -> [Finding] {
        do {
            let file = try ZipFile(try OpenFile(fileName(name), in: directory))
            let isWrong = try isWhole && !file.isSealed(stop: run.stop)
            return isWrong ? [Finding(.damage, name.text, ZipSeal.broken)] : []
        } catch let error as ZipError {
            return [Finding(.damage, name.text, error.description)]
        }
    }

    // MARK: Listing

    package func backups() throws -> BackupListing {
        var listing = BackupListing()
        let state = try place.state()
        for item in try directory.items() where item.name.first != UInt8(ascii: ".") {
            guard item.name.count > Self.suffix.count, item.name.suffix(Self.suffix.count).elementsEqual(Self.suffix),
                try directory.kind(of: item) == .file
            else { continue }
            let text = printable(item.name)
            do {
                let name = try BackupName(String(decoding: item.name.dropLast(Self.suffix.count), as: UTF8.self))
                listing.backups.append(try summary(of: name, item.name, state))
            } catch let error as BackupNameError {
                listing.foreign.append((text, "\(error)"))
            } catch let error as DiskError {
                // Deleted since the listing was made, or not ours to read.
                if error.code != .notFound { listing.foreign.append((text, error.reason)) }
            }
        }
        return listing
    }

    private func summary(of name: BackupName, _ file: [UInt8], _ state: StateFolder?) throws -> Backup {
        let opened = try OpenFile(file, in: directory)
        let status = try opened.status()
        let modified = status.modified
        var backup = Backup(
            name: name, format: .zip, origin: .ours,
            time: LocalTime(moment: modified, offset: run.clock.offset(modified)), bytesAlone: status.allocated)
        do {
            try fill(&backup, from: opened)
        } catch let error as ZipError {
            backup.state = .damaged(error.description)
        }
        if backup.state == .unverified, let record = state?.verification(format.fileName(of: name)),
            record.seal == backup.seal
        {
            if let damage = record.damage {
                backup.state = .damaged(damage)
            } else if record.percent >= 100 {
                backup.state = .verified(record.time.moment)
            }
        }
        return backup
    }

    /// Of ours only the tail is read: metadata is what they end with.
    private func fill(_ backup: inout Backup, from opened: consuming OpenFile) throws {
        let (end, last, lastName) = try ZipDirectory.last(of: opened)
        backup.seal = ZipSeal.read(end.comment)
        guard backup.seal != nil, let last, lastName.elementsEqual(BackupMetadata.fileName.utf8) else {
            return try fill(&backup, fromOther: opened)
        }
        let file = ZipFile(opened, ZipDirectory(end: end, member: last, name: lastName))
        let bytes = try ZipMemberReader(file, stop: run.stop).bytes(
            file.directory.members[0], limit: UInt64(BackupMetadata.sizeLimit))
        do {
            let metadata = try BackupMetadata.read(bytes)
            guard metadata.details != nil else { throw MetadataError("it has the original tool's keys") }
            backup.take(metadata)
        } catch let error as MetadataError {
            backup.state = .damaged("\(BackupMetadata.fileName): \(error)")
        }
    }

    private func fill(_ backup: inout Backup, fromOther opened: consuming OpenFile) throws {
        // Of those that end otherwise than ours none is encrypted and right: no password is asked for.
        var surroundings = surroundings
        surroundings.password = { _ in nil }
        let contents = try ZipContents(checking: opened, backup.name.text, surroundings)
        backup.take(contents.metadata)
        if contents.metadata.details == nil { backup.origin = contents.isPlain ? .plain : .original }
        backup.entries = contents.table.count - 1
        backup.bytes = (0..<contents.table.count).lazy.map { contents.table[$0].size }.saturatingSum()
    }

    package func sizes(of backups: [Backup]) throws -> BackupSizes {
        var sizes = BackupSizes()
        for backup in backups {
            let alone = backup.bytesAlone ?? 0
            sizes.alone[backup.name.text] = alone
            sizes.together.add(saturating: alone)
        }
        return sizes
    }

    // MARK: Removing

    package func remove(_ name: BackupName) throws {
        let file = fileName(name)
        guard try directory.status(of: file)?.kind == .file else { throw BackupError.noBackup(name.text) }
        let hidden = place.hiddenName(for: name.text)
        try directory.moveDirectory(file, as: hidden)
        do throws(DiskError) {
            try directory.fsync()
        } catch {
            // Not durably out of sight, so not to be removed: and what is to stay must be seen.
            try directory.moveDirectory(hidden, as: file)
            throw error
        }
        do throws(DiskError) {
            try directory.unlink(hidden)
            try place.state()?.forget(format.fileName(of: name))
        } catch {
            run.report(.warning("'\(name)' is deleted, but its space is not free yet: \(error). The next run goes on"))
        }
    }
}
