import Model

/// What a restore exchanges; the upper floor has compared the backup with the app and decided (spec section 3).
package struct ExchangePlan: Sendable {
    package struct Step: Sendable {
        package let place: EntryPath
        /// Whether something stands there now, and whether something will.
        package let removes: Bool
        package let brings: Bool

        package init(place: EntryPath, removes: Bool, brings: Bool) {
            self.place = place
            self.removes = removes
            self.brings = brings
        }
    }

    /// No place lies below another (P1).
    package var steps: [Step]
    /// Directories that exist before and after and get these attributes.
    package var directories: [EntryPath: Attributes]
    /// Where other file systems are mounted below the app.
    package var mounts: [EntryPath]

    package init(steps: [Step], directories: [EntryPath: Attributes], mounts: [EntryPath]) {
        self.steps = steps
        self.directories = directories
        self.mounts = mounts
    }

    package var isEmpty: Bool { steps.isEmpty && directories.isEmpty }

    /// P8: removals, replacements, additions; among each, a database's companions first; then by path.
    fileprivate var ordered: [Step] {
        steps.sorted { a, b in
            let (x, y) = (Self.rank(a), Self.rank(b))
            return x == y ? a.place < b.place : x < y
        }
    }

    private static func rank(_ step: Step) -> Int {
        let group = step.brings ? (step.removes ? 1 : 2) : 0
        let isCompanion = DatabaseFiles.companionSuffixes.contains {
            step.place.bytes.suffix($0.utf8.count).elementsEqual($0.utf8)
        }
        return group * 2 + (isCompanion ? 0 : 1)
    }
}

/// Where the new entries of one file system are put together before the exchange.
package struct StagingFolder: Sendable {
    /// Where the file system is mounted, relative to the app.
    package let mount: EntryPath
    /// The entry for place `a/b` belongs at `a/b` below this directory; the parents of places are there already.
    package let directory: Directory
}

/// How an exchange ended. In each case the tree is exactly the old or exactly the new one.
package enum ExchangeOutcome: Sendable {
    /// The new tree is in place.
    case done(ExchangeReport)
    /// Something failed, and the old tree is back.
    case takenBack(ExchangeReport, because: any Error)
    /// Something failed, and only going on was possible: the new tree is in place.
    case finished(ExchangeReport, despite: any Error)
}

/// All or nothing: a crash or an error at any instant ends, after ``recover(_:)``, in the old or in the new tree
/// (promises 6-8, spec section 4).
package enum RestoreTransaction {
    /// Stages with `stage`, then journals, calls `beforeApplying` (the safety backup, the last look at the stop flag), and
    /// applies. Whatever is thrown, nothing of the app has changed.
    ///
    /// - `note`: opaque bytes of the upper floor, kept in the journal.
    /// - `admit`: looks at the listing of what is to be displaced from a place, and throws if something in it may not be.
    package static func run(
        _ plan: ExchangePlan, note: [UInt8], in folders: RestoreFolders,
        stage: ([StagingFolder]) throws -> Void,
        admit: (_ place: EntryPath, _ displaced: EntryTable) throws -> Void,
        beforeApplying: () throws -> Void
    ) throws -> ExchangeOutcome {
        let steps = plan.ordered
        let used = plan.mounts.filter { mount in steps.contains { ($0.place.parent ?? .root).isAtOrBelow(mount) } }
        try folders.use(mounts: used, making: true)
        let id = folders.random(16)
        let journal: RestoreJournal
        do {
            journal = try prepare(
                plan, steps, id: id, note: note, mounts: used, in: folders, stage: stage, admit: admit)
            try beforeApplying()
        } catch {
            // S8: what no state names is garbage; if that cannot be removed now, the next run removes it.
            var unapplied = ExchangeReport()
            RestoreGarbage.collect(in: folders, &unapplied)
            throw error
        }
        let settled = folders.state.phase == .settled ? folders.state.current : nil
        return try apply(journal, previous: settled, in: folders)
    }

    /// S3-S5
    private static func prepare(
        _ plan: ExchangePlan, _ steps: [ExchangePlan.Step], id: String, note: [UInt8], mounts: [EntryPath],
        in folders: RestoreFolders, stage: ([StagingFolder]) throws -> Void,
        admit: (EntryPath, EntryTable) throws -> Void
    ) throws -> RestoreJournal {
        var staging: [StagingFolder] = []
        for volume in folders.volumes where volume.mount.isRoot || mounts.contains(volume.mount) {
            let places = steps.map(\.place).filter { folders.volume(of: $0).mount == volume.mount }
            try volume.makeTransaction(id, for: places)
            if let new = try volume.transaction(id)?.directory(RestoreSide.new.rawValue.utf8) {
                staging.append(StagingFolder(mount: volume.mount, directory: new))
            }
        }
        try stage(staging)
        try folders.sync(nil)
        var journal = RestoreJournal(id: id, number: 1, note: note, mounts: mounts, directories: [], steps: [])
        let paths = AppPaths(folders.app)
        for step in steps {
            let waiting = try folders.volume(of: step.place).mirror(of: step.place, in: .new, of: id)
            let old = try paths.parent(of: step.place).flatMap { try RestoreListing.read(step.place.name, in: $0) }
            let new = try waiting.flatMap { try RestoreListing.read(step.place.name, in: $0) }
            if let old { try admit(step.place, old) }
            if step.brings && new == nil { throw RestoreFolders.damaged("\(step.place) was not staged") }
            if old != nil || new != nil { journal.steps.append(.init(place: step.place, old: old, new: new)) }
        }
        journal.directories = try DirectoryLines(of: journal, in: folders).lines(keeping: plan.directories)
        try folders.write(journal)
        return journal
    }

    /// S6-S7, X1: also for an undo and a redo.
    static func apply(
        _ journal: RestoreJournal, previous: RestoreState.Transaction?, in folders: RestoreFolders
    ) throws -> ExchangeOutcome {
        let before = folders.state
        var exchange = PlaceExchange(journal, in: folders)
        do {
            try folders.write(before.with(.forward, journal.transaction, previous))
            try exchange.forward()
            try folders.sync(journal)
            try folders.write(before.with(.settled, journal.transaction, nil))
        } catch {
            return try takeBack(journal, previous: previous, from: before, because: error, in: folders)
        }
        var report = exchange.report
        RestoreGarbage.collect(in: folders, &report)
        return .done(report)
    }

    /// X1: the visible state may be any of three, so it is written from memory; X2: if that fails too, whatever survives is
    /// one of the valid states.
    private static func takeBack(
        _ journal: RestoreJournal, previous: RestoreState.Transaction?, from before: RestoreState,
        because cause: any Error, in folders: RestoreFolders
    ) throws -> ExchangeOutcome {
        let recovery: Recovery
        do {
            try folders.write(before.with(.backward, journal.transaction, previous))
            recovery = try recover(folders)
        } catch {
            throw BackupError(
                .recoveryFailed, "\(cause); and it could not be taken back yet: \(error)",
                advice: "Recovery is pending: mend the cause, then run recover")
        }
        return recovery.direction == .forward
            ? .finished(recovery.report, despite: cause) : .takenBack(recovery.report, because: cause)
    }
}

