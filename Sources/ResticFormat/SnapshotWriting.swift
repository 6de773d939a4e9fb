import Codec
import Containers
import Disk
import Model
import Storage
import Workers

extension RepositoryContainer {
    package func write(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup {
        try mapped {
            if try isTaken(new.name) {
                throw BackupError(
                    .nameTaken, "there is a backup '\(new.name)' already", advice: "Choose another --name")
            }
            let began = run.clock.monotonic()
            let repository = try state.repository()
            let index = try state.index()
            let writer = RepositoryWriter(
                repository, index: index, on: pool, compression: .init(new.compression))
            do {
                let created = try write(plan, as: new, recording, (repository, index, writer), since: began)
                state.forget()
                return created
            } catch {
                // Nobody can see it, but it takes room.
                writer.discard()
                state.forget()
                throw error
            }
        }
    }

    private func write(
        _ plan: SourcePlan, as new: NewBackup, _ recording: Recording,
        _ target: (repository: Repository, index: BlobIndex, writer: RepositoryWriter), since began: UInt64
    ) throws -> CreatedBackup {
        let archive = SnapshotArchive(
            plan: plan, writer: target.writer, repository: target.repository, index: target.index, pool: pool, run: run)
        let written = try archive.write()
        let root = try saveAncestors(of: written, target.writer)
        run.report(.started(.syncing, entries: 0, bytes: 0))
        try target.writer.finish()
        try run.stop.check()
        var new = new
        new.name = try freeName(new.name)
        var metadata = BackupMetadata(
            backupName: new.name.text, time: new.time, items: recording.items, excludedItems: recording.excludedItems,
            details: recording.details)
        metadata.format = .repository
        fill(&metadata, from: written, as: new, plan, target.writer.added, since: began)
        var snapshot = Snapshot(time: new.time, tree: root, paths: paths(of: recording.items))
        if case .backup(let contents as RepositoryContents) = plan.parent?.store {
            snapshot.parent = contents.snapshot.id
        }
        fill(&snapshot, metadata, written, target.writer.added, new)
        let id = try target.writer.save(snapshot)
        let backup = summary(of: .init(id: id, snapshot: snapshot), new.name)
        return CreatedBackup(backup, metadata)
    }

    /// The name, if it is free now: while this backup was written others may have made theirs. One that nobody chose gets a number.
    private func freeName(_ wanted: BackupName) throws -> BackupName {
        let known = try Set(state.snapshots().map(\.id) + state.unreadableSnapshots().map(\.key.id))
        let repository = try state.repository()
        guard try !repository.backend.list(.snapshot).allSatisfy({ known.contains($0.key.id) }) else { return wanted }
        let names = SnapshotNames(try repository.snapshots(on: pool).snapshots, isOwn: isOwn)
        guard names.isTaken(wanted) else { return wanted }
        if wanted.defaultPrefix != nil { return try wanted.withoutNumber.firstFree(names.isTaken) }
        throw BackupError(
            .nameTaken, "somebody has made a backup '\(wanted)' meanwhile", advice: "Choose another --name")
    }

    private func fill(
        _ metadata: inout BackupMetadata, from written: SnapshotArchive.Written, as new: NewBackup, _ plan: SourcePlan,
        _ added: RepositoryWriter.Added, since began: UInt64
    ) {
        guard var details = metadata.details else { return }
        details.trigger = new.trigger
        details.tags = new.tags
        details.isFull = new.isFull
        details.skipped = written.skipped.sorted { $0.path < $1.path }
        details.count(written.table)
        details.bytesWritten = UInt64(added.stored)
        details.sharedFiles = written.sharedFiles
        details.parent = written.sharedFiles > 0 ? plan.parent?.name.text : nil
        details.milliseconds = (run.clock.monotonic() - began) / 1_000_000
        metadata.details = details
    }

    private func fill(
        _ snapshot: inout Snapshot, _ metadata: BackupMetadata, _ written: SnapshotArchive.Written,
        _ added: RepositoryWriter.Added, _ new: NewBackup
    ) {
        snapshot.hostName = metadata.details?.host ?? HostName.current
        (snapshot.user, snapshot.group) = (ProcessIdentity.user, ProcessIdentity.group)
        snapshot.userName = OwnerNames.user(snapshot.user) ?? ""
        snapshot.tags = [SnapshotNames.tag(for: new.name)] + new.tags
        snapshot.programVersion = "chastipi-backup \(metadata.details?.toolVersion ?? "")"
        snapshot.record = metadata.json
        var summary = Snapshot.Summary(start: new.time, end: run.now())
        summary.files = written.changes.files
        summary.directories = written.changes.directories
        (summary.dataBlobs, summary.treeBlobs) = (UInt64(added.dataBlobs), UInt64(added.treeBlobs))
        (summary.dataAdded, summary.dataAddedPacked) = (UInt64(added.content), UInt64(added.stored))
        summary.totalFiles = UInt64(metadata.details?.files ?? 0)
        summary.totalBytes = metadata.details?.bytes ?? 0
        snapshot.summary = summary
    }

    /// Brings a snapshot from another repository, or gives one another name: trees and data stay as they are, nothing is encoded anew.
    package func copy(_ contents: RepositoryContents, as name: BackupName) throws -> CreatedBackup {
        try mapped {
            var snapshot = contents.snapshot.snapshot
            snapshot.tags = [SnapshotNames.tag(for: name)] + SnapshotNames.ownTags(of: snapshot)
            let copying = SnapshotCopy(from: contents.repository, to: try state.repository(), on: pool, in: run)
            let plan = try copying.plan([.init(id: contents.snapshot.id, snapshot: snapshot)])
            let ids = try copying.apply(plan)
            state.forget()
            guard let copied = try state.snapshots().first(where: { ids.contains($0.id) }) else {
                throw BackupError(.nameTaken, "there is a backup '\(name)' already", advice: "Choose another --name")
            }
            var metadata = contents.metadata
            metadata.details?.bytesWritten = plan.missing.bytes
            return CreatedBackup(summary(of: copied, name), metadata)
        }
    }

    // MARK: Above the app

    /// Absolute paths, as restic has them; bytes that are not UTF-8 are lost, and stand in the tree.
    private func paths(of items: [EntryPath]) -> [String] {
        let items = items.isEmpty ? [EntryPath.root] : items
        return items.map { item in
            let path = surroundings.path + (item.isRoot ? [] : [UInt8(ascii: "/")] + item.bytes)
            return String(decoding: path, as: UTF8.self)
        }
    }

    /// The trees of the directories above the app, each with one node, as restic stores them. Returns the root's.
    private func saveAncestors(of written: SnapshotArchive.Written, _ writer: RepositoryWriter) throws -> SHA256Digest {
        let names = surroundings.path.split(separator: UInt8(ascii: "/")).map { Array($0) }
        let ancestors = try ancestors(count: names.count)
        var table = EntryTable(root: EntryRecord(kind: .directory))
        var parent = 0
        for (depth, name) in names.enumerated() {
            let isApp = depth == names.count - 1
            let ancestor = ancestors[depth]
            let extended = isApp ? written.table.extended(of: 0) : ancestor.extended
            var record = ancestor.record
            if isApp { record.take(written.table[0]) }
            table.userNames[record.user] = OwnerNames.user(record.user)
            table.groupNames[record.group] = OwnerNames.group(record.group)
            parent = try name.withRawBytes { name throws(EntryTableError) in
                try table.append(record, name: name, in: parent, extended: extended)
            }
        }
        var maker = TreeMaker(run.clock)
        var tree = written.tree
        for index in stride(from: parent, to: 0, by: -1) {
            tree = try maker.tree(of: index, table, subtree: tree) { try writer.save(.tree, $0, worker: 0).id }
        }
        return tree
    }

    /// The app's directory and `count` - 1 above it, the topmost first. One that we may only pass through, such as a /home with the
    /// mode 711, is described without being opened: its extended attributes stay unknown.
    private func ancestors(count: Int) throws -> [(record: EntryRecord, extended: [ExtendedAttribute])] {
        var opened = surroundings.app
        var ancestors = [(try opened.status().record, try FileAttributes.extended(of: opened.descriptor))]
        var steps = 0
        while ancestors.count < count {
            steps += 1
            let above = Array(repeatElement("..", count: steps).joined(separator: "/").utf8)
            do throws(DiskError) {
                opened = try opened.directory(above)
                steps = 0
                ancestors.append((try opened.status().record, try FileAttributes.extended(of: opened.descriptor)))
            } catch {
                guard error.code == .denied, let status = try opened.status(of: above) else { throw error }
                ancestors.append((status.record, []))
            }
        }
        return ancestors.reversed()
    }

    // MARK: Removing

    package func remove(_ name: BackupName) throws {
        try mapped {
            let id = try unreadable(name.text)?.seal ?? snapshot(name).id
            try state.repository().backend.remove(.snapshot(id))
            state.forget()
        }
    }

    /// Bytes that are freed if the backups with these IDs are removed; nil where something damaged keeps all that there is.
    package func bytesFreed(byRemoving ids: Set<SHA256Digest>) throws -> UInt64? {
        try mapped {
            var options = PruneOptions()
            options.ignored = ids
            do {
                return try RepositoryPrune(try state.repository(), on: pool, in: run).plan(options).freed
            } catch let error as BackupError where error.code == .damaged {
                run.report(.warning("nothing would be freed: \(error.message)"))
                return nil
            }
        }
    }

    /// Removes what no snapshot needs any more, under the lock for removing.
    package func reclaim() throws {
        try mapped {
            let repository = try state.repository()
            guard repository.backend.abilities.contains(.remove), !repository.configuration.isAppendOnly else { return }
            let prune = RepositoryPrune(repository, on: pool, in: run)
            let plan: PrunePlan
            do {
                plan = try prune.plan(PruneOptions())
            } catch let error as BackupError where error.code == .damaged {
                let what = error.message.split(separator: "; nothing was removed").first ?? ""
                throw BackupError(.damaged, String(what), advice: error.advice)
            }
            for finding in try prune.apply(plan) {
                run.report(.warning("\(finding.subject): \(finding.message)"))
            }
            state.forget()
        }
    }
}

extension RepositoryWriter.Compression {
    /// As restic's option of the same name.
    init(_ asked: RepositoryCompression) {
        switch asked {
        case .off: self = .none
        case .auto: self = .zstd(3)
        case .max: self = .zstd(11)
        }
    }
}
