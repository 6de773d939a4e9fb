import Containers
import Disk
import FolderFormat
import Model
import Workers

/// Carries out a restore into the app: stage, check, make the safety backup, exchange (promises 6-11).
struct RestoreRun {
    let planning: RestorePlanning
    let folders: RestoreFolders
    /// Makes the safety backup, and holds the backup directory's lock while it does. Told are the places that the plan
    /// touches. Nil if there shall be none.
    let makeSafetyBackup: (([EntryPath]) throws -> BackupName)?

    private var contents: FolderContents { planning.found.contents }

    /// Carries out `plan`. Whatever is thrown, the app is as it was (unless the error's code says otherwise).
    func apply(_ plan: RestorePlan) throws -> RestoreResult {
        try checkSpace(for: plan)
        let attributes = try planning.attributes()
        let staged = StagedTree(contents, attributes: attributes, pool: planning.pool, in: planning.run)
        var result = RestoreResult(ending: .done)
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
                    result.safetyBackup = try makeSafetyBackup(plan.exchange.steps.filter(\.removes).map(\.place))
                }
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

    private func checkSpace(for plan: RestorePlan) throws {
        let traits = try FileSystemTraits(of: planning.places.app)
        if traits.isReadOnly {
            throw BackupError(
                .refused, "the app is on a read-only file system", advice: "Nothing was changed. Remount it")
        }
        let needs = plan.bytes + UInt64(plan.staged.count) * 512 + (1 << 16)
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
            var message = "\(cause)"
            for conflict in report.conflicts {
                message += "; \(conflict.path) was found there and is kept in \(conflict.keptAt)"
            }
            throw BackupError(
                .system, message, advice: "What was begun has been taken back: everything is as it was before")
        }
    }

    mutating func take(_ report: ExchangeReport) {
        conflicts += report.conflicts.map { ($0.path, $0.keptAt) }
        notKept += report.attributesLeft.map { "\($0): someone changed its attributes meanwhile; they were left" }
        warnings += report.leftovers
    }
}

/// Restores into a directory of its own (`--to`): built beside it and renamed into place, so that it is complete or as it
/// was found.
struct RestoreToDirectory {
    let planning: RestorePlanning
    let path: String

    func apply() throws -> RestoreResult {
        let (parent, name) = try split()
        let existing = try parent.status(of: name.utf8)
        if let existing {
            guard existing.kind == .directory, try parent.directory(name.utf8).items().isEmpty else {
                throw BackupError(
                    .refused, "\(printable(path.utf8)) exists and is not an empty directory",
                    advice: "Nothing was changed. Name a directory that does not exist yet")
            }
        }
        let scope = try planning.scope()
        let indices = (0..<scope.backup.count).filter { scope.roles[$0] != .none }
        let bytes = indices.reduce(UInt64(0)) { $0 + scope.backup[$1].size }
        let free = try FileSystemTraits(of: parent).freeBytes
        if bytes > free {
            throw BackupError(
                .noSpace, "no space: the restore needs \(ByteCount(bytes)), \(ByteCount(free)) are free",
                advice: "Free space")
        }
        let durability = try Durability(in: parent)
        var partial = try PartialDirectory(name, token: planning.run.randomHex(bytes: 4), in: parent)
        var result = RestoreResult(ending: .done)
        do {
            let attributes = try planning.attributes()
            let meter = ProgressMeter(.staging, entries: indices.count, bytes: bytes, in: planning.run)
            result.notKept = try StagedTree(
                planning.found.contents, attributes: attributes, pool: planning.pool, in: planning.run
            ).build(indices, in: partial.directory, meter: meter)
            try setTop(of: partial.directory, scope, attributes, &result)
            try planning.run.stop.check()
            if existing != nil { try parent.removeEmptyDirectory(name.utf8) }
        } catch {
            partial.discard()
            throw error
        }
        do {
            try partial.publish(as: name, durability: durability)
        } catch {
            // An empty directory stood there: as it was found.
            if let existing { try parent.makeEmptyDirectory(name.utf8, mode: existing.mode) }
            throw error
        }
        return result
    }

    /// The directory itself gets the app's attributes if the whole app was an item, else those of any new directory.
    private func setTop(
        of directory: Directory, _ scope: RestoreScope, _ attributes: WantedAttributes, _ result: inout RestoreResult
    ) throws {
        var wanted = try directory.status().attributes(with: [])
        wanted.mode = 0o755
        if scope.roles[0] == .selected { wanted = attributes.attributes(of: 0) }
        let unset = try FileAttributes.apply(
            wanted, to: directory.descriptor, now: try directory.status().owner, ownership: attributes.ownership)
        result.notKept += unset.map { ".: \($0)" }
    }

    private func split() throws -> (parent: Directory, name: String) {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let slash = trimmed.lastIndex(of: "/")
        let name = slash.map { String(trimmed[trimmed.index(after: $0)...]) } ?? String(trimmed)
        let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        guard let component = EntryPath(name), !component.isRoot else {
            throw BackupError(.usage, "--to '\(printable(path.utf8))' names no directory")
        }
        do throws(DiskError) {
            return (try Directory(path: parent), name)
        } catch {
            throw BackupError(
                .refused, "cannot open \(printable(parent.utf8)): \(error.reason)", advice: "Nothing was changed")
        }
    }
}
