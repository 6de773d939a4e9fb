import CSQLite
import Containers
import Disk
import Model

/// Why a database could not be copied consistently, as a clause.
struct DatabaseNotCopied: Error {
    let reason: String
}

/// Makes a consistent copy of one database (decision 013). The source is never changed.
struct DatabaseCopy {
    /// What was found out about a database.
    struct Facts: Sendable {
        var pages: UInt64 = 0
        var pageSize: UInt64 = 0
        var journalMode = "rollback"
        var way = StoredDatabase.Way.online
        /// What SQLite's check says that is no damage, as clauses.
        var notes: [String] = []

        func stored(at path: EntryPath) -> StoredDatabase {
            StoredDatabase(path: path, pages: pages, pageSize: pageSize, journalMode: journalMode, way: way)
        }
    }

    let source: DatabaseFile
    /// Where the copy is made, and its name there.
    let scratch: Directory
    let name: String
    let run: RunContext

    /// How long to wait for a writer, in milliseconds.
    static let patience = 10_000
    private static let pagesPerStep: CInt = 1024
    /// The read version that SQLite knows: <https://sqlite.org/fileformat.html#file_format_version_numbers>.
    private static let newestFormat: UInt8 = 2

    /// Makes the copy and checks it. Throws ``DatabaseNotCopied`` if there can be none that is consistent; then nothing of
    /// it is left.
    func make() throws -> Facts {
        for attempt in 1... {
            do {
                return try attemptOnce()
            } catch let error as ChangedMeanwhile {
                try discard()
                if attempt == 5 { throw DatabaseNotCopied(reason: error.reason) }
            } catch let error as DatabaseError {
                try discard()
                // A wait for a lock ends when the run is to stop.
                try run.stop.check()
                if error.code == SQLITE_FULL {
                    throw DiskError(.noSpace, "copy", "a database", because: "no space")
                }
                throw DatabaseNotCopied(reason: Self.reason(error))
            } catch let error as DiskError where error.code != .noSpace {
                try discard()
                throw DatabaseNotCopied(reason: error.reason)
            } catch let error as SourceUnreadable {
                try discard()
                throw DatabaseNotCopied(reason: error.cause.reason)
            }
        }
        throw DatabaseNotCopied(reason: "it never stood still")
    }

    private struct ChangedMeanwhile: Error {
        let reason: String
    }

    private static func reason(_ error: DatabaseError) -> String {
        switch error.code {
        case SQLITE_NOTADB: "it is encrypted, or no database"
        case SQLITE_CORRUPT: "it is damaged"
        case SQLITE_BUSY, SQLITE_LOCKED: "a writer has locked it for \(patience / 1000) s"
        default: printable(error.message.utf8)
        }
    }

    private func discard() throws(DiskError) {
        for name in [Array(name.utf8)] + DatabaseFiles.companions(of: name.utf8)
        where try scratch.status(of: name) != nil {
            try scratch.unlink(name)
        }
    }

    private func attemptOnce() throws -> Facts {
        let (way, isWAL) = try copySource()
        // Nothing of the app is held from here on.
        var facts = try openCopy { database in
            try database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return try check(database)
        }
        facts.way = way
        facts.journalMode = isWAL ? "wal" : "rollback"
        return facts
    }

    // MARK: The source

    /// Brings what the copy is made of into our own directory. Whoever waits for the database, or closes it, does so only
    /// as long as this takes.
    private func copySource() throws -> (way: StoredDatabase.Way, isWAL: Bool) {
        let file = try OpenFile(source.name, in: source.directory)
        let head = try file.bytes(at: 0, count: 100)
        if head.count == 100, head[19] > Self.newestFormat {
            throw DatabaseNotCopied(reason: "it is of a newer format")
        }
        for companion in DatabaseFiles.companions(of: source.name) {
            if let status = try source.directory.status(of: companion), status.kind != .file {
                throw DatabaseNotCopied(reason: "\(printable(companion)) is no regular file")
            }
        }
        // As SQLite does: the version for writers does not count, and a log that is there is opened whatever the header says.
        let isWAL = head.count == 100 && head[19] == 2
        let usesLog = try isWAL || source.status(ofCompanion: source.log) != nil
        let way = usesLog ? try copyWithLog(file) : try copyWithJournal(file)
        // SQLite has opened it by its name: it must have been this file, with the log of this file.
        guard try source.directory.status(of: source.name)?.identity == file.status().identity else {
            throw ChangedMeanwhile(reason: "it was replaced each time it was read")
        }
        // Closed last: SQLite's locks in this process end with any descriptor of the file that is closed.
        _ = consume file
        return (way, isWAL)
    }

