import Disk
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

    /// What SQLite says of a database; its logs are taken over, if they are stored. `copy` writes what is stored under its
    /// name with a suffix into a file, and returns whether there is such a thing.
    package func verdict(copy: (_ suffix: String, _ target: inout NewFile) throws -> Bool) throws -> DatabaseVerdict {
        let name = "checked.db"
        defer { remove(name) }
        do {
            for suffix in ["", "-wal", "-journal"] {
                var file = try NewFile((name + suffix).utf8, in: scratch)
                if try !copy(suffix, &file) { try scratch.unlink((name + suffix).utf8) }
            }
            let database = try DatabaseConnection.toCopy(name.utf8, in: scratch)
            let verdict = try DatabaseVerdict(of: database, .full, stop: run.stop)
            try database.close()
            return verdict
        } catch let error as DatabaseError {
            return DatabaseVerdict(
                damage: ["it cannot be opened: \(printable(error.message.utf8))"])
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
