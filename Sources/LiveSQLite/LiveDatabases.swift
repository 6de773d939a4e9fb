import Containers
import Disk
import Model
import Workers

/// Finds the databases of a plan and hands the plan consistent copies of them.
package struct LiveDatabases: Sendable {
    /// What the previous backup knows of its databases.
    package struct Parent: Sendable {
        let databases: [EntryPath: StoredDatabase]
        let states: DatabaseStates
        /// Whether it is known which files it copied as databases.
        package let isKnown: Bool

        /// `states`: nil if they are lost.
        package init(_ databases: [StoredDatabase], _ states: DatabaseStates?) {
            self.databases = Dictionary(databases.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
            self.states = states ?? DatabaseStates()
            isKnown = states != nil
        }
    }

    /// What the new backup shall know of its databases.
    package struct Found: Sendable {
        package fileprivate(set) var databases: [StoredDatabase] = []
        package fileprivate(set) var states = DatabaseStates()
        /// Logs that came after the scan, or are no items of their own.
        fileprivate var added: [SourcePlan.AddedFile] = []
    }

    private let scratch: Directory
    private let isRaw: @Sendable (EntryPath) -> Bool
    private let pool: ThreadPool
    private let run: RunContext

    /// `scratch` is on the file system of the backup. `isRaw` tells which databases are to be copied as files.
    package init(
        scratch: Directory, isRaw: @escaping @Sendable (EntryPath) -> Bool, pool: ThreadPool, in run: RunContext
    ) {
        self.scratch = scratch
        self.isRaw = isRaw
        self.pool = pool
        self.run = run
    }

    /// Gives `plan` a copy for each database that is new or changed, and leaves companions out.
    package func prepare(
        _ candidates: DatabaseCandidates, of plan: inout SourcePlan, parent: Parent?
    ) throws -> Found {
        let current = plan
        var found = Found()
        var left: Set<Int> = []
        for round in candidates.rounds {
            let outcomes = try pool.map(round.count) { _, number in
                try run.stop.check()
                return try prepare(round[number], current, parent)
            }
            for (candidate, outcome) in zip(round, outcomes) {
                switch outcome {
                case .noDatabase: for index in candidate.names { plan.takeBack(index) }
                case .vanished(let error):
                    left.formUnion(candidate.names)
                    plan.skipped += candidate.names.map { Skipped(path: plan.table.path(of: $0), reason: error) }
                case .database(let database):
                    take(database, for: candidate.names, &plan, &found)
                    left.formUnion(companions(of: candidate, database, candidates, plan.table))
                }
            }
        }
        plan.leaveOut(left)
        try plan.add(found.added)
        return found
    }

    private enum Outcome: Sendable {
        case noDatabase
        /// There is nothing to be read: why, as a clause.
        case vanished(String)
        case database(Prepared)
    }

    /// A database, the same for all its names.
    private struct Prepared: Sendable {
        enum Content: Sendable {
            case shared
            case copied(CopiedFile)
            /// It stays with what it was: a file to be read.
            case file
        }

        var facts: DatabaseCopy.Facts
        var state: DatabaseState?
        var content: Content
        /// Its logs, where they were copied as they are, with their paths.
        var logs: [(path: EntryPath, file: CopiedFile)] = []
        var skipped: Skipped?
    }

    fileprivate struct CopiedFile: Sendable {
        let file: SourcePlan.PreparedFile
        let record: EntryRecord
        let extended: [ExtendedAttribute]
    }

    private func take(_ database: Prepared, for names: [Int], _ plan: inout SourcePlan, _ found: inout Found) {
        for index in names {
            let path = plan.table.path(of: index)
            found.databases.append(database.facts.stored(at: path))
            if let state = database.state, state.isSettled(at: plan.reading) { found.states.states[path] = state }
            switch database.content {
            case .shared: plan.shareDatabase(index)
            case .copied(let copy): plan.take(copy.file, size: copy.record.size, extended: copy.extended, for: index)
            case .file: break
            }
        }
        for (path, log) in database.logs {
            if let index = plan.table.index(of: path) {
                plan.take(log.file, size: log.record.size, extended: log.extended, for: index)
            } else {
                found.added.append(
                    .init(path: path, record: log.record, content: log.file, extended: log.extended))
            }
        }
        if let skipped = database.skipped { plan.skipped.append(skipped) }
    }

    /// What is left out with a database: of one that is copied as it is, only what SQLite makes anew.
    private func companions(
        of candidate: DatabaseCandidates.Candidate, _ database: Prepared, _ candidates: DatabaseCandidates,
        _ table: EntryTable
    ) -> [Int] {
        let suffixes = database.facts.way == .raw ? ["-shm"] : DatabaseFiles.companionSuffixes
        return candidate.names.flatMap { name in
            suffixes.compactMap { table.index(of: table.path(of: name).appending(suffix: $0)) }
        }.filter { !candidates.databasesNamedAsCompanions.contains($0) }
    }

    // MARK: One database

    private func prepare(
        _ candidate: DatabaseCandidates.Candidate, _ plan: SourcePlan, _ parent: Parent?
    ) throws -> Outcome {
        let path = plan.table.path(of: candidate.names[0])
        let source: DatabaseFile
        let isReadable: Bool
        do throws(DiskError) {
            source = DatabaseFile(
                directory: try plan.sourceDirectory(at: path.parent ?? .root), name: Array(path.name))
            guard try isThere(source) else { return .vanished(Self.vanished) }
            isReadable = try DatabaseFiles.isDatabase(source.name, in: source.directory)
        } catch {
            // Whoever reads it for the backup says what is wrong with it.
            return .noDatabase
        }
        let state: DatabaseState?
        do throws(DiskError) { state = try source.state() } catch {
            guard isReadable else { return .noDatabase }
            return try copyRaw(source, candidate, plan, nil, because: "its log cannot be read: \(error.reason)")
        }
        // Encryption hides the database's header, but not that of its log.
        guard let state, isReadable || state.hasLog else { return .noDatabase }
        if let stored = unchanged(candidate, state, plan, parent) {
            return .database(Prepared(facts: DatabaseCopy.Facts(stored), state: state, content: .shared))
        }
        if isRaw(path) { return try copyRaw(source, candidate, plan, state) }
        do {
            guard isReadable else { throw DatabaseNotCopied(reason: "it is encrypted, or no database") }
            return .database(try copy(source, candidate, state, at: path))
        } catch let error as DatabaseNotCopied {
            return try copyRaw(source, candidate, plan, nil, because: error.reason)
        }
    }

    /// Whether the file is there and holds something, if not at once then soon: it may be made anew right now, and would be
    /// read in the middle of that.
    private func isThere(_ source: DatabaseFile) throws(DiskError) -> Bool {
        for attempt in 0... {
            if let status = try source.directory.status(of: source.name), status.size > 0 { return true }
            guard LockPatience.waits(attempt: attempt, limit: 100, stop: run.stop) else { break }
        }
        return false
    }

    /// What the parent holds of it, if neither it nor its log has changed since, under any of its names.
    private func unchanged(
        _ candidate: DatabaseCandidates.Candidate, _ state: DatabaseState, _ plan: SourcePlan, _ parent: Parent?
    ) -> StoredDatabase? {
        guard let parent else { return nil }
        var stored: StoredDatabase?
        for index in candidate.names {
            let path = plan.table.path(of: index)
            guard plan.parentDatabases[index] != nil, parent.states.states[path] == state,
                let database = parent.databases[path], (database.way == .raw) == isRaw(path)
            else { return nil }
            stored = stored ?? database
        }
        return stored
    }

    private func copy(
        _ source: DatabaseFile, _ candidate: DatabaseCandidates.Candidate, _ state: DatabaseState, at path: EntryPath
    ) throws -> Prepared {
        guard !candidate.hasLogsAtSeveralNames else {
            throw DatabaseNotCopied(reason: "it has several names, and a log at more than one of them")
        }
        let needed = try source.directory.status(of: source.name)?.size ?? 0
        if try FileSystemTraits(of: scratch).freeBytes < needed {
            throw DiskError(.noSpace, "copy", "\(path)", because: "there is no room for a copy of \(ByteCount(needed))")
        }
        let copy = DatabaseCopy(source: source, scratch: scratch, name: "\(candidate.names[0]).db", run: run)
        let facts = try copy.make()
        for note in facts.notes { run.report(.warning("\(path): saved as it is, but its check says: \(note)")) }
        guard let status = try scratch.status(of: copy.name.utf8) else {
            throw DatabaseNotCopied(reason: "its copy is gone")
        }
        let file = CopiedFile(
            file: .init(copy.name, in: scratch), record: status.record, extended: try extended(source.name, source))
        return Prepared(facts: facts, state: state, content: .copied(file))
    }

    private func extended(_ name: [UInt8], _ source: DatabaseFile) throws -> [ExtendedAttribute] {
        do throws(DiskError) {
            return try FileAttributes.extended(of: name, in: source.directory)
        } catch {
            guard error.code == .notFound else { throw error }
            return []
        }
    }

    // MARK: As it is

    /// `reason`: why it is not copied otherwise; nil if that is what is wanted. The database comes first, then its logs: so a
    /// log holds what the database may lack, and never the other way round. They are looked for where they lie: a rollback
    /// journal lives as long as one transaction, and is seldom there when the source is scanned.
    private func copyRaw(
        _ source: DatabaseFile, _ candidate: DatabaseCandidates.Candidate, _ plan: SourcePlan, _ state: DatabaseState?,
        because reason: String? = nil
    ) throws -> Outcome {
        let index = candidate.names[0]
        let path = plan.table.path(of: index)
        var facts = DatabaseCopy.Facts()
        (facts.journalMode, facts.way) = ("unknown", .raw)
        var prepared = Prepared(facts: facts, state: state, content: .file)
        if let file = try copyRaw(source.name, source, as: "\(index).raw") {
            prepared.content = .copied(file)
            for (number, log) in [source.journal, source.log].enumerated() {
                guard try source.status(ofCompanion: log)?.kind == .file,
                    let file = try copyRaw(log, source, as: "\(index).raw\(number)")
                else { continue }
                prepared.logs.append(((path.parent ?? .root).appending(log), file))
            }
        } else if try source.directory.status(of: source.name) == nil {
            return .vanished(Self.vanished)
        }
        if let reason {
            let logs = prepared.logs.map { printable($0.path.name) }.joined(separator: " and ")
            prepared.skipped = Skipped(
                path: path,
                reason:
                    "live database: \(reason); it is saved as it is, \(logs.isEmpty ? "without a log" : "with \(logs)")",
                isKept: true, code: .liveDatabase)
        }
        return .database(prepared)
    }

    private static let vanished = "it vanished while the backup was made"

    /// Nil if it cannot be read: whoever reads it for the backup says so.
    private func copyRaw(
        _ name: [UInt8], _ source: DatabaseFile, as copy: String
    ) throws -> CopiedFile? {
        do {
            let copied = try scratch.copyFile(name, of: source.directory, as: copy, stop: run.stop)
            return CopiedFile(file: .init(copy, in: scratch), record: copied.record, extended: copied.extended)
        } catch is SourceUnreadable {
            try scratch.unlink(copy.utf8)
            return nil
        } catch let error as DiskError where [.notFound, .denied, .isLink].contains(error.code) {
            return nil
        }
    }
}

extension EntryPath {
    fileprivate func appending(suffix: String) -> EntryPath {
        (parent ?? .root).appending(Array(name) + Array(suffix.utf8))
    }
}
