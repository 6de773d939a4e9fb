import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

extension FolderContents {
    package func verify(
        percent: Double, choice: UInt64, pool: ThreadPool, in run: RunContext
    ) throws -> VerifiedBackup {
        try FolderVerification(contents: self, pool: pool, run: run).verify(Sample(percent: percent, choice: choice))
    }
}

/// Reads a folder back and compares it with its manifest.
private struct FolderVerification {
    let contents: FolderContents
    let pool: ThreadPool
    let run: RunContext

    func verify(_ sample: Sample) throws -> VerifiedBackup {
        let found = try scan(contents)
        var comparison = FolderComparison(contents, found.table)
        comparison.walk()
        for problem in found.problems {
            comparison.findings.append(Finding(.damage, problem.path.description, "cannot be read: \(problem.reason)"))
        }
        let files = comparison.files.filter { sample.contains($0.found) }
        return try read(files, contents, found.table, comparison.findings)
    }

    private func scan(_ contents: FolderContents) throws -> SourceScan.Result {
        let walk = try TreeWalk(of: contents.directory, containers: [], honorsMarker: false) { path, _, _ in
            let isOurs =
                path.elementsEqual(BackupMetadata.fileName.utf8) || path.elementsEqual(Manifest.fileName.utf8)
            return isOurs ? .ignore : .take
        }
        return try SourceScan.run(walk, pool: pool, in: run)
    }

    /// Largest first, so that no thread ends with a large file while the others have nothing left to do.
    private func read(
        _ files: [FolderComparison.File], _ contents: FolderContents, _ found: EntryTable, _ findings: [Finding]
    ) throws -> VerifiedBackup {
        let files = files.sorted { found[$0.found].size > found[$1.found].size }
        let total = files.map { found[$0.found].size }.saturatingSum()
        let meter = ProgressMeter(.verifying, entries: files.count, bytes: total, in: run)
        let states = PerWorker(pool) { ReadBuffer() }
        let results = try pool.map(files.count) { worker, number in
            let file = files[number]
            try run.stop.check()
            let findings = try states.with(worker) { state in
                try read(file, contents, found, &state)
            }
            meter.advance(entries: 1, bytes: found[file.found].size) { found.path(of: file.found) }
            return findings
        }
        var verified = VerifiedBackup(findings: findings, files: files.count, bytes: total)
        verified.findings += results.flatMap { $0 }
        verified.findings.sort { ($0.subject, $0.message) < ($1.subject, $1.message) }
        return verified
    }

    private func read(
        _ file: FolderComparison.File, _ contents: FolderContents, _ found: EntryTable, _ state: inout ReadBuffer
    ) throws -> [Finding] {
        let path = found.path(of: file.found)
        do {
            let directory = try contents.directory.directory(at: path.parent ?? .root)
            let opened = try OpenFile(path.name, in: directory)
            try FileCopy.read(opened, through: state.buffer.bytes, stop: run.stop) { state.hash.update($0) }
            let digest = state.hash.finish()
            guard let listed = file.listed else { return [] }
            if digest != contents.table[listed].digest {
                return [Finding(.damage, path.description, "its content is not what was backed up")]
            }
            let extended = try FileAttributes.extended(of: opened.descriptor)
            let lacks = contents.manifest?.held[listed]?.lacksExtended ?? false
            if !lacks && extended != contents.table.extended(of: listed) {
                return [Finding(.note, path.description, "its extended attributes differ from the recorded ones")]
            }
            return []
        } catch let error as SourceUnreadable {
            state.hash.reset()
            return [Finding(.damage, path.description, "cannot be read: \(error.cause.reason)")]
        } catch let error as DiskError {
            state.hash.reset()
            return [Finding(.damage, path.description, "cannot be read: \(error.reason)")]
        }
    }
}

/// Compares what is in a backup's folder with what its manifest lists, by everything but content.
struct FolderComparison {
    /// A file to be read: its index in what was found, and in the manifest's table.
    struct File: Sendable {
        let found: Int
        let listed: Int?
    }

    private let contents: FolderContents
    private let found: EntryTable
    var findings: [Finding] = []
    private(set) var files: [File] = []

    init(_ contents: FolderContents, _ found: EntryTable) {
        self.contents = contents
        self.found = found
    }

    mutating func walk() {
        guard contents.manifest != nil else { return walkOriginal() }
        checkCounts()
        let listed = contents.table
        var (l, f) = (1, 1)
        while l < listed.count || f < found.count {
            let order = l >= listed.count ? 1 : (f >= found.count ? -1 : listed.order(of: l, comparedTo: f, in: found))
            if order < 0 {
                findings.append(Finding(.damage, listed.path(of: l).description, "missing"))
            } else if order > 0 {
                findings.append(Finding(.damage, found.path(of: f).description, "not in the manifest"))
            } else {
                compare(listed: l, found: f)
            }
            if order <= 0 { l += 1 }
            if order >= 0 { f += 1 }
        }
    }

    private mutating func compare(listed l: Int, found f: Int) {
        let (then, now) = (contents.table[l], found[f])
        let path = found.path(of: f).description
        guard then.kind == now.kind else {
            findings.append(Finding(.damage, path, "a \(now.kind.name) where a \(then.kind.name) was backed up"))
            return
        }
        if then.kind == .link && !found.hasSameTarget(f, as: l, of: contents.table) {
            findings.append(Finding(.damage, path, "the link points elsewhere"))
        }
        if then.kind == .file {
            if then.size != now.size {
                findings.append(Finding(.damage, path, "\(now.size) bytes where \(then.size) were backed up"))
            } else {
                files.append(File(found: f, listed: l))
            }
        }
        // What a restore gives back stands in the manifest, so these are worth knowing but no loss.
        let held = contents.manifest?.held[l]
        var differs: [String] = []
        if then.kind != .link && now.mode != held?.mode ?? then.mode { differs.append("mode") }
        if now.user != held?.user ?? then.user || now.group != held?.group ?? then.group { differs.append("owner") }
        if now.modified != then.modified { differs.append("time") }
        if !differs.isEmpty {
            findings.append(Finding(.note, path, "\(differs.joined(separator: ", ")) of the stored entry changed"))
        }
    }

    private mutating func checkCounts() {
        guard let details = contents.metadata.details else {
            findings.append(
                Finding(.damage, BackupMetadata.fileName, "it has the original tool's keys beside a manifest"))
            return
        }
        if !details.counts(contents.table) {
            findings.append(Finding(.damage, BackupMetadata.fileName, "its counts are not those of the manifest"))
        }
    }

    /// Without a manifest: everything can be read, and the items are there.
    private mutating func walkOriginal() {
        findings.append(
            Finding(.note, contents.name, "made by the original tool: without a manifest content cannot be compared"))
        for index in 1..<max(1, found.count) where found[index].kind == .file {
            files.append(File(found: index, listed: nil))
        }
        for item in contents.metadata.items where found.index(of: item) == nil {
            findings.append(Finding(.damage, item.description, "missing"))
        }
    }
}
