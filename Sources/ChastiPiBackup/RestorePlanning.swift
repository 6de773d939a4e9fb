import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Makes the plan of a restore: compares the app, by content, with a backup. Changes nothing.
struct RestorePlanning {
    let places: AppPlaces
    let found: FoundBackup
    let request: RestoreRequest
    let today: Selection
    let pool: ThreadPool
    let run: RunContext
    let mayMakeDevices = ProcessIdentity.mayMakeDevices

    func plan() throws -> RestorePlan {
        try checkObjections()
        // Beside the walk and the comparison, which take longer.
        let rest = BackgroundResult { [found, run] in try found.contents.checkRest(stop: run.stop) }
        let scope = try scope()
        let walk = try TreeWalk(of: places.app, containers: try places.containers()) { path, kind, parent in
            scope.decision(path, kind: kind, parent: parent)
        }
        let scan = try SourceScan.run(walk, pool: pool, in: run)
        let attributes = try attributes()
        for problem in scan.problems where scope.backup.index(of: problem.path) != nil {
            throw BackupError(
                .refused, "cannot read \(problem.path), which the restore must compare: \(problem.reason)",
                advice: "Run as its owner or as root. Nothing was changed")
        }
        var comparison = RestoreComparison(scope, live: scan.table, attributes: attributes)
        try comparison.walk(stop: run.stop)
        let answers = try compareContents(comparison.candidates, scope, scan.table, attributes)
        let databases = RestoreDatabases(
            app: places.app, scope: scope, live: scan.table, contents: found.contents, stop: run.stop)
        try comparison.resolve(
            try databases.withLogs(answers, for: comparison.candidates, steps: comparison.steps.map(\.step.place)))
        try comparison.displace(try databases.staleCompanions(besides: Set(comparison.steps.map(\.step.place))))
        var preconditions = RestorePreconditions(
            app: places.app, live: scan.table, scope: scope, ownership: attributes.ownership)
        let plan = try plan(comparison, scope, scan.table, attributes)
        try preconditions.check(
            comparison.steps.map { ($0.step.place, $0.live) }, attributesOf: plan.exchange.directories.keys.sorted())
        try rest.get()
        return plan
    }

    /// What no backup of ours would hold is not taken from strangers (promise 11).
    func checkObjections() throws {
        guard !found.isTrusted, !request.trusts, let first = found.contents.objections.first else { return }
        let others = found.contents.objections.count - 1
        throw BackupError(
            .refused,
            "'\(found.name)' is not restored: \(first)\(others > 0 ? ", and \(others) more such things" : "")",
            advice: "Nothing was changed. If you trust whoever made it: --trust")
    }

    func attributes() throws -> WantedAttributes {
        let owner = found.isTrusted || request.trusts ? nil : try places.app.status().owner
        return WantedAttributes(found.contents.table, owner: owner)
    }

    func scope() throws -> RestoreScope {
        let metadata = found.contents.metadata
        let rules = (metadata.details?.rules ?? []).compactMap { rule -> ExclusionRule? in
            // A rule that we cannot read can only have protected more.
            do { return try ExclusionRule(rule.pattern, origin: rule.origin) } catch { return nil }
        }
        let only = try request.only.map { text in
            // Empty is what a script's unset variable leaves: no way to ask for everything.
            guard !text.isEmpty, let path = EntryPath(Self.trimmed(text)) else {
                throw BackupError(.usage, "'\(printable(text.utf8))' is no path inside the app")
            }
            if found.contents.table.index(of: path) != nil { return path }
            // A name that is not text is taken as our own output shows it.
            let shown = EntryPath(bytes(ofPrintable: Self.trimmed(text)))
            return shown.flatMap { found.contents.table.index(of: $0) == nil ? nil : $0 } ?? path
        }
        let logs = try RestoreDatabases.logs(of: only, in: found.contents, stop: run.stop)
        let skipped = (metadata.details?.skipped ?? []).filter { !$0.isKept }.map(\.path)
        return try RestoreScope(
            found.contents.table, recorded: Selection(items: [], rules: Exclusions(rules)), today: today,
            skipped: Set(skipped), removesExtra: found.contents.isRecorded || request.deletesExtra,
            only: only + logs,
            includesLogs: request.includesLogs, denial: denial, stop: run.stop)
    }

    /// Why an entry of the kind is not made (promise 11).
    private func denial(_ kind: EntryKind) -> String? {
        if !BackupFormat.repository.holds(kind) { return "a \(kind.name) is not restored" }
        guard kind.isDevice else { return nil }
        if !found.isTrusted && !request.trusts {
            return "a \(kind.name) comes only with --trust from a backup of unknown origin"
        }
        return mayMakeDevices ? nil : "a \(kind.name) takes root's rights to make"
    }

    static func trimmed(_ text: String) -> String {
        var trimmed = text[...]
        while trimmed.hasPrefix("./") { trimmed = trimmed.dropFirst(2) }
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        return String(trimmed)
    }

    // MARK: Content

