import Codec
import Containers
import Disk
import Model
import Workers

extension ZipContents {
    package func verify(
        percent: Double, choice: UInt64, pool: ThreadPool, in run: RunContext
    ) throws -> VerifiedBackup {
        try ZipVerification(contents: self, pool: pool, run: run).verify(
            Sample(percent: percent, choice: choice), isWhole: percent >= 100)
    }
}

extension ZipContents {
    /// Headers have no hashes of their own, nor have directories and links: the seal alone covers them.
    package func checkRest(stop: StopFlag) throws {
        guard seal != nil else { return }
        do {
            guard try file.isSealed(stop: stop) else { throw ZipError.damaged(ZipSeal.broken) }
        } catch {
            throw Self.told(error, name, isSealed: true)
        }
        if let details = metadata.details, !details.counts(table) {
            throw Self.damaged(name, "the counts in \(BackupMetadata.fileName) are not those of the manifest")
        }
    }

}

extension ZipFile {
    /// Whether the hash of all bytes before the comment is the one in the comment.
    func isSealed(stop: StopFlag) throws -> Bool {
        let buffer = Buffer(size: 1 << 20)
        var hash = SHA256()
        var position: UInt64 = 0
        let end = directory.end.commentAt
        while position < end {
            try stop.check()
            let size = Int(min(UInt64(buffer.bytes.count), end - position))
            let piece = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<size])
            let count = try read(at: position, into: piece)
            if count == 0 { break }
            hash.update(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(piece)[..<count]))
            position += UInt64(count)
        }
        return hash.finish() == ZipSeal.read(directory.end.comment)
    }
}

/// Reads a zip back: its bytes against the seal in its comment, and each member against the manifest.
private struct ZipVerification {
    let contents: ZipContents
    let pool: ThreadPool
    let run: RunContext

    func verify(_ sample: Sample, isWhole: Bool) throws -> VerifiedBackup {
        let table = contents.table
        let chosen = (1..<max(1, table.count)).filter { table[$0].kind != .directory && sample.contains($0) }
        // Largest first, so that no thread ends with a large one while the others have nothing left to do.
        let entries = chosen.sorted { table[$0].size > table[$1].size }
        let total = entries.lazy.map { table[$0].size }.saturatingSum()
        let meter = ProgressMeter(.verifying, entries: entries.count, bytes: total, in: run)
        let readers = PerWorker(pool) { ZipMemberReader(contents.file, contents.password, stop: run.stop) }
        // The whole file is one more thing to read, beside the members.
        let isSealChecked = isWhole && contents.seal != nil
        let findings = try pool.map(entries.count + 1) { worker, number in
            try run.stop.check()
            if number == 0 { return isSealChecked ? try checkSeal() : [] }
            let index = entries[number - 1]
            let finding = try readers.with(worker) { reader in try check(index, reader) }
            meter.advance(entries: 1, bytes: table[index].size) { table.path(of: index) }
            return finding.map { [$0] } ?? []
        }
        var verified = VerifiedBackup(
            findings: facts() + findings.flatMap { $0 }, files: entries.filter { table[$0].kind == .file }.count,
            bytes: total)
        verified.findings.sort { ($0.subject, $0.message) < ($1.subject, $1.message) }
        return verified
    }

    /// What is known without reading members.
    private func facts() -> [Finding] {
        if let details = contents.metadata.details {
            if details.counts(contents.table) { return [] }
            return [Finding(.damage, BackupMetadata.fileName, "its counts are not those of the manifest")]
        }
        let whose = contents.isPlain ? "not made as a backup" : "made by the original tool"
        var findings = [
            Finding(.note, contents.name, "\(whose): without a manifest content can only be compared with its CRCs")
        ]
        for item in contents.metadata.items where contents.table.index(of: item) == nil {
            findings.append(Finding(.damage, item.description, "missing"))
        }
        return findings
    }

    private func checkSeal() throws -> [Finding] {
        do {
            return try contents.file.isSealed(stop: run.stop)
                ? [] : [Finding(.damage, contents.name, ZipSeal.broken)]
        } catch let error as DiskError {
            return [Finding(.damage, contents.name, "cannot be read: \(error.reason)")]
        }
    }

    private func check(_ index: Int, _ reader: ZipMemberReader) throws -> Finding? {
        let table = contents.table
        let path = table.path(of: index).description
        do {
            let member = try contents.member(of: index)
            if table[index].kind == .link {
                let target = try reader.bytes(member, limit: 4096)
                return target == table.target(of: index) ? nil : Finding(.damage, path, "the link points elsewhere")
            }
            var hash = SHA256()
            try reader.read(member) { hash.update($0) }
            let isSame = hash.finish() == table[index].digest
            return isSame || !table[index].flags.contains(.hashed)
                ? nil : Finding(.damage, path, "its content is not what was backed up")
        } catch let error as ZipError {
            return Finding(.damage, path, error.description)
        } catch let error as DiskError {
            return Finding(.damage, path, "cannot be read: \(error.reason)")
        }
    }
}
