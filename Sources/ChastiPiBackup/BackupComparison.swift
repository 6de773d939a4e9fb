import Codec
import Containers
import Disk
import Model
import Workers

/// `diff`: goes through two states in path order, and reads what size and hash do not tell apart.
struct BackupComparison {
    let places: AppPlaces
    let today: Selection
    let pool: ThreadPool
    let run: RunContext

    /// One of the two: a table, and how a file's hash is found.
    private struct Side: Sendable {
        let name: String
        let table: EntryTable
        /// Of the app, files are hashed when they must be.
        let contents: (any BackupContents)?
        var unread: [Skipped] = []
    }

    func compare(_ backup: String, with other: String?) throws -> BackupDifference {
        let before = try side(backup)
        let after = try other.map { try side($0) } ?? live(as: before.contents?.format ?? .folder)
        var (l, r) = (1, 1)
        var pairs: [(Int, Int)] = []
        var changes: [BackupDifference.Change] = []
        while l < before.table.count || r < after.table.count {
            let order =
                l >= before.table.count
                ? 1 : (r >= after.table.count ? -1 : before.table.order(of: l, comparedTo: r, in: after.table))
            if order < 0 {
                changes.append(change(.removed, before.table, l))
            } else if order > 0 {
                changes.append(change(.added, after.table, r))
            } else {
                pairs.append((l, r))
            }
            if order <= 0 { l += 1 }
            if order >= 0 { r += 1 }
        }
        let compared = try compare(pairs, before, after)
        changes += compared.compactMap(\.change)
        return BackupDifference(
            before: before.name, after: after.name, changes: changes.sorted { $0.path < $1.path },
            unread: (before.unread + after.unread + compared.compactMap(\.unread)).sorted { $0.path < $1.path })
    }

    private func side(_ text: String) throws -> Side {
        let found = try places.open(text, pool: pool, in: run)
        return Side(name: printable(text.utf8), table: found.contents.table, contents: found.contents)
    }

    /// The app, as a backup of this format would see it now.
    private func live(as format: BackupFormat) throws -> Side {
        let selection = today
        let walk = try TreeWalk(of: places.app, containers: try places.containers()) { path, kind, parent in
            selection.decision(path, kind: kind, parent: parent)
        }
        let saved = SourceScan.saved(try SourceScan.run(walk, pool: pool, in: run), as: format)
        return Side(name: "the app", table: saved.table, contents: nil, unread: saved.skipped)
    }

    private func change(_ kind: BackupDifference.Kind, _ table: EntryTable, _ index: Int) -> BackupDifference.Change {
        let bytes = table[index].size
        return .init(
            path: table.path(of: index), kind: kind, what: [], bytesBefore: kind == .removed ? bytes : nil,
            bytesAfter: kind == .added ? bytes : nil)
    }

    // MARK: What stands in both

    private struct Compared: Sendable {
        var change: BackupDifference.Change?
        var unread: Skipped?
    }

    private final class Readers {
        let before: (any ContentReader)?
        let after: (any ContentReader)?

        init(_ before: sending (any ContentReader)?, _ after: sending (any ContentReader)?) {
            self.before = before
            self.after = after
        }
    }

    private func compare(_ pairs: [(Int, Int)], _ before: Side, _ after: Side) throws -> [Compared] {
        let total = pairs.lazy.map { before.table[$0.0].size }.saturatingSum()
        let meter = ProgressMeter(.comparing, entries: pairs.count, bytes: total, in: run)
        let readers = PerWorker(pool) {
            Readers(before.contents?.makeReader(stop: run.stop), after.contents?.makeReader(stop: run.stop))
        }
        return try pool.map(pairs.count) { worker, number in
            try run.stop.check()
            let (l, r) = pairs[number]
            defer { meter.advance(entries: 1, bytes: before.table[l].size) { before.table.path(of: l) } }
            return try readers.with(worker) { readers in try compare(l, r, before, after, readers) }
        }
    }

    private func compare(_ l: Int, _ r: Int, _ before: Side, _ after: Side, _ readers: Readers) throws -> Compared {
        let (then, now) = (before.table[l], after.table[r])
        let path = before.table.path(of: l)
        // A directory that is only on the way to something is no entry of its own.
        if then.flags.contains(.ancestor) || now.flags.contains(.ancestor) { return Compared() }
        var what: [String] = []
        var compared = Compared()
        if then.kind != now.kind {
            what.append("kind")
        } else if then.kind != .file && then.kind != .directory {
            if !before.table.hasSameTarget(l, as: r, of: after.table) { what.append("target") }
        } else if then.kind == .file {
            do {
                if try then.size != now.size || !isSameContent(l, r, before, after, readers) { what.append("content") }
            } catch let error as SourceUnreadable {
                compared.unread = Skipped(path: path, reason: error.cause.reason)
            }
        }
        if then.kind == now.kind { what += attributes(l, r, before, after) }
        if !what.isEmpty {
            compared.change = .init(
                path: path, kind: .changed, what: what, bytesBefore: then.size, bytesAfter: now.size)
        }
        return compared
    }

    private func attributes(_ l: Int, _ r: Int, _ before: Side, _ after: Side) -> [String] {
        let (then, now) = (before.table[l], after.table[r])
        var what: [String] = []
        if then.kind != .link && then.mode != now.mode { what.append("mode") }
        // Who owned them was not recorded by others.
        let knowsOwners = [before, after].allSatisfy { $0.contents?.knowsOwners != false }
        if knowsOwners && (then.user != now.user || then.group != now.group) { what.append("owner") }
        if then.modified != now.modified { what.append("time") }
        return what
    }

    private func isSameContent(
        _ l: Int, _ r: Int, _ before: Side, _ after: Side, _ readers: Readers
    ) throws -> Bool {
        // Parts that differ may still be the same bytes, cut at other places.
        if let then = before.contents?.parts(of: l), let now = after.contents?.parts(of: r), then == now { return true }
        if let reader = readers.before, after.contents == nil, !before.table[l].flags.contains(.hashed) {
            let path = after.table.path(of: r)
            do {
                let file = try OpenFile(path.name, in: try places.app.directory(at: path.parent ?? .root))
                if let isSame = try reader.isSame(l, as: file) { return isSame }
            } catch let error as DiskError {
                throw SourceUnreadable(cause: error)
            }
        }
        return try digest(l, before, readers.before) == digest(r, after, readers.after)
    }

    private func digest(_ index: Int, _ side: Side, _ reader: (any ContentReader)?) throws -> SHA256Digest {
        if side.table[index].flags.contains(.hashed) { return side.table[index].digest }
        var hash = SHA256()
        if let reader {
            try reader.read(index) { hash.update($0) }
            return hash.finish()
        }
        let path = side.table.path(of: index)
        let buffer = Buffer(size: 1 << 18)
        do {
            let file = try OpenFile(path.name, in: try places.app.directory(at: path.parent ?? .root))
            try FileCopy.read(file, through: buffer.bytes, stop: run.stop) { hash.update($0) }
        } catch let error as DiskError {
            throw SourceUnreadable(cause: error)
        }
        return hash.finish()
    }
}
