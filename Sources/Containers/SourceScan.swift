import Disk
import Model
import Workers

/// Walks a source with all threads of a pool.
package enum SourceScan {
    package struct Result: Sendable {
        /// In path order, with what was left outside.
        package var table: EntryTable
        /// What could not be read.
        package let problems: [TreeWalk.Problem]
    }

    package static func run(_ walk: TreeWalk, pool: ThreadPool, in run: RunContext) throws -> Result {
        var walk = walk
        var entries = 0
        let meter = ProgressMeter(.scanning, entries: 0, bytes: 0, in: run)
        while !walk.pending.isEmpty {
            let current = walk
            let pending = walk.pending
            let listings = try pool.map(pending.count) { _, index in
                try run.stop.check()
                return current.list(pending[index])
            }
            walk.absorb(listings)
            entries += pending.count
            meter.advance(entries: pending.count) { .root }
        }
        let problems = walk.problems
        return Result(table: try walk.table(), problems: problems)
    }

    /// The saved entries of a scan: without what was left outside, and without what backups do not hold, which is named.
    package static func saved(_ scan: consuming Result) -> (table: EntryTable, skipped: [Skipped]) {
        var skipped = scan.problems.map { Skipped(path: $0.path, reason: $0.reason) }
        var keep = [Bool](repeating: true, count: scan.table.count)
        for index in 1..<max(1, scan.table.count) {
            let record = scan.table[index]
            if record.flags.contains(.outside) {
                keep[index] = false
                continue
            }
            if !record.kind.isSaved {
                skipped.append(
                    Skipped(path: scan.table.path(of: index), reason: "a \(record.kind.name) is not saved"))
                keep[index] = false
            } else if record.parent == 0, Manifest.isReserved(scan.table.path(of: index)) {
                skipped.append(
                    Skipped(
                        path: scan.table.path(of: index), reason: "backups have a file of their own under this name"))
                keep[index] = false
            }
        }
        if keep.contains(false) { scan.table.keep { keep[$0] } }
        return (scan.table, skipped.sorted { $0.path < $1.path })
    }
}
