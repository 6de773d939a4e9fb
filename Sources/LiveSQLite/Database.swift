import CSQLite
import Disk
import Model

/// What SQLite says of a call that failed.
struct DatabaseError: Error {
    /// The primary result code: <https://sqlite.org/rescode.html>.
    let code: CInt
    let message: String
}

/// A connection to a database, for one thread.
final class Database {
    /// Nil once it is closed; nothing may be done with it then.
    private var connection: OpaquePointer?

    enum Access {
        case read
        case write
    }

    /// Opens what `uri` (<https://sqlite.org/uri.html>) names; for writing, it is made where there is none.
    init(uri: String, for access: Access) throws(DatabaseError) {
        let flags = access == .read ? SQLITE_OPEN_READONLY : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
        var opened: OpaquePointer?
        let code = sqlite3_open_v2(uri, &opened, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK else {
            let error = Self.error(code, of: opened)
            sqlite3_close(opened)
            throw error
        }
        connection = opened
    }

    deinit {
        sqlite3_close_v2(connection)
    }

    // MARK: Statements

    /// Does what `sql` says; rows are passed over.
    func execute(_ sql: String) throws(DatabaseError) {
        try check(sqlite3_exec(connection, sql, nil, nil, nil))
    }

    /// The first column of all rows; empty texts for NULL.
    func texts(_ sql: String) throws(DatabaseError) -> [String] {
        var statement: OpaquePointer?
        try check(sqlite3_prepare_v2(connection, sql, -1, &statement, nil))
        defer { sqlite3_finalize(statement) }
        var texts: [String] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW: texts.append(sqlite3_column_text(statement, 0).map { String(cString: $0) } ?? "")
            case SQLITE_DONE: return texts
            case let code: throw Self.error(code, of: connection)
            }
        }
    }

    /// The first column of the first row; 0 where there is none.
    func number(_ sql: String) throws(DatabaseError) -> UInt64 {
        try texts(sql).first.flatMap { UInt64($0) } ?? 0
    }

    // MARK: Copies

    /// Makes `target` a copy of this database, `pages` pages at a time: <https://sqlite.org/c3ref/backup_finish.html>.
    /// `between` is done after each step.
    func copy(to target: Database, pagesPerStep pages: CInt, between: () throws -> Void) throws {
        guard let copy = sqlite3_backup_init(target.connection, "main", connection, "main") else {
            throw Self.error(sqlite3_errcode(target.connection), of: target.connection)
        }
        var code = SQLITE_OK
        do {
            while code == SQLITE_OK {
                code = sqlite3_backup_step(copy, pages)
                if code == SQLITE_OK { try between() }
            }
        } catch {
            sqlite3_backup_finish(copy)
            throw error
        }
        let end = sqlite3_backup_finish(copy)
        // The end does not tell of a lock that a step met.
        try target.check(code == SQLITE_DONE ? end : code)
    }

    /// Fails where the last statement or copy is not done with.
    func close() throws(DatabaseError) {
        guard let closing = connection else { return }
        try check(sqlite3_close(closing))
        connection = nil
    }

    // MARK: Waiting and stopping

    /// Until when to try again where another holds a lock.
    private final class Patience {
        let limit: Int
        let stop: StopFlag

        init(limit: Int, stop: StopFlag) {
            self.limit = limit
            self.stop = stop
        }
    }

    /// SQLite refers to it.
    private var patience: Patience?

    /// Waits up to `limit` milliseconds for whoever holds a lock, but no longer than the run goes on.
    func wait(upTo limit: Int, stop: StopFlag) {
        let patience = Patience(limit: limit, stop: stop)
        sqlite3_busy_handler(
            connection,
            { patience, attempt in
                guard let patience else { return 0 }
                let limits = Unmanaged<Patience>.fromOpaque(patience).takeUnretainedValue()
                return LockPatience.waits(attempt: Int(attempt), limit: limits.limit, stop: limits.stop) ? 1 : 0
            },
            Unmanaged.passUnretained(patience).toOpaque())
        self.patience = patience
    }

    /// Does `body`, whose statements end when the run is to stop.
    func stopping<R>(with stop: StopFlag, _ body: () throws -> R) throws -> R {
        let instructions: CInt = 20_000
        sqlite3_progress_handler(
            connection, instructions,
            { flag in
                guard let flag else { return 0 }
                return Unmanaged<StopFlag>.fromOpaque(flag).takeUnretainedValue().reason == nil ? 0 : 1
            },
            Unmanaged.passUnretained(stop).toOpaque())
        defer { sqlite3_progress_handler(connection, 0, nil, nil) }
        do {
            return try withExtendedLifetime(stop, body)
        } catch let error as DatabaseError where error.code == SQLITE_INTERRUPT {
            try stop.check()
            throw error
        }
    }

    // MARK: Errors

    private func check(_ code: CInt) throws(DatabaseError) {
        guard code == SQLITE_OK else { throw Self.error(code, of: connection) }
    }

    /// The connection knows more of its last call than that call's result says.
    private static func error(_ code: CInt, of connection: OpaquePointer?) -> DatabaseError {
        let isLast = connection != nil && sqlite3_errcode(connection) == code
        let text: UnsafePointer<CChar>? = isLast ? sqlite3_errmsg(connection) : sqlite3_errstr(code)
        // A step of a copy tells more than the primary code.
        return DatabaseError(
            code: code & 0xff, message: text.map { String(cString: $0) } ?? "SQLite fails with \(code)")
    }
}
