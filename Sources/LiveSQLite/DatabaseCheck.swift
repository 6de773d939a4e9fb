import Disk
import GRDB
import Model
import Workers

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
            try copyFile(name, in: directory, as: copy)
            for suffix in ["-wal", "-journal"] {
                let log = name + Array(suffix.utf8)
                guard log.count <= 255, try directory.status(of: log)?.kind == .file else { continue }
                try copyFile(log, in: directory, as: copy + suffix)
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

    private func copyFile(_ name: [UInt8], in directory: Directory, as copy: String) throws {
        let file = try OpenFile(name, in: directory)
        let size = try file.status().size
        if try FileSystemTraits(of: scratch).freeBytes < size {
            throw DiskError(
                .noSpace, "copy", printable(name), because: "there is no room for a copy of \(ByteCount(size))")
        }
        let buffer = Buffer(size: 1 << 18)
        var target = try NewFile(copy.utf8, in: scratch)
        try FileCopy.copy(
            file, size: size, to: &target, through: buffer.bytes, isSparse: false, stop: run.stop, each: { _ in })
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
