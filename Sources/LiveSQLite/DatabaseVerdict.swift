import CSQLite
import Model

/// What SQLite's own check says of a database.
package struct DatabaseVerdict: Sendable, Equatable {
    /// Pages or indexes that are broken, as clauses.
    package var damage: [String] = []
    /// What is no damage: values that the schema forbids, and what only the app can check, as it has functions, collations
    /// or modules that SQLite has not.
    package var notes: [String] = []

    enum Depth: String {
        /// Every page.
        case quick = "quick_check"
        /// Indexes against their tables, too.
        case full = "integrity_check"
    }

    private static let lines = 10

    init(damage: [String] = [], notes: [String] = []) {
        self.damage = damage
        self.notes = notes
    }

    /// Looks through all of `database`; what cannot be understood as a whole, table by table.
    init(of database: Database, _ depth: Depth, stop: StopFlag) throws {
        self = try database.stopping(with: stop) {
            // An app may have functions of its own in them.
            try database.execute("PRAGMA ignore_check_constraints = ON")
            do {
                return try Self.run(depth, "\(Self.lines)", database)
            } catch let error as DatabaseError where error.code == SQLITE_ERROR {
                return try Self.byTable(depth, database)
            }
        }
    }

    private static func byTable(_ depth: Depth, _ database: Database) throws -> DatabaseVerdict {
        var verdict = DatabaseVerdict()
        let tables = try database.texts(
            "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY 1")
        for table in tables where verdict.damage.count < Self.lines {
            do {
                let found = try run(
                    depth,
                    "\"\(table.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\""))\"",
                    database)
                verdict.damage += found.damage
                verdict.notes += found.notes
            } catch let error as DatabaseError where error.code == SQLITE_ERROR {
                verdict.notes.append(
                    "table \(printable(table.utf8)) cannot be checked without its app: \(printable(error.message.utf8))"
                )
            }
        }
        return verdict
    }

    private static func run(_ depth: Depth, _ argument: String, _ database: Database) throws -> DatabaseVerdict {
        let lines = try database.texts("PRAGMA \(depth.rawValue)(\(argument))").filter { $0 != "ok" }
        return DatabaseVerdict(
            damage: lines.filter { !isAboutValues($0) }.map { printable($0.utf8) },
            notes: lines.filter { isAboutValues($0) }.map { printable($0.utf8) })
    }

    /// Whether a line of the check is about a value that the schema does not allow: the app's affair.
    private static func isAboutValues(_ line: String) -> Bool {
        ["NULL value in ", "CHECK constraint failed in ", "NUMERIC value in ", "TEXT value in ", "non-"].contains {
            line.hasPrefix($0)
        } && !line.hasPrefix("non-unique entry")
    }
}