    /// Under our lock nobody who closes the database takes its log away.
    private func copyWithLog(_ file: borrowing OpenFile) throws -> StoredDatabase.Way {
        try file.lockDatabase(waiting: Self.patience, stop: run.stop)
        return try isOpen() ? try copyOnlineOrRolledBack() : try copyFiles()
    }

    /// Whether somebody has the database open in WAL mode, or died so. Without its log an index is of no meaning, and
    /// SQLite would make the log.
    private func isOpen() throws(DiskError) -> Bool {
        guard try source.status(ofCompanion: source.index) != nil else { return false }
        return try source.status(ofCompanion: source.log) != nil
    }

    /// SQLite takes the lock itself: behind one of ours a writer would wait, and SQLite behind him.
    private func copyWithJournal(_ file: borrowing OpenFile) throws -> StoredDatabase.Way {
        try copyOnlineOrRolledBack { try file.lockDatabase(waiting: Self.patience, stop: run.stop) }
    }

    /// With a hot journal someone died while he wrote: a connection that may only read cannot roll back.
    private func copyOnlineOrRolledBack(locking: () throws -> Void = {}) throws -> StoredDatabase.Way {
        do {
            return try copyOnline()
        } catch let error as DatabaseError where [SQLITE_READONLY, SQLITE_CANTOPEN].contains(error.code) {
            try discard()
            try locking()
            return try copyFiles()
        }
    }

    private func copyOnline() throws -> StoredDatabase.Way {
        let from = try DatabaseConnection.toSource(source, patience: Self.patience, stop: run.stop)
        try openCopy { to in
            // From its first read on a transaction is one snapshot, through all steps.
            try from.execute("BEGIN; SELECT count(*) FROM sqlite_master")
            try from.copy(to: to, pagesPerStep: Self.pagesPerStep) { try run.stop.check() }
            try from.execute("COMMIT")
        }
        try from.close()
        return .online
    }

    /// The database and its logs are copied as they are, and the copy takes them over: a journal first, as SQLite does. Someone
    /// who opens the database meanwhile is told by what he leaves.
    private func copyFiles() throws -> StoredDatabase.Way {
        let before = try source.state()
        let wasOpen = try isOpen()
        guard before != nil else { throw ChangedMeanwhile(reason: "it vanished") }
        _ = try scratch.copyFile(source.name, of: source.directory, as: name, stop: run.stop)
        for log in [source.journal, source.log] where try source.status(ofCompanion: log) != nil {
            let suffix = String(decoding: log.suffix(log.count - source.name.count), as: UTF8.self)
            let count = try usedLength(of: log)
            _ = try scratch.copyFile(log, of: source.directory, as: name + suffix, upTo: count, stop: run.stop)
        }
        guard try source.state() == before, try isOpen() == wasOpen else {
            throw ChangedMeanwhile(reason: "it changed each time it was read")
        }
        return .quiescent
    }

    /// How many bytes of a log the copy needs. One journal of several, of a transaction over several databases, counts as
    /// long as the file that they name is there. SQLite would look for that by a path that may be another one here, and,
    /// done, delete it.
    private func usedLength(of log: [UInt8]) throws -> UInt64 {
        guard log == source.journal, let record = try SuperJournal(namedBy: OpenFile(log, in: source.directory)) else {
            return .max
        }
        guard let isThere = try record.isThere(beside: source.directory) else {
            throw DatabaseNotCopied(
                reason:
                    "whether its last transaction was completed stands in \(printable(record.path)), which is not here")
        }
        return isThere ? record.rest : 0
    }

    // MARK: The copy

    /// Opens the copy, and closes it so that it stands alone.
    private func openCopy<R>(_ body: (Database) throws -> R) throws -> R {
        let database = try DatabaseConnection.toCopy(name.utf8, in: scratch)
        // What makes the backup durable is its own sync.
        try database.execute("PRAGMA synchronous = OFF")
        let result = try body(database)
        try database.close()
        for companion in DatabaseFiles.companions(of: name.utf8) where try scratch.status(of: companion) != nil {
            throw ChangedMeanwhile(reason: "its log could not be taken over")
        }
        return result
    }

    /// Only a copy that is whole counts. What is wrong in the app's eyes only is as it was.
    private func check(_ database: Database) throws -> Facts {
        let verdict = try DatabaseVerdict(of: database, .quick, stop: run.stop)
        if let damage = verdict.damage.first { throw DatabaseNotCopied(reason: "it is damaged: \(damage)") }
        var facts = Facts()
        facts.notes = verdict.notes
        facts.pages = try database.number("PRAGMA page_count")
        facts.pageSize = try database.number("PRAGMA page_size")
        return facts
    }
}

extension DatabaseCopy.Facts {
    init(_ stored: StoredDatabase) {
        self.init(
            pages: stored.pages, pageSize: stored.pageSize, journalMode: stored.journalMode, way: stored.way)
    }
}
