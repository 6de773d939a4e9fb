import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Writes the entries of a plan into a partial directory: every file hashed as it is copied, or shared with the parent.
struct FolderWriter {
    /// What became of the plan.
    struct Written {
        /// The entries that the backup holds, as they were read.
        var table: EntryTable
        var held: [Int: Manifest.Held]
        var skipped: [Skipped]
        /// Indices of entries that could not be read.
        var missing: Set<Int> = []
        var sharedFiles = 0
        var bytesWritten: UInt64 = 0
        var sharing = BackupMetadata.Sharing.none
    }

    private let plan: SourcePlan
    private let target: Directory
    private let pool: ThreadPool
    private let run: RunContext

    init(_ plan: SourcePlan, to target: Directory, pool: ThreadPool, in run: RunContext) {
        self.plan = plan
        self.target = target
        self.pool = pool
        self.run = run
    }

    func write() throws -> Written {
        let build = TreeBuild(Array(0..<plan.table.count), of: plan.table, in: target)
        try build.makeDirectories()
        let filler = FileFiller(plan, stop: run.stop)
        let meter = ProgressMeter(.saving, entries: plan.table.count, bytes: bytesToRead, in: run)
        let states = PerWorker(pool) { FileFiller.State() }
        // Unit by unit: a list of all results would take more memory than everything else.
        let collected = Collected(Written(table: plan.table, held: [:], skipped: plan.skipped))
        try pool.forEach(build.units.count) { worker, number in
            let unit = build.units[number]
            let filled = try states.with(worker) { state in
                try filler.fill(unit, in: try build.directory(at: unit.directory), &state, meter: meter)
            }
            collected.written.withLock { written in
                for entry in filled { take(entry, into: &written) }
            }
        }
        var written = collected.take()
        written.sharing = filler.sharing
        try makeHardLinks(build, &written, filler, states)
        var incomplete: [Int] = []
        try build.finishDirectories(ownership: .byNumber(), attributes: plan.table.attributes(of:)) { index, _ in
            incomplete.append(index)
        }
        for index in incomplete { written.held[index] = held(index, try build.directory(at: index).status()) }
        return try compacted(written)
    }

    private var bytesToRead: UInt64 {
        var bytes: UInt64 = 0
        for index in 0..<plan.table.count where plan.content(of: index) == .file { bytes += plan.table[index].size }
        return bytes
    }

    private func take(_ entry: FilledEntry, into written: inout Written) {
        if let skipped = entry.skipped {
            written.skipped.append(skipped)
            if !skipped.isKept {
                written.missing.insert(entry.index)
                return
            }
        }
        if let record = entry.record {
            // Where the entry stands in the table stays; what was read of it is newer than the walk.
            written.table[entry.index].take(record)
            written.table.setExtended(entry.extended, of: entry.index)
        }
        if let held = entry.held { written.held[entry.index] = held }
        if entry.isShared { written.sharedFiles += 1 }
        written.bytesWritten += entry.bytesWritten
    }

    /// Further names of a file get what the first one got. If that could not be read, the next takes its place; where
    /// the file system makes no further name, a copy does.
    private func makeHardLinks(
        _ build: TreeBuild, _ written: inout Written, _ filler: FileFiller, _ states: PerWorker<FileFiller.State>
    ) throws {
        var heirs: [Int: Int] = [:]
        for (link, first) in build.hardLinks {
            let original = written.missing.contains(first) ? heirs[first] : first
            if let original, try build.makeHardLink(link, to: original) {
                written.table[link].take(written.table[original])
                written.table.setExtended(written.table.extended(of: original), of: link)
                written.held[link] = written.held[original]
                continue
            }
            let unit = TreeBuild.Unit(copying: link, in: Int(plan.table[link].parent))
            let directory = try build.directory(at: unit.directory)
            let copies = try states.with(0) { state in try filler.fill(unit, in: directory, &state, meter: nil) }
            for copy in copies { take(copy, into: &written) }
            if original == nil, !written.missing.contains(link) { heirs[first] = link }
        }
    }

    private func held(_ index: Int, _ status: FileStatus) -> Manifest.Held {
        let hasExtended = !plan.table.extended(of: index).isEmpty
        return .init(user: status.user, group: status.group, mode: status.mode, lacksExtended: hasExtended)
    }

    private func compacted(_ written: consuming Written) throws -> Written {
        guard !written.missing.isEmpty else { return written }
        let all = written.table
        let (missing, held) = (written.missing, written.held)
        written.table = try all.filtered { !missing.contains($0) }
        written.held = [:]
        for (index, held) in held {
            if let moved = written.table.index(of: all.path(of: index)) { written.held[moved] = held }
        }
        return written
    }
}

/// What workers put together.
private final class Collected: Sendable {
    let written: Mutex<FolderWriter.Written>

    init(_ written: FolderWriter.Written) {
        self.written = Mutex(written)
    }

    /// Everything, of which nothing stays here: a second reference would make the next change copy all of it.
    func take() -> FolderWriter.Written {
        written.withLock { written in
            let taken = written
            written = FolderWriter.Written(
                table: EntryTable(root: EntryRecord(kind: .directory)), held: [:], skipped: [])
            return taken
        }
    }
}

/// What became of one file or link.
struct FilledEntry: Sendable {
    let index: Int
    /// As it was read; nil if the plan's record is right.
    var record: EntryRecord?
    var extended: [ExtendedAttribute] = []
    var held: Manifest.Held?
    var skipped: Skipped?
    var isShared = false
    var bytesWritten: UInt64 = 0
}
