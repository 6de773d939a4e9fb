import Containers
import Disk
import Model
import Workers

/// Carries out a restore into the app: stage, check, make the safety backup, exchange (promises 6-11).
struct RestoreRun {
    let planning: RestorePlanning
    let folders: RestoreFolders
    /// Makes the safety backup, and holds the backup directory's lock while it does. Told are the places that the plan
    /// touches. Nil if there shall be none.
    let makeSafetyBackup: (([EntryPath]) throws -> CreateRun.Outcome)?

    private var contents: any BackupContents { planning.found.contents }

    /// Carries out `plan`. Whatever is thrown, the app is as it was (unless the error's code says otherwise).
    func apply(_ plan: RestorePlan) throws -> RestoreResult {
        try checkSpace(for: plan)
        try checkUsers(of: plan)
        let attributes = try planning.attributes()
        let staged = StagedTree(
            contents, reusing: planning.places.app, attributes: attributes, pool: planning.pool, in: planning.run)
        var result = RestoreResult(ending: .done, notKept: plan.notKept)
        let outcome = try RestoreTransaction.run(
            plan.exchange, note: Array("restore 1 \(plan.backup)".utf8), in: folders,
            stage: { folders in
                let meter = ProgressMeter(.staging, entries: plan.staged.count, bytes: plan.bytes, in: planning.run)
                for (folder, indices) in assign(plan, to: folders) {
                    result.notKept += try staged.build(indices, in: folder.directory, meter: meter)
                }
            },
            admit: { place, displaced in try admit(displaced, at: place, plan) },
            beforeApplying: {
                if let makeSafetyBackup {
                    result.take(safety: try makeSafetyBackup(plan.exchange.steps.filter(\.removes).map(\.place)))
                }
                try checkUsers(of: plan)
                try planning.run.stop.check()
                planning.run.report(.started(.applying, entries: plan.exchange.steps.count, bytes: 0))
            })
        try result.take(outcome)
        return result
    }

    /// Each staged entry belongs to the file system on which its place lies.
    private func assign(_ plan: RestorePlan, to folders: [StagingFolder]) -> [(StagingFolder, [Int])] {
        var assigned = folders.map { ($0, [Int]()) }
        for index in plan.staged {
            let path = plan.scope.backup.path(of: index)
            let parent = placeParent(of: path, plan)
            var best = 0
            for (number, folder) in folders.enumerated()
            where parent.isAtOrBelow(folder.mount) && folder.mount.bytes.count > folders[best].mount.bytes.count {
                best = number
            }
            assigned[best].1.append(index)
        }
        return assigned.filter { !$0.1.isEmpty }
    }

    /// The directory that holds the place at or above `path`: the deepest one on the way that is a directory now.
    private func placeParent(of path: EntryPath, _ plan: RestorePlan) -> EntryPath {
        var parent = path.parent ?? .root
        while !parent.isRoot {
            if let index = plan.live.index(of: parent), plan.live[index].kind == .directory { return parent }
            parent = parent.parent ?? .root
        }
        return parent
    }

    /// What appeared since the plan was made and must stay is not displaced (S4).
    private func admit(_ displaced: EntryTable, at place: EntryPath, _ plan: RestorePlan) throws {
        for index in 0..<displaced.count {
            let path = place.appending(displaced.path(of: index))
            guard plan.live.index(of: path) == nil else { continue }
            let decision = path.bytes.withRawBytes {
                plan.scope.decision($0, kind: displaced[index].kind, parent: .take)
            }
            if decision == .leave {
                throw BackupError(
                    .refused, "\(path) appeared while the restore was prepared, and must stay",
                    advice: "Nothing was changed. Try again")
            }
        }
    }

    /// Once before the work, and once more when it is done: an app may have been started meanwhile.
    private func checkUsers(of plan: RestorePlan) throws {
        if planning.request.isLive { return }
        var files = FilesInUse(app: planning.places.app)
        for step in plan.exchange.steps where step.removes {
            guard let top = plan.live.index(of: step.place) else { continue }
            for index in top..<plan.live.endOfSubtree(at: top) {
                files.add(plan.live.path(of: index), plan.live[index])
            }
        }
        try files.check()
    }

    private func checkSpace(for plan: RestorePlan) throws {
        let traits = try FileSystemTraits(of: planning.places.app)
        if traits.isReadOnly {
            throw BackupError(
                .refused, "the app is on a read-only file system", advice: "Nothing was changed. Remount it")
        }
        let needs = [plan.bytes, UInt64(plan.staged.count) * 512, 1 << 16].saturatingSum()
        if needs > traits.freeBytes {
            throw BackupError(
                .noSpace,
                "no space: the restore needs \(ByteCount(needs)) beside the app, \(ByteCount(traits.freeBytes)) are free",
                advice: "Nothing was changed. Free space, or restore parts with --only")
        }
        if let free = traits.freeEntries, UInt64(plan.staged.count) + 16 > free {
            throw BackupError(
                .noSpace, "no space: the restore needs \(plan.staged.count) inodes beside the app, \(free) are free",
                advice: "Nothing was changed. Delete files that are not needed")
        }
    }
}

extension RestoreResult {
    /// Takes over how an exchange ended; throws if it was taken back.
    mutating func take(_ outcome: ExchangeOutcome) throws {
        switch outcome {
        case .done(let report): take(report)
        case .finished(let report, let cause):
            ending = .doneDespite("\(cause)")
            take(report)
        case .takenBack(let report, let cause):
            // Its own advice is of no use any more.
            var message = (cause as? BackupError)?.message ?? "\(cause)"
            for conflict in report.conflicts {
                message += "; \(conflict.path) was found there and is kept in \(conflict.keptAt)"
            }
            throw BackupError(
                .system, message, advice: "What was begun has been taken back: everything is as it was before")
        }
    }

    fileprivate mutating func take(safety outcome: CreateRun.Outcome) {
        safetyBackup = outcome.backup.name
        // What is in it, though not as it should be, is all that undo needs of it.
        notKept += outcome.details.skipped.filter { !$0.isKept }
            .map { "\($0.path): not in the safety backup: \($0.reason)" }
        warnings += outcome.details.skipped.filter(\.isKept).map { "\($0.path): in the safety backup: \($0.reason)" }
    }

    mutating func take(_ report: ExchangeReport) {
        conflicts += report.conflicts.map { ($0.path, $0.keptAt) }
        let left = report.attributesLeft.map { "\($0.path): \($0.reason)" }
        // The plan may have said the same.
        notKept += left.filter { !notKept.contains($0) }
        warnings += report.leftovers
    }
}
