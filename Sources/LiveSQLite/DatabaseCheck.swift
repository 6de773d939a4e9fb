import Disk
import GRDB
import Model

/// Opens a stored database, in a copy, and lets SQLite look through all of it.
package struct DatabaseCheck {
    private let scratch: Directory
    private let run: RunContext

    /// `scratch` is a directory for copies.
    package init(scratch: Directory, in run: RunContext) {
        self.scratch = scratch
        self.run = run
    }

    /// What is wrong with a database, as clauses; its logs are taken over, if they are stored. `copy` writes what is stored
    /// under its name with a suffix into a file, and returns whether there is such a thing.
    package func problems(copy: (_ suffix: String, _ target: inout NewFile) throws -> Bool) throws -> [String] {
        let name = "checked.db"
        defer { remove(name) }
        do {
            for suffix in ["", "-wal", "-journal"] {
                var file = try NewFile((name + suffix).utf8, in: scratch)
                if try !copy(suffix, &file) { try scratch.unlink((name + suffix).utf8) }
            }
            var configuration = Configuration()
            configuration.foreignKeysEnabled = false
            let queue = try DatabaseQueue(
                path: DatabaseFile.uri(name.utf8, in: scratch, ""), configuration: configuration)
            let lines = try queue.read { try String.fetchAll($0, sql: "PRAGMA integrity_check(10)") }
            try queue.close()
            return lines.filter { $0 != "ok" }.map { printable($0.utf8) }
        } catch let error as DatabaseError {
            return ["it cannot be opened: \(printable((error.message ?? "\(error.resultCode.rawValue)").utf8))"]
        }
    }

    private func remove(_ copy: String) {
        do throws(DiskError) {
            for name in [Array(copy.utf8)] + DatabaseFiles.companions(of: copy.utf8)
            where try scratch.status(of: name) != nil {
                try scratch.unlink(name)
            }
        } catch {
            // It goes with its directory.
        }
    }
}
