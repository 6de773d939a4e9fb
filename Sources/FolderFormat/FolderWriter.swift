import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Writes the entries of a plan into a partial directory: every file hashed as it is copied, or shared with the parent.
struct FolderWriter {
    /// What became of the plan.
    struct Written: Sendable {
        /// The entries that the backup holds, as they were read.
        var table: EntryTable
        var held: [Int: Manifest.Held]
        var skipped: [Skipped]
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
        try build.makeDirectories(forEach: pool.forEach)
        let filler = FileFiller(plan, stop: run.stop)
        let meter = ProgressMeter(.saving, entries: plan.table.count, bytes: bytesToRead, in: run)
        let states = PerWorker(pool) { FileFiller.State(plan.makeStoredReader(stop: run.stop)) }
        // What was read is taken over unit by unit, so that it need not be kept twice.
        let shared = Monitor(Progress(written: Written(table: plan.table, held: [:], skipped: plan.skipped)))
        try pool.forEach(build.units.count) { worker, number in
            let unit = build.units[number]
            let filled = try states.with(worker) { state in
                try filler.fill(unit, in: try build.directory(at: unit.directory), &state, meter: meter)
            }
            shared.withLock { $0.take(filled) }
        }
        // All of it leaves the monitor: a second reference would make the next change copy the table.
        var progress = shared.withLock { progress in
            let all = progress
            progress = Progress(
                written: Written(table: EntryTable(root: plan.table[0]), held: [:], skipped: []))
            return all
        }
        try makeHardLinks(build, &progress, filler, states)
        let missing = progress.missing
        var written = progress.written
        written.sharing = filler.sharing
        for index in try finishDirectories(build) {
            written.held[index] = held(index, try build.directory(at: index).status())
        }
        return try compacted(written, without: missing)
    }

    /// Returns those that could not be given all of their attributes.
    private func finishDirectories(_ build: TreeBuild) throws -> [Int] {
        let incomplete = Mutex<[Int]>([])
        try build.finishDirectories(
            ownership: .byNumber(), attributes: plan.table.attributes(of:),
            forEach: pool.forEach,
            unset: { index, _ in incomplete.withLock { $0.append(index) } })
        return incomplete.withLock { $0 }
    }

    private var bytesToRead: UInt64 {
        var bytes: UInt64 = 0
        for index in 0..<plan.table.count where plan.isWritten(index) {
            bytes.add(saturating: plan.table[index].size)
        }
        return bytes
    }

    /// Further names of a file get what the first one got. If that could not be read, the next takes its place; where
    /// the file system makes no further name, a copy does.
    private func makeHardLinks(
        _ build: TreeBuild, _ progress: inout Progress, _ filler: FileFiller, _ states: PerWorker<FileFiller.State>
    ) throws {
        var heirs: [Int: Int] = [:]
        for (link, first) in build.hardLinks {
            let original = progress.missing.contains(first) ? heirs[first] : first
            if let original, try build.makeHardLink(link, to: original) {
                progress.takeOver(original, for: link)
                continue
            }
            let unit = TreeBuild.Unit(copying: link, in: Int(plan.table[link].parent))
            let directory = try build.directory(at: unit.directory)
            progress.take(try states.with(0) { state in try filler.fill(unit, in: directory, &state, meter: nil) })
            if original == nil, !progress.missing.contains(link) { heirs[first] = link }
        }
    }

    private func held(_ index: Int, _ status: FileStatus) -> Manifest.Held {
        let hasExtended = !plan.table.extended(of: index).isEmpty
        return .init(user: status.user, group: status.group, mode: status.mode, lacksExtended: hasExtended)
    }

    private func compacted(_ written: Written, without missing: Set<Int>) throws -> Written {
        guard !missing.isEmpty else { return written }
        var result = written
        result.table = written.table.filtered { !missing.contains($0) }
        result.held = [:]
        for (index, held) in written.held {
            if let moved = result.table.index(of: written.table.path(of: index)) { result.held[moved] = held }
        }
        return result
    }
}

/// What has become of a plan so far.
private struct Progress: Sendable {
    var written: FolderWriter.Written
    /// Entries that could not be read, by index.
    var missing: Set<Int> = []

    mutating func take(_ unit: FilledUnit) {
        written.sharedFiles += unit.sharedFiles
        for entry in unit.entries { take(entry) }
    }

    mutating func take(_ entry: FilledEntry) {
        if let skipped = entry.skipped {
            written.skipped.append(skipped)
            if !skipped.isKept {
                missing.insert(entry.index)
                return
            }
        }
        if let record = entry.record {
            // Where the entry stands in the table stays; what was read of it is newer than the walk.
            written.table[entry.index].take(record)
            written.table.setExtended(entry.extended, of: entry.index)
        }
        if let held = entry.held { written.held[entry.index] = held }
        written.bytesWritten.add(saturating: entry.bytesWritten)
    }
}

extension Progress {
    /// A further name has what the first one has.
    fileprivate mutating func takeOver(_ first: Int, for link: Int) {
        written.table[link].take(written.table[first])
        written.table.setExtended(written.table.extended(of: first), of: link)
        written.held[link] = written.held[first]
    }
}

/// What became of the entries of one unit: those of which nothing but the plan is to be told are only counted.
struct FilledUnit: Sendable {
    private(set) var entries: [FilledEntry] = []
    private(set) var sharedFiles = 0

    mutating func add(_ entry: FilledEntry) {
        if entry.isShared { sharedFiles += 1 }
        let tellsNothing = entry.record == nil && entry.held == nil && entry.skipped == nil && entry.bytesWritten == 0
        if !tellsNothing { entries.append(entry) }
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