extension RestoreFolders {
    /// Makes the journal durable before any state names it (D6).
    func write(_ journal: RestoreJournal) throws {
        guard let folder = try volumes[0].transaction(journal.id) else {
            throw Self.damaged("restores/\(journal.id) is gone")
        }
        let temporary = Array("journal.tmp".utf8)
        if try folder.status(of: temporary) != nil { try folder.unlink(temporary) }
        var file = try NewFile(temporary, in: folder)
        try folder.giveToOwner(file.descriptor)
        try file.write(journal.encoded())
        try file.fsync()
        try folder.replace(journal.fileName.utf8, by: temporary)
        try folder.fsync()
    }

    /// Reads a journal that a state names: missing or damaged, nothing may be touched (D6).
    func journal(of transaction: RestoreState.Transaction) throws -> RestoreJournal {
        let name = RestoreJournal.fileName(transaction.number)
        guard let folder = try volumes[0].transaction(transaction.id), try folder.status(of: name.utf8) != nil else {
            throw Self.damaged("restores/\(transaction.id)/\(name) is missing")
        }
        let bytes = try folder.readFile(name.utf8, limit: 1 << 31)
        guard let journal = RestoreJournal(parsing: bytes), journal.transaction == transaction else {
            throw Self.damaged("restores/\(transaction.id)/\(name) is damaged")
        }
        return journal
    }
}

/// The `dir` lines of a new journal (D7).
private struct DirectoryLines {
    let journal: RestoreJournal
    let folders: RestoreFolders
    private let paths: AppPaths

    init(of journal: RestoreJournal, in folders: RestoreFolders) {
        self.journal = journal
        self.folders = folders
        paths = AppPaths(folders.app)
    }

    /// Every directory on the way to a place, and all of `kept` with its new attributes.
    func lines(keeping kept: [EntryPath: Attributes]) throws -> [RestoreJournal.DirectoryLine] {
        var lines: [EntryPath: RestoreJournal.DirectoryLine] = [:]
        for path in Set(journal.steps.flatMap { $0.place.ancestors }).union(kept.keys).union([.root]) {
            guard let now = try paths.attributes(at: path) else { continue }
            lines[path] = .init(path: path, old: now, new: kept[path] ?? now)
        }
        for step in journal.steps {
            let volume = folders.volume(of: step.place)
            let old = try step.old.flatMap { _ in try paths.parent(of: step.place) }
            let new = try volume.mirror(of: step.place, in: .new, of: journal.id)
            let line = RestoreJournal.DirectoryLine(
                path: step.place, old: try topAttributes(step.old, step.place, in: old),
                new: try topAttributes(step.new, step.place, in: new))
            if line.old != nil || line.new != nil { lines[step.place] = line }
        }
        return lines.values.sorted { $0.path < $1.path }
    }

    private func topAttributes(
        _ listing: EntryTable?, _ place: EntryPath, in directory: Directory?
    ) throws -> Attributes? {
        guard let listing, listing[0].kind == .directory, let directory else { return nil }
        var attributes = listing.attributes(of: 0)
        attributes.extended = try FileAttributes.extended(of: place.name, in: directory)
        return attributes
    }
}
