import Disk
import Model

/// Takes the last restore back, or brings it again.
struct UndoRun {
    let places: AppPlaces
    let session: AppSession
    let run: RunContext

    func preview() throws -> UndoPreview {
        guard let folders = try RestoreFolders.peek(in: places.app) else {
            throw BackupError(.nothingToUndo, "there is no restore to undo")
        }
        return try Self.preview(RestoreTransaction.planUndo(in: folders))
    }

    func undo(isLive: Bool, confirm: (UndoPreview) throws -> Bool) throws -> RestoreResult {
        let folders = try session.exclusive("undo")
        let recovery = try RestoreTransaction.recover(folders)
        if recovery.direction != .none {
            // What the user asked to undo may just have been taken back: he decides again.
            var result = RestoreResult(ending: recovery.direction == .forward ? .done : .takenBack)
            result.warnings.append("\(AppSession.told(recovery)); run undo again if you still want it")
            result.take(recovery.report)
            return result
        }
        let plan = try RestoreTransaction.planUndo(in: folders)
        guard try confirm(Self.preview(plan)) else { return RestoreResult(ending: .declined) }
        if !isLive { try checkUsers(of: plan) }
        try run.stop.check()
        run.report(.started(.applying, entries: plan.steps.count, bytes: 0))
        var result = RestoreResult(ending: .done)
        result.notKept = plan.attributesKept.map { "\($0): its mode or owner was changed since, and stays so" }
        try result.take(try RestoreTransaction.apply(plan, in: folders))
        return result
    }

    private func checkUsers(of plan: UndoPlan) throws {
        var files = FilesInUse(app: places.app)
        for (place, table) in plan.displaced {
            for index in 0..<table.count { files.add(place.appending(table.path(of: index)), table[index]) }
        }
        try files.check()
    }

    func recover() throws -> RestoreResult {
        let recovery = try RestoreTransaction.recover(try session.exclusive("recover"))
        var result = RestoreResult(ending: .nothingToDo)
        switch recovery.direction {
        case .none: break
        case .forward: result.ending = .done
        case .backward: result.ending = .takenBack
        }
        result.take(recovery.report)
        result.warnings += try FilesInUse.leftBehind(by: recovery, in: places.app)
        return result
    }

    func previewDiscard() throws -> DiscardPreview {
        guard let folders = try RestoreFolders.peek(in: places.app) else { return DiscardPreview(kept: []) }
        return try Self.preview(discarding: folders)
    }

    func discard(confirm: (DiscardPreview) throws -> Bool) throws -> RestoreResult {
        let folders = try session.exclusive("undo --discard")
        let recovery = try RestoreTransaction.recover(folders)
        let preview = try Self.preview(discarding: folders)
        var result = RestoreResult(ending: preview.kept.isEmpty ? .nothingToDo : .done)
        if recovery.direction != .none { result.warnings.append(AppSession.told(recovery)) }
        guard !preview.kept.isEmpty else { return result }
        guard try confirm(preview) else { return RestoreResult(ending: .declined) }
        try RestoreTransaction.discard(in: folders)
        return result
    }

    private static func preview(_ plan: UndoPlan) throws -> UndoPreview {
        let note = String(decoding: plan.note, as: UTF8.self)
        let backup = note.split(separator: " ", maxSplits: 2).last.map(String.init) ?? ""
        return UndoPreview(
            isUndo: plan.isUndo, backup: printable(backup.utf8),
            changes: plan.steps.map { step in
                (step.place, step.brings ? (step.removes ? .replace : .add) : .remove)
            },
            changedSince: plan.changedSince)
    }

    private static func preview(discarding folders: RestoreFolders) throws -> DiscardPreview {
        DiscardPreview(kept: try folders.keptEntries().map { ($0.description, $0.bytes) })
    }
}
