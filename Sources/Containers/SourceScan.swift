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

    /// The saved entries of a scan: without what was left outside, and without what backups of the format do not hold, which is
    /// named.
    package static func saved(
        _ scan: consuming Result, as format: BackupFormat
    ) -> (table: EntryTable, skipped: [Skipped]) {
        var skipped = scan.problems.map { Skipped(path: $0.path, reason: $0.reason) }
        var keep = [Bool](repeating: true, count: scan.table.count)
        for index in 1..<max(1, scan.table.count) {
            let record = scan.table[index]
            if record.flags.contains(.outside) {
                keep[index] = false
                continue
            }
            if let reason = format.denial(of: index, in: scan.table) {
                skipped.append(Skipped(path: scan.table.path(of: index), reason: reason))
                keep[index] = false
            }
        }
        if keep.contains(false) { scan.table.keep { keep[$0] } }
        return (scan.table, skipped.sorted { $0.path < $1.path })
    }
}

extension BackupFormat {
    /// Why backups of this format cannot hold an entry, as a clause; nil if they can.
    package func denial(of index: Int, in table: EntryTable) -> String? {
        let record = table[index]
        if !holds(record.kind) { return "a \(record.kind.name) is not saved" }
        guard self != .repository, record.parent == 0, Manifest.isReserved(table.path(of: index)) else { return nil }
        return "backups have a file of their own under this name"
    }
}
