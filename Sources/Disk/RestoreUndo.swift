import Model

/// What an undo (or a redo) will do.
package struct UndoPlan: Sendable {
    let journal: RestoreJournal
    let previous: RestoreState.Transaction

    /// The note of the restore.
    package var note: [UInt8] { journal.note }
    /// Whether this takes the restore back; else it brings it again.
    package var isUndo: Bool { journal.number % 2 == 0 }
    /// The places that are exchanged, in order: whether something stands there now, and whether something will.
    package var steps: [ExchangePlan.Step] {
        journal.steps.map { .init(place: $0.place, removes: $0.old != nil, brings: $0.new != nil) }
    }
    /// What stands at the places now.
    package var displaced: [(place: EntryPath, listing: EntryTable)] {
        journal.steps.compactMap { step in step.old.map { (step.place, $0) } }
    }
    /// What was changed, made or removed at the places since the last exchange: it is displaced with the rest, and the
    /// next undo brings it back.
    package let changedSince: [EntryPath]
    /// Directories whose mode, owner or attributes were changed since: they stay so.
    package let attributesKept: [EntryPath]
}

extension RestoreTransaction {
    /// What ``apply(_:in:)`` would exchange (U1-U4). Changes nothing.
    package static func planUndo(in folders: RestoreFolders) throws -> UndoPlan {
        guard folders.state.phase == .settled, let last = folders.state.current else {
            throw BackupError(.nothingToUndo, "there is no restore to undo")
        }
        let done = try folders.journal(of: last)
        try folders.use(done, then: "run undo")
        let number = done.number + 1
        let waiting = RestoreSide.waiting(in: number)
        let paths = AppPaths(folders.app)
        var journal = RestoreJournal(
            id: done.id, number: number, note: done.note, mounts: done.mounts, directories: [], steps: [])
        var changed: [EntryPath] = []
        for step in done.steps.reversed() {
            let mirror = try folders.volume(of: step.place).mirror(of: step.place, in: waiting, of: done.id)
            var new = try mirror.flatMap { try RestoreListing.read(step.place.name, in: $0) }
            let old = try paths.parent(of: step.place).flatMap { try RestoreListing.read(step.place.name, in: $0) }
            // A directory was opened up to be moved: what it had before is what it shall have again (U2).
            if let mode = step.old?[0].mode, new?[0].kind == .directory, new?[0].mode == mode | 0o700 {
                new?[0].mode = mode
            }
            changed += differences(at: step.place, recorded: step.new, found: old)
            if old != nil || new != nil { journal.steps.append(.init(place: step.place, old: old, new: new)) }
        }
        let logs = try logs(besides: done, waiting, in: folders)
        journal.steps.insert(contentsOf: logs, at: 0)
        changed += logs.map(\.place)
        let kept = try addDirectories(to: &journal, from: done, in: folders)
        return UndoPlan(journal: journal, previous: last, changedSince: changed, attributesKept: kept)
    }

    /// Companions that databases have got since: they belong to what goes, and go with it; the next undo brings them back.
    private static func logs(
        besides done: RestoreJournal, _ waiting: RestoreSide, in folders: RestoreFolders
    ) throws -> [RestoreJournal.Step] {
        let places = Set(done.steps.map(\.place))
        let paths = AppPaths(folders.app)
        var logs: [RestoreJournal.Step] = []
        for step in done.steps {
            guard let parent = try paths.parent(of: step.place) else { continue }
            let mirror = try folders.volume(of: step.place).mirror(of: step.place, in: waiting, of: done.id)
            for log in try DatabaseFiles.logs(of: step.place, in: parent, replacedFrom: mirror)
            where !places.contains(log) {
                if let old = try RestoreListing.read(log.name, in: parent) {
                    logs.append(.init(place: log, old: old, new: nil))
                }
            }
        }
        return logs
    }

    /// Exchanges the places again (U5). No safety backup is needed: nothing is deleted.
    package static func apply(_ plan: UndoPlan, in folders: RestoreFolders) throws -> ExchangeOutcome {
        try folders.sync(nil)
        try folders.write(plan.journal)
        return try apply(plan.journal, previous: plan.previous, in: folders)
    }

    /// Gives up all that restores keep (U6).
    package static func discard(in folders: RestoreFolders) throws {
        guard folders.state.phase == .settled || folders.state.phase == .idle else {
            throw BackupError(.recoveryPending, "a restore was interrupted", advice: "Run recover first")
        }
        try folders.write(folders.state.with(.idle, nil, nil))
        do {
            try RestoreGarbage.discardAll(in: folders)
        } catch {
            throw BackupError(
                .system, "not everything that was kept could be removed: \(error)",
                advice: "It cannot be undone any more. Mend that (see lsattr) and run it again")
        }
    }

    /// U3: returns the directories whose attributes someone changed.
    private static func addDirectories(
        to journal: inout RestoreJournal, from done: RestoreJournal, in folders: RestoreFolders
    ) throws -> [EntryPath] {
        var kept: [EntryPath] = []
        let paths = AppPaths(folders.app)
        for line in done.directories {
            let now = try paths.attributes(at: line.path)
            var new = line.old
            // Only the time is ours to put back where someone changed the rest.
            if let now, let brought = line.new, var wanted = line.old, !now.isSameButTime(as: brought) {
                wanted = Attributes(
                    mode: now.mode, user: now.user, group: now.group, modified: wanted.modified, extended: now.extended)
                new = wanted
                kept.append(line.path)
            }
            if now != nil || new != nil {
                journal.directories.append(.init(path: line.path, old: now, new: new))
            }
        }
        return kept
    }

    /// The paths at and below a place that are not as the last exchange left them (U4).
    private static func differences(
        at place: EntryPath, recorded: EntryTable?, found: EntryTable?
    ) -> [EntryPath] {
        guard let recorded, let found else { return recorded == nil && found == nil ? [] : [place] }
        var changed: [EntryPath] = []
        for index in 0..<found.count {
            let path = found.path(of: index)
            let same = recorded.index(of: path).map { isSame(found[index], recorded[$0]) } ?? false
            if !same { changed.append(place.appending(path)) }
        }
        for index in 0..<recorded.count where found.index(of: recorded.path(of: index)) == nil {
            changed.append(place.appending(recorded.path(of: index)))
        }
        return changed
    }

    /// A directory's time changes with its entries, which speak for themselves.
    private static func isSame(_ a: EntryRecord, _ b: EntryRecord) -> Bool {
        a.kind == b.kind && (a.kind == .directory || a.size == b.size && a.modified == b.modified)
    }
}

extension Attributes {
    fileprivate func isSameButTime(as other: Attributes) -> Bool {
        mode == other.mode && user == other.user && group == other.group && extended == other.extended
    }
}
