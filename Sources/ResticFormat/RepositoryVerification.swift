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
        let damaged = try damagedBlobs(of: files, pool, run)
        var verified = VerifiedBackup(files: files.count)
        for file in files {
            verified.bytes.add(saturating: table[file].size)
            var reason: String?
            var size: UInt64 = 0
            for id in content(of: file) {
                if let number = index.number(of: BlobKey(.data, id)) {
                    size.add(saturating: UInt64(index.place(number).contentLength))
                    reason = reason ?? damaged[number]
                } else {
                    reason = reason ?? "the index does not have a part of it (\(id.shortHex))"
                }
            }
            if reason == nil, size != table[file].size { reason = "its content has not the size that is recorded" }
            if let reason { verified.findings.append(Finding(.damage, table.path(of: file).description, reason)) }
        }
        return verified
    }

    /// What is wrong with blobs of the files, by their numbers in the index.
    private func damagedBlobs(
        of files: [Int], _ pool: ThreadPool, _ run: RunContext
    ) throws -> [Int: String] {
        let blobs = blobsInOrder(of: files)
        let bytes = blobs.lazy.map { UInt64(self.index.place(Int($0)).contentLength) }
        let meter = ProgressMeter(.verifying, entries: blobs.count, bytes: bytes.saturatingSum(), in: run)
        let (repository, index) = (repository, index)
        let readers = PerWorker(pool) { BlobReader(repository, index) }
        let size = 32
        let found = try pool.map((blobs.count + size - 1) / size) { worker, batch in
            try readers.with(worker) { reader in
                var damaged: [(Int, String)] = []
                for number in blobs[batch * size..<min(blobs.count, (batch + 1) * size)].lazy.map({ Int($0) }) {
                    try run.stop.check()
                    do {
                        try reader.with(index.key(number)) { _ in }
                    } catch let error as FormatError {
                        damaged.append((number, error.description))
                    } catch let error as StorageError {
                        throw BackupError(error)
                    }
                    meter.advance(entries: 1, bytes: UInt64(index.place(number).contentLength)) { .root }
                }
                return damaged
            }
        }
        return Dictionary(found.joined()) { first, _ in first }
    }

    /// The numbers of the blobs that the index has, each once, in the order of packs.
    private func blobsInOrder(of files: [Int]) -> [UInt32] {
        var marks = BlobMarks(size: index.count)
        for file in files {
            for id in content(of: file) {
                if let number = index.number(of: BlobKey(.data, id)) { marks.insert(number) }
            }
        }
        var blobs: [UInt32] = []
        blobs.reserveCapacity(marks.count)
        for number in 0..<index.count where marks.contains(number) { blobs.append(UInt32(number)) }
        blobs.sort { a, b in
            let (a, b) = (Int(a), Int(b))
            let packs = (index.packNumber(a), index.packNumber(b))
            return packs.0 == packs.1 ? index.place(a).offset < index.place(b).offset : packs.0 < packs.1
        }
        return blobs
    }
}
