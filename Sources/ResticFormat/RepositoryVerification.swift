import Codec
import Containers
import Model
import Storage
import Workers

extension RepositoryContents {
    /// Reads each blob once, in the order of packs.
    package func verify(
        percent: Double, choice: UInt64, pool: ThreadPool, in run: RunContext
    ) throws -> VerifiedBackup {
        let sample = Sample(percent: percent, choice: choice)
        var files: [Int] = []
        if percent > 0 { files = table.indices(where: { $0.kind == .file }).filter { sample.contains($0) } }
        let damage = try damagedBlobs(of: Set(files.lazy.flatMap { self.content(of: $0) }), pool, run)
        var verified = VerifiedBackup(files: files.count)
        for file in files {
            verified.bytes.add(saturating: table[file].size)
            let content = content(of: file)
            let path = table.path(of: file).description
            if let reason = content.lazy.compactMap({ damage.reasons[$0] }).first {
                verified.findings.append(Finding(.damage, path, reason))
            } else if content.reduce(0, { $0 + (damage.sizes[$1] ?? 0) }) != table[file].size {
                verified.findings.append(Finding(.damage, path, "its content has not the size that is recorded"))
            }
        }
        return verified
    }

    private struct Damage: Sendable {
        var reasons: [SHA256Digest: String] = [:]
        var sizes: [SHA256Digest: UInt64] = [:]
    }

    private func damagedBlobs(of ids: Set<SHA256Digest>, _ pool: ThreadPool, _ run: RunContext) throws -> Damage {
        var damage = Damage()
        var places: [(id: SHA256Digest, location: BlobIndex.Location)] = []
        for id in ids {
            if let location = index.first(BlobKey(.data, id)) {
                places.append((id, location))
                damage.sizes[id] = UInt64(location.place.contentLength)
            } else {
                damage.reasons[id] = "the index does not have a part of it (\(id.shortHex))"
            }
        }
        places.sort { a, b in
            a.location.pack == b.location.pack
                ? a.location.place.offset < b.location.place.offset : a.location.pack.precedes(b.location.pack)
        }
        let sorted = places
        let meter = ProgressMeter(
            .verifying, entries: sorted.count, bytes: damage.sizes.values.saturatingSum(), in: run)
        let readers = PerWorker(pool) { BlobReader(repository, index) }
        let size = 32
        let found = try pool.map((sorted.count + size - 1) / size) { worker, number in
            try readers.with(worker) { reader in
                var damaged: [(SHA256Digest, String)] = []
                for (id, location) in sorted[number * size..<min(sorted.count, (number + 1) * size)] {
                    try run.stop.check()
                    do {
                        try reader.with(BlobKey(.data, id)) { _ in }
                    } catch let error as FormatError {
                        damaged.append((id, error.description))
                    } catch let error as StorageError {
                        throw BackupError(error)
                    }
                    meter.advance(entries: 1, bytes: UInt64(location.place.contentLength)) { .root }
                }
                return damaged
            }
        }
        for (id, reason) in found.joined() { damage.reasons[id] = reason }
        return damage
    }
}
