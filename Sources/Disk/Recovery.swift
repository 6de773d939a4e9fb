import Model

/// What ``RestoreTransaction/recover(_:)`` found and did.
package struct Recovery: Sendable {
    package enum Direction: Sendable {
        /// Nothing was unfinished.
        case none
        /// The interrupted exchange was finished.
        case forward
        /// The interrupted exchange was taken back.
        case backward
    }

    package var direction: Direction
    /// The note of the interrupted transaction.
    package var note: [UInt8] = []
    /// Whether it was an undo (or the redo after it) and not a restore.
    package var isUndo = false
    package var report = ExchangeReport()
    /// What stands at the places no more, and on which file system it lies.
    package var displaced: [(place: EntryPath, listing: EntryTable, device: UInt64)] = []
}

extension RestoreTransaction {
    /// Finishes or takes back what a crash interrupted (spec section 6). May be killed at any instant and run again.
    package static func recover(_ folders: RestoreFolders) throws -> Recovery {
        // R1: what we can see may not be durable yet, and then a second crash would show us something older.
        try folders.sync(nil)
        guard let current = folders.state.current, [.forward, .backward].contains(folders.state.phase) else {
            var recovery = Recovery(direction: .none)
            RestoreGarbage.collect(in: folders, &recovery.report)
            return recovery
        }
        let journal = try folders.journal(of: current)
        try folders.use(journal, then: "run recover")
        try folders.sync(journal)
        var recovery = Recovery(direction: .none, note: journal.note, isUndo: journal.number > 1)
        do {
            try finish(journal, in: folders, &recovery)
        } catch let first {
            // R5: once per run the other direction is tried.
            do {
                let state = folders.state
                let other: RestoreState.Phase = state.phase == .forward ? .backward : .forward
                try folders.write(state.with(other, state.current, state.previous))
                try finish(journal, in: folders, &recovery)
            } catch {
                throw BackupError(
                    .recoveryFailed, "the interrupted restore can be neither finished nor taken back: \(first)",
                    advice: "Mend the cause, then run recover")
            }
        }
        RestoreGarbage.collect(in: folders, &recovery.report)
        return recovery
    }

    /// R4, R7: runs the direction that the state names.
    private static func finish(
        _ journal: RestoreJournal, in folders: RestoreFolders, _ recovery: inout Recovery
    ) throws {
        let state = folders.state
        var exchange = PlaceExchange(journal, in: folders)
        defer { recovery.report.add(exchange.report) }
        if state.phase == .forward {
            try exchange.forward()
            try folders.sync(journal)
            try folders.write(state.with(.settled, state.current, nil))
            recovery.direction = .forward
        } else {
            try exchange.backward()
            try folders.sync(journal)
            try folders.write(state.with(state.previous == nil ? .idle : .settled, state.previous, nil))
            recovery.direction = .backward
        }
        for step in journal.steps {
            guard let listing = recovery.direction == .forward ? step.old : step.new else { continue }
            let device = try folders.volume(of: step.place).root.status().device
            recovery.displaced.append((step.place, listing, device))
        }
    }
}

extension ExchangeReport {
    fileprivate mutating func add(_ other: ExchangeReport) {
        conflicts += other.conflicts
        attributesLeft += other.attributesLeft
    }
}