    /// Equal means equal by SHA-256 (promise 10).
    private func compareContents(
        _ candidates: [RestoreComparison.Candidate], _ scope: RestoreScope, _ live: EntryTable,
        _ attributes: WantedAttributes
    ) throws -> [RestoreComparison.Answer] {
        let total = candidates.lazy.map { live[$0.live].size }.saturatingSum()
        let meter = ProgressMeter(.comparing, entries: candidates.count, bytes: total, in: run)
        let contents = found.contents
        let states = PerWorker(pool) { ComparisonState(reader: contents.makeReader(stop: run.stop)) }
        // In runs of neighbours: one candidate alone costs more to hand out than to compare.
        let size = 64
        let runs = try pool.map((candidates.count + size - 1) / size) { worker, number in
            try states.with(worker) { state in
                try candidates[number * size..<min(candidates.count, (number + 1) * size)].map { candidate in
                    try run.stop.check()
                    meter.advance(entries: 1, bytes: live[candidate.live].size) { live.path(of: candidate.live) }
                    return try compare(candidate, scope, live, attributes, &state)
                }
            }
        }
        return runs.flatMap { $0 }
    }

    private func compare(
        _ candidate: RestoreComparison.Candidate, _ scope: RestoreScope, _ live: EntryTable,
        _ attributes: WantedAttributes, _ state: inout ComparisonState
    ) throws -> RestoreComparison.Answer {
        let path = live.path(of: candidate.live)
        do {
            let file = try OpenFile(path.name, in: try places.app.directory(at: path.parent ?? .root))
            let status = try file.status()
            guard status.kind == .file, status.size == scope.backup[candidate.backup].size else { return .different }
            let extended = try FileAttributes.extended(of: file.descriptor)
            guard attributes.match(live[candidate.live], of: candidate.backup, extended: extended) else {
                return .different
            }
            if !scope.backup[candidate.backup].flags.contains(.hashed),
                let isSame = try state.reader.isSame(candidate.backup, as: file)
            {
                return isSame ? .same : .different
            }
            // A backup of the original tool has no hashes: its files are compared byte by byte through their own.
            let wanted = try digest(of: candidate.backup, scope, &state)
            try FileCopy.read(file, through: state.file.buffer.bytes, stop: run.stop) { state.file.hash.update($0) }
            return state.file.hash.finish() == wanted ? .same : .different
        } catch let error as SourceUnreadable {
            // What cannot be read is replaced.
            state.file.hash.reset()
            run.report(.note("\(path) cannot be read (\(error.cause.reason)) and is replaced"))
            return .different
        } catch let error as DiskError {
            state.file.hash.reset()
            if error.code != .notFound { run.report(.note("\(path) cannot be read (\(error.reason)) and is replaced")) }
            return .different
        }
    }

    private func digest(
        of index: Int, _ scope: RestoreScope, _ state: inout ComparisonState
    ) throws -> SHA256Digest {
        if scope.backup[index].flags.contains(.hashed) { return scope.backup[index].digest }
        try state.reader.read(index) { state.file.hash.update($0) }
        return state.file.hash.finish()
    }

    /// What a worker uses again and again to compare files.
    private struct ComparisonState: ~Copyable {
        var file = ReadBuffer()
        /// Of the backup, for what has no hash of its own.
        let reader: any ContentReader
    }

    // MARK: The plan

    private func plan(
        _ comparison: RestoreComparison, _ scope: RestoreScope, _ live: EntryTable, _ attributes: WantedAttributes
    ) throws -> RestorePlan {
        var changes: [RestorePlan.Change] = []
        var staged: [Int] = []
        for (step, liveIndex, backupIndex) in comparison.steps {
            var entries = 0
            var bytes: UInt64 = 0
            if let backupIndex {
                for index in backupIndex..<scope.backup.endOfSubtree(at: backupIndex) where scope.roles[index] != .none
                {
                    staged.append(index)
                    entries += 1
                    bytes.add(saturating: scope.backup[index].size)
                }
            } else if let liveIndex {
                entries = live.endOfSubtree(at: liveIndex) - liveIndex
            }
            let action: RestorePlan.Action = step.brings ? (step.removes ? .replace : .add) : .remove
            changes.append(.init(path: step.place, action: action, entries: entries, bytes: bytes))
        }
        var directories: [EntryPath: Attributes] = [:]
        var notKept = scope.denied
        for (liveIndex, backupIndex) in comparison.directories {
            let path = live.path(of: liveIndex)
            let extended = try extended(of: path)
            guard !attributes.match(live[liveIndex], of: backupIndex, extended: extended) else { continue }
            guard attributes.ownership.maySetAttributes(ofWhatBelongsTo: live[liveIndex].user) else {
                notKept.append("\(path): only its owner may set its attributes")
                continue
            }
            directories[path] = attributes.attainable(backupIndex, from: live[liveIndex])
            changes.append(.init(path: path, action: .attributes, entries: 1, bytes: 0))
        }
        let mounts = (0..<live.count).filter { live[$0].flags.contains(.mountRoot) && live[$0].kind == .directory }
        let kept = comparison.kept.map { index in
            RestorePlan.Kept(
                path: live.path(of: index), reason: scope.reasonToStay(live.path(of: index), live[index]))
        }
        return RestorePlan(
            backup: found.name, changes: changes.sorted { $0.path < $1.path }, kept: kept,
            unchanged: comparison.unchanged,
            exchange: ExchangePlan(
                steps: comparison.steps.map(\.step), directories: directories,
                mounts: mounts.map { live.path(of: $0) }),
            staged: staged.sorted(), scope: scope, live: live, notKept: notKept)
    }

    private func extended(of path: EntryPath) throws -> [ExtendedAttribute] {
        guard let parent = path.parent else { return try FileAttributes.extended(of: places.app.descriptor) }
        return try FileAttributes.extended(of: path.name, in: try places.app.directory(at: parent))
    }
}
