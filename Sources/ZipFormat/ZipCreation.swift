import Codec
import Containers
import Disk
import Model
import Workers

extension ZipContainer {
    package func write(_ plan: SourcePlan, as new: NewBackup, recording: Recording) throws -> CreatedBackup {
        try place.checkFree(new.name)
        try checkSpace(for: plan)
        let began = run.clock.monotonic()
        var partial = PartialFile(place.hiddenName(for: format.fileName(of: new.name)), in: directory)
        do {
            let file = try NewFile(partial.temporaryName, in: directory)
            try directory.giveToOwner(file.descriptor)
            let archive = ZipArchive(file)
            let packed = try ZipPacking(plan: plan, pool: pool, run: run).pack(into: archive)
            var metadata = BackupMetadata(
                backupName: new.name.text, time: new.time, items: recording.items,
                excludedItems: recording.excludedItems, details: recording.details)
            metadata.format = .zip
            fill(&metadata, from: packed, as: new, archive, since: began)
            try addManifest(packed.table, metadata, to: archive)
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
        details.skipped = packed.skipped.sorted { $0.path < $1.path }
        details.count(packed.table)
        details.bytesWritten = archive.size
        details.lastFull = new.time
        details.milliseconds = (run.clock.monotonic() - began) / 1_000_000
        metadata.details = details
    }

    /// The manifest, and as the last member the metadata: so that a listing finds it by reading the tail alone.
    private func addManifest(_ table: EntryTable, _ metadata: BackupMetadata, to archive: ZipArchive) throws {
        let metadataBytes = metadata.encoded()
        var manifest: [UInt8] = []
        _ = try ManifestWriter(table, held: [:]).write(metadata: metadataBytes) { manifest += $0 }
        var part = ZipPart()
        var worker = ZipWorker()
        for (name, bytes) in [(Manifest.fileName, manifest), (BackupMetadata.fileName, metadataBytes)] {
            var header = ZipMemberHeader(
                name: Array(name.utf8), mode: 0o100600, modified: metadata.time, user: 0, group: 0)
            header.size = UInt64(bytes.count)
            bytes.withUnsafeBytes { raw in
                header.checksum = CRC32.update(0, raw)
                let packed = worker.deflateWhole(raw)
                header.method = packed == nil ? ZipMethod.stored : ZipMethod.deflated
                header.compressed = UInt64(packed?.count ?? bytes.count)
                part.add(header)
                part.bytes += packed ?? bytes
            }
        }
        try archive.add(part)
    }

    private func summary(
        _ new: NewBackup, _ metadata: BackupMetadata, _ seal: SHA256Digest, _ size: UInt64
    ) -> Backup {
        var backup = Backup(
            name: new.name, format: .zip, origin: .ours, time: new.time, bytesAlone: size, seal: seal)
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

extension ZipWorker {
    /// A deflate stream of bytes of any size; nil if that gains nothing.
    mutating func deflateWhole(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        var target = [UInt8](repeating: 0, count: deflate.bound(bytes.count))
        let count = target.withUnsafeMutableBytes { deflate.compress(bytes, into: $0) }
        guard let count, count < bytes.count else { return nil }
        target.removeLast(target.count - count)
        return target
    }
}
