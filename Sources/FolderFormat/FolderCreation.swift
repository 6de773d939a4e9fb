import Codec
import Containers
import Disk
import Model
import Workers

extension FolderContainer {
    package func write(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup {
        try place.checkFree(new.name)
        let needed = SpaceNeeded(for: plan, blockSize: try FileSystemTraits(of: directory).blockSize)
        try place.checkSpace(bytes: needed.bytes, inodes: needed.inodes)
        let durability = try recording.durability ?? Durability(in: directory)
        let began = run.clock.monotonic()
        var partial = try PartialDirectory(new.name.text, token: run.randomHex(bytes: 4), in: directory)
        let finished: (metadata: BackupMetadata, seal: SHA256Digest, table: EntryTable)
        do {
            let written = try FolderWriter(plan, to: partial.directory, pool: pool, in: run).write()
            let metadata = BackupMetadata(
                backupName: new.name.text, time: new.time, items: recording.items,
                excludedItems: recording.excludedItems,
                details: fill(recording.details, from: written, as: new, parent: plan.parent, since: began))
            let seal = try seal(written, metadata, in: partial.directory, root: plan.table)
            finished = (metadata, seal, written.table)
            try run.stop.check()
        } catch {
            partial.discard()
            throw place.spaceError(error)
        }
        run.report(.started(.syncing, entries: 0, bytes: 0))
        do {
            try partial.publish(as: new.name.text, durability: durability)
        } catch {
            throw place.spaceError(error)
        }
        remember(finished.table, recording.databases, seal: finished.seal, name: new.name, reading: plan.reading)
        return CreatedBackup(summary(new, finished.metadata, finished.seal), finished.metadata)
    }

    private func fill(
        _ details: BackupMetadata.Details, from written: FolderWriter.Written, as new: NewBackup,
        parent: SourcePlan.Parent?, since began: UInt64
    ) -> BackupMetadata.Details {
        var details = details
        details.trigger = new.trigger
        details.tags = new.tags
        details.isFull = new.isFull
        details.skipped = written.skipped.sorted { $0.path < $1.path }
        details.count(written.table)
        details.bytesWritten = written.bytesWritten
        details.sharedFiles = written.sharedFiles
        details.parent = written.sharedFiles > 0 ? parent?.name.text : nil
        details.sharing = written.sharing
        details.milliseconds = (run.clock.monotonic() - began) / 1_000_000
        return details
    }

    /// Writes metadata and manifest, and last the attributes of the backup's own folder if the whole app is an item.
    private func seal(
        _ written: FolderWriter.Written, _ metadata: BackupMetadata, in folder: Directory, root plan: EntryTable
    ) throws -> SHA256Digest {
        let metadataBytes = metadata.encoded()
        var metadataFile = try NewFile(BackupMetadata.fileName.utf8, in: folder)
        try folder.giveToOwner(metadataFile.descriptor)
        try metadataFile.write(metadataBytes)
        var held = written.held
        let isRootSaved = !written.table[0].flags.contains(.ancestor)
        if isRootSaved {
            // What the folder can hold of the app's own directory must be known before the manifest says so.
            let unset = try setRoot(plan, on: folder)
            if try !unset.isEmpty || folder.status().mode != plan[0].mode {
                let now = try folder.status()
                held[0] = .init(
                    user: now.user, group: now.group, mode: now.mode,
                    lacksExtended: !unset.isEmpty && !plan.extended(of: 0).isEmpty)
            }
        }
        var file = try NewFile(Manifest.fileName.utf8, in: folder)
        try folder.giveToOwner(file.descriptor)
        let seal = try ManifestWriter(written.table, held: held).write(metadata: metadataBytes) { try file.write($0) }
        if isRootSaved { _ = try setRoot(plan, on: folder) }
        return seal
    }

    private func setRoot(_ plan: EntryTable, on folder: Directory) throws -> [String] {
        var attributes = plan.attributes(of: 0)
        // We still write into it; a folder that we cannot enter would be no backup.
        attributes.mode |= 0o700
        return try FileAttributes.apply(
            attributes, to: folder.descriptor, now: try folder.status().owner, ownership: .byNumber())
    }

    /// A cache: its loss must never fail a finished backup.
    private func remember(
        _ table: EntryTable, _ databases: DatabaseStates?, seal: SHA256Digest, name: BackupName, reading: Timestamp
    ) {
        do {
            let state = try StateFolder(madeIn: directory)
            try state.writeSeen(SeenRecords.encode(table, seal: seal, reading: reading), of: name)
            if let databases { try state.write(databases, seal: seal, of: name) }
        } catch {
            run.report(.warning("the next backup must read every file again: \(error)"))
        }
    }

    private func summary(_ new: NewBackup, _ metadata: BackupMetadata, _ seal: SHA256Digest) -> Backup {
        var backup = Backup(
            name: new.name, format: .folder, origin: .ours, time: new.time, trigger: new.trigger, tags: new.tags,
            isIncomplete: metadata.details?.isIncomplete ?? false, entries: metadata.details?.entries,
            bytes: metadata.details?.bytes, seal: seal)
        backup.take(metadata)
        return backup
    }
}

/// What a plan will occupy, as far as that can be known before the files are read.
private struct SpaceNeeded {
    /// Metadata, manifest and what is kept beside the backups, for few entries.
    private(set) var bytes: UInt64 = 1 << 16
    private(set) var inodes: UInt64 = 8
    private static let perEntry: UInt64 = 300

    init(for plan: SourcePlan, blockSize: UInt64) {
        var groups: Set<UInt32> = []
        for index in 0..<plan.table.count {
            bytes += Self.perEntry
            let record = plan.table[index]
            guard plan.content(of: index) == .file else { continue }
            if record.linkGroup != 0, !groups.insert(record.linkGroup).inserted { continue }
            inodes += 1
            // Links are short and lie in their inode; how much of a sparse file is holes shows when it is read.
            let isCounted = record.kind == .directory || record.kind == .file && !record.flags.contains(.sparse)
            if isCounted {
                let (size, overflow) = Self.blocks(of: record, blockSize).multipliedReportingOverflow(by: blockSize)
                bytes.add(saturating: overflow ? .max : size)
            }
        }
    }

    private static func blocks(of record: EntryRecord, _ blockSize: UInt64) -> UInt64 {
        record.kind == .directory ? 1 : record.size / blockSize + (record.size % blockSize == 0 ? 0 : 1)
    }
}
