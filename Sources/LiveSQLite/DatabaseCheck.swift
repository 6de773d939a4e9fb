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

    /// What is wrong with the database `name` in `directory`, as clauses; its logs are taken over, if they are stored.
    package func problems(of name: [UInt8], in directory: Directory) throws -> [String] {
        let copy = "checked.db"
        defer { remove(copy) }
        do {
            _ = try scratch.copyFile(name, of: directory, as: copy, stop: run.stop)
            for suffix in ["-wal", "-journal"] {
                let log = name + Array(suffix.utf8)
                guard log.count <= 255, try directory.status(of: log)?.kind == .file else { continue }
                _ = try scratch.copyFile(log, of: directory, as: copy + suffix, stop: run.stop)
            }
            var configuration = Configuration()
            configuration.foreignKeysEnabled = false
            let queue = try DatabaseQueue(
                path: DatabaseFile.uri(copy.utf8, in: scratch, ""), configuration: configuration)
            let lines = try queue.read { try String.fetchAll($0, sql: "PRAGMA integrity_check(10)") }
            try queue.close()
            return lines.filter { $0 != "ok" }.map { printable($0.utf8) }
        } catch let error as DatabaseError {
            return ["it cannot be opened: \(printable((error.message ?? "\(error.resultCode.rawValue)").utf8))"]
        } catch let error as SourceUnreadable {
            return ["it cannot be read: \(error.cause.reason)"]
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
