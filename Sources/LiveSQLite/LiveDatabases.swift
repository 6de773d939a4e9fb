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

        package init(_ databases: [StoredDatabase], _ states: DatabaseStates) {
            self.databases = Dictionary(databases.map { ($0.path, $0) }, uniquingKeysWith: { first, _ in first })
            self.states = states
        }
    }

    /// What the new backup shall know of its databases.
    package struct Found: Sendable {
        package fileprivate(set) var databases: [StoredDatabase] = []
        package fileprivate(set) var states = DatabaseStates()
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

    /// Which entries of `plan` could be databases, by index; told without reading a file.
    package static func candidates(in plan: SourcePlan) -> [Int] {
        Candidates(plan).indices
    }

    /// Gives `plan` a copy for each database that is new or changed, and leaves companions out.
    package func prepare(_ candidates: [Int], of plan: inout SourcePlan, parent: Parent?) throws -> Found {
        let current = plan
        let outcomes = try pool.map(candidates.count) { _, number in
            try run.stop.check()
            return try prepare(candidates[number], current, parent)
        }
        var found = Found()
        var companions: Set<Int> = []
        for case (let index, let outcome?) in zip(candidates, outcomes) {
            try take(outcome, for: index, &plan, &found)
            let path = plan.table.path(of: index)
            for suffix in DatabaseFiles.companionSuffixes {
                guard let companion = plan.table.index(of: path.appending(suffix: suffix)) else { continue }
                // Of a database that is copied as it is, only what SQLite makes anew is left out.
                if outcome.database.way != .raw || suffix == "-shm" { companions.insert(companion) }
            }
        }
        try plan.leaveOut(companions)
        return found
    }

    private struct Outcome: Sendable {
        enum Content: Sendable {
            case shared
            case copied(SourcePlan.PreparedFile, size: UInt64, extended: [ExtendedAttribute])
            /// It stays with what it was: a file to be read.
            case file
        }

        var database: StoredDatabase
        var state: DatabaseState?
        var content: Content
        /// Further files that were copied, by index.
        var logs: [(index: Int, file: SourcePlan.PreparedFile, size: UInt64, extended: [ExtendedAttribute])] = []
        var skipped: Skipped?
    }

    private func take(
        _ outcome: Outcome, for index: Int, _ plan: inout SourcePlan, _ found: inout Found
    ) throws {
        found.databases.append(outcome.database)
        if let state = outcome.state, state.isSettled(at: plan.reading) {
            found.states.states[outcome.database.path] = state
        }
        switch outcome.content {
        case .shared: plan.shareDatabase(index)
        case .copied(let file, let size, let extended): plan.take(file, size: size, extended: extended, for: index)
        case .file: break
        }
        for log in outcome.logs { plan.take(log.file, size: log.size, extended: log.extended, for: log.index) }
        if let skipped = outcome.skipped { plan.skipped.append(skipped) }
    }

    // MARK: One database

    /// Nil if the entry is no database after all.
    private func prepare(_ index: Int, _ plan: SourcePlan, _ parent: Parent?) throws -> Outcome? {
        let path = plan.table.path(of: index)
        let source: DatabaseFile
        let state: DatabaseState?
        let isReadable: Bool
        do throws(DiskError) {
            let directory = try plan.sourceDirectory(at: path.parent ?? .root)
            source = DatabaseFile(directory: directory, name: Array(path.name))
            state = try source.state()
            if let state, plan.parentDatabases[index] != nil, let stored = parent?.databases[path],
                parent?.states.states[path] == state, (stored.way == .raw) == isRaw(path)
            {
                return Outcome(database: stored, state: state, content: .shared)
            }
            isReadable = try DatabaseFiles.isDatabase(source.name, in: directory)
            // Encryption hides the database's header, but not that of its log.
            guard let state, isReadable || state.hasLog else { return nil }
        } catch {
            // Whoever reads it for the backup says what is wrong with it.
            return nil
        }
        if isRaw(path) { return try copyRaw(source, index, plan, state) }
        let needed = plan.table[index].size
        if try FileSystemTraits(of: scratch).freeBytes < needed {
            throw DiskError(.noSpace, "copy", "\(path)", because: "there is no room for a copy of \(ByteCount(needed))")
        }
        let copy = DatabaseCopy(source: source, scratch: scratch, name: "\(index).db", run: run)
        do {
            guard isReadable else { throw DatabaseNotCopied(reason: "it is encrypted, or no database") }
            let facts = try copy.make()
            return try copied(copy, facts, index, path, state)
        } catch let error as DatabaseNotCopied {
            var outcome = try copyRaw(source, index, plan, nil)
            outcome.skipped = Skipped(
                path: path, reason: "live database: \(error.reason); it is saved as it is, with its logs", isKept: true,
                code: .liveDatabase)
            return outcome
        }
    }

    private func copied(
        _ copy: DatabaseCopy, _ facts: DatabaseCopy.Facts, _ index: Int, _ path: EntryPath, _ state: DatabaseState?
    ) throws -> Outcome {
        let size = try scratch.status(of: copy.name.utf8)?.size ?? 0
        return Outcome(
            database: StoredDatabase(
                path: path, pages: facts.pages, pageSize: facts.pageSize, journalMode: facts.journalMode, way: facts.way
            ),
            state: state,
            content: .copied(
                .init(copy.name, in: scratch), size: size, extended: try extended(copy.source.name, copy.source)))
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

    /// The database first, then its logs: so a log holds what the database may lack, and never the other way round.
    private func copyRaw(
        _ source: DatabaseFile, _ index: Int, _ plan: SourcePlan, _ state: DatabaseState?
    ) throws -> Outcome {
        let path = plan.table.path(of: index)
        var outcome = Outcome(
            database: StoredDatabase(path: path, pages: 0, pageSize: 0, journalMode: "unknown", way: .raw),
            state: state,
            content: .file)
        guard let file = try copyRaw(source.name, source, as: "\(index).raw") else { return outcome }
        outcome.content = .copied(file.file, size: file.size, extended: file.extended)
        for (number, suffix) in ["-journal", "-wal"].enumerated() {
            guard let log = plan.table.index(of: path.appending(suffix: suffix)),
                let file = try copyRaw(source.name + Array(suffix.utf8), source, as: "\(index).raw\(number)")
            else { continue }
            outcome.logs.append((log, file.file, file.size, file.extended))
        }
        return outcome
    }

    /// Nil if it cannot be read: whoever reads it for the backup says so.
    private func copyRaw(
        _ name: [UInt8], _ source: DatabaseFile, as copy: String
    ) throws -> (file: SourcePlan.PreparedFile, size: UInt64, extended: [ExtendedAttribute])? {
        do {
            let copied = try scratch.copyFile(name, of: source.directory, as: copy, stop: run.stop)
            return (.init(copy, in: scratch), copied.size, copied.extended)
        } catch is SourceUnreadable {
            try scratch.unlink(copy.utf8)
            return nil
        } catch let error as DiskError where [.notFound, .denied, .isLink].contains(error.code) {
            return nil
        }
    }
}

/// Which entries of a plan can be databases: told by size and companions, so that few headers need be read.
private struct Candidates {
    private(set) var indices: [Int] = []

    init(_ plan: SourcePlan) {
        var found: Set<Int> = Set(plan.parentDatabases.keys)
        var groups: Set<UInt32> = []
        for index in 1..<max(1, plan.table.count) where plan.table[index].kind == .file {
            let record = plan.table[index]
            if let database = Self.database(ofCompanion: index, in: plan) {
                // Never opened here: whoever closes an index takes SQLite's locks from this whole process.
                found.insert(database)
                continue
            }
            // A database is made of pages, of 512 bytes at least.
            guard record.size >= 512, record.size % 512 == 0, plan.content(of: index) == .file else { continue }
            // Of several names of one file one is copied.
            if record.linkGroup != 0, !groups.insert(record.linkGroup).inserted { continue }
            found.insert(index)
        }
        indices = found.filter { plan.table[$0].size > 0 && plan.content(of: $0) == .file }.sorted()
    }

    private static func database(ofCompanion index: Int, in plan: SourcePlan) -> Int? {
        let name = plan.table.withName(of: index) { DatabaseFiles.database(ofCompanion: $0) }
        guard let name else { return nil }
        let path = (plan.table.path(of: index).parent ?? .root).appending(name)
        guard let database = plan.table.index(of: path), plan.table[database].kind == .file else { return nil }
        return database
    }
}

extension EntryPath {
    fileprivate func appending(suffix: String) -> EntryPath {
        (parent ?? .root).appending(Array(name) + Array(suffix.utf8))
    }
}
