import Codec
import Containers
import Disk
import Model
import Workers

extension ZipContainer {
    package func write(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup {
        try place.checkFree(new.name)
        var plan = plan
        try leaveOutLongPaths(of: &plan)
        try checkSpace(for: plan)
        guard let reader = plan.makeStoredReader(stop: run.stop) else {
            return try writePlanned(plan, as: new, recording: recording)
        }
        // Pieces of a large file are read side by side, which a packed one does not allow.
        var scratch = try place.makeScratch(for: "copy")
        do {
            for index in 1..<max(1, plan.table.count)
            where plan.content(of: index) == .stored && plan.table[index].size > UInt64(ZipPacking.pieceSize) {
                var file = try NewFile("\(index)".utf8, in: scratch.directory)
                try reader.copy(index, to: &file)
                plan.takeStored(.init("\(index)", in: scratch.directory), for: index)
            }
            let created = try writePlanned(plan, as: new, recording: recording)
            scratch.discard()
            return created
        } catch {
            scratch.discard()
            throw place.spaceError(error)
        }
    }

    /// The length of a member's name has 16 bits; a directory's ends with a slash.
    private func leaveOutLongPaths(of plan: inout SourcePlan) throws {
        let long = (0..<plan.table.count).filter { plan.table.pathLength(of: $0) >= Int(UInt16.max) }
        guard let first = long.first else { return }
        if case .backup(let contents) = plan.source {
            throw BackupError(
                .refused,
                "'\(contents.name)' has paths that are too long for a zip, such as \(shortened(plan.table.path(of: first)))",
                advice: "Copy it to a folder")
        }
        plan.skipped += long.map {
            Skipped(path: plan.table.path(of: $0), reason: "its path is too long for a zip; a folder can hold it")
        }
        plan.leaveOut(Set(long))
    }

    private func shortened(_ path: EntryPath) -> String {
        "\(EntryPath(unchecked: Array(path.bytes.prefix(100))))…"
    }

    private func writePlanned(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup {
        let began = run.clock.monotonic()
        var partial = PartialFile(place.hiddenName(for: format.fileName(of: new.name)), in: directory)
        do {
            let file = try NewFile(partial.temporaryName, in: directory)
            try directory.giveToOwner(file.descriptor)
            let archive = ZipArchive(file)
            let packed = try ZipPacking(plan: plan, pool: pool, run: run, password: new.password).pack(into: archive)
            var metadata = BackupMetadata(
                backupName: new.name.text, time: new.time, items: recording.items,
                excludedItems: recording.excludedItems, details: recording.details)
            metadata.format = .zip
            fill(&metadata, from: packed, as: new, archive, since: began)
            try addManifest(packed.table, metadata, new.password, to: archive)
            let seal = try archive.finish(
                reading: try OpenFile(partial.temporaryName, in: directory), stop: run.stop)
            try run.stop.check()
            run.report(.started(.syncing, entries: 0, bytes: 0))
            try archive.withFile { try partial.publish($0, as: format.fileName(of: new.name)) }
            return CreatedBackup(summary(new, metadata, seal, archive.size), metadata)
        } catch {
            partial.discard()
            throw place.spaceError(error)
        }
    }

    private func fill(
        _ metadata: inout BackupMetadata, from packed: ZipPacking.Packed, as new: NewBackup, _ archive: ZipArchive,
        since began: UInt64
    ) {
        guard var details = metadata.details else { return }
        details.trigger = new.trigger
        details.tags = new.tags
        details.isFull = true
        details.isEncrypted = new.password != nil
        details.skipped = packed.skipped.sorted { $0.path < $1.path }
        details.count(packed.table)
        details.bytesWritten = archive.size
        details.lastFull = new.time
        details.milliseconds = (run.clock.monotonic() - began) / 1_000_000
        metadata.details = details
    }

    /// The manifest, and as the last member the metadata: so that a listing finds it by reading the tail alone.
    /// With a password the manifest is encrypted, and the metadata withholds names.
    private func addManifest(
        _ table: EntryTable, _ metadata: BackupMetadata, _ password: Password?, to archive: ZipArchive
    ) throws {
        let metadataBytes = (password == nil ? metadata : metadata.withheld).encoded()
        let whole = password == nil ? [] : metadata.encoded()
        var manifest: [UInt8] = []
        // Growing would need twice the room for a moment.
        manifest.reserveCapacity(table.count * 256)
        _ = try ManifestWriter(table, held: [:], wholeMetadata: whole).write(metadata: metadataBytes) { manifest += $0 }
        var part = ZipPart()
        var deflate = Deflate(level: 7)
        let cipher = password.map { AE2Cipher($0) }
        for (name, bytes, cipher) in [
            (Manifest.fileName, manifest, cipher), (BackupMetadata.fileName, metadataBytes, nil),
        ] {
            var header = ZipMemberHeader(
                name: Array(name.utf8), mode: 0o100600, modified: metadata.time, user: 0, group: 0)
            header.size = UInt64(bytes.count)
            bytes.withUnsafeBytes { raw in
                header.checksum = CRC32.update(0, raw)
                let packed = deflate.whole(raw)
                header.method = packed == nil ? ZipMethod.stored : ZipMethod.deflated
                (packed ?? bytes).withUnsafeBytes { part.add(header, $0, cipher) }
            }
        }
        try archive.add(part)
    }

    private func summary(
        _ new: NewBackup, _ metadata: BackupMetadata, _ seal: SHA256Digest, _ size: UInt64
    ) -> Backup {
        var backup = Backup(
            name: new.name, format: .zip, origin: .ours, time: new.time, trigger: new.trigger, tags: new.tags,
            isIncomplete: metadata.details?.isIncomplete ?? false, entries: metadata.details?.entries,
            bytes: metadata.details?.bytes, bytesAlone: size, seal: seal)
        backup.take(metadata)
        return backup
    }

    /// How well it compresses shows only afterwards: what is asked for here is what cannot do with less.
    private func checkSpace(for plan: SourcePlan) throws {
        var least: UInt64 = 1 << 16
        for index in 0..<plan.table.count { least.add(saturating: 150 + plan.table[index].size / 1030) }
        try place.checkSpace(bytes: least, inodes: 4)
    }
}

extension Deflate {
    /// The stream of bytes of any size; nil if that gains nothing.
    fileprivate mutating func whole(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        // Text becomes less than half; there is no need to have room for more first.
        for size in [bytes.count / 2, bytes.count] {
            let stream = [UInt8](unsafeUninitializedCapacity: size) { buffer, count in
                count = compress(bytes, into: UnsafeMutableRawBufferPointer(buffer)) ?? 0
            }
            if !stream.isEmpty { return stream }
        }
        return nil
    }
}
