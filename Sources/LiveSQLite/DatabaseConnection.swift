import Disk
import GRDB
import GRDBSQLite
import Model

/// How this program opens databases.
enum DatabaseConnection {
    /// For a database of ours.
    static func toCopy(_ name: some Sequence<UInt8>, in directory: Directory) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        return try open(DatabaseFile.uri(name, in: directory, ""), configuration)
    }

    /// For a database of the app: nothing there is changed. Waits up to `patience` milliseconds for whoever has locked it.
    static func toSource(_ source: DatabaseFile, patience: Int, stop: StopFlag) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.readonly = true
        configuration.foreignKeysEnabled = false
        configuration.busyMode = .callback { LockPatience.waits(attempt: $0, limit: patience, stop: stop) }
        return try open(source.uri("mode=ro&readonly_shm=1"), configuration)
    }

    private static func open(_ path: String, _ configuration: Configuration) throws -> DatabaseQueue {
        guard keepsOwners else { throw DatabaseNotCopied(reason: "SQLite would change owners of its logs") }
        return try DatabaseQueue(path: path, configuration: configuration)
    }

    /// SQLite, run by root, gives each log that it opens to the owner of the database. Not here: the app's files are not
    /// ours to give away. The call is taken from it as <https://sqlite.org/c3ref/vfs.html> provides for.
    private static let keepsOwners: Bool = {
        guard let vfs = sqlite3_vfs_find(nil), let set = vfs.pointee.xSetSystemCall else { return false }
        let doNothing: @convention(c) (CInt, UInt32, UInt32) -> CInt = { _, _, _ in 0 }
        return set(vfs, "fchown", unsafeBitCast(doNothing, to: sqlite3_syscall_ptr.self)) == SQLITE_OK
    }()
}

extension Database {
    /// Does `body`, whose statements end when the run is to stop.
    func stopping<R>(with stop: StopFlag, _ body: () throws -> R) throws -> R {
        let instructions: CInt = 20_000
        sqlite3_progress_handler(
            sqliteConnection, instructions,
            { flag in
                guard let flag else { return 0 }
                return Unmanaged<StopFlag>.fromOpaque(flag).takeUnretainedValue().reason == nil ? 0 : 1
            },
            Unmanaged.passUnretained(stop).toOpaque())
        defer { sqlite3_progress_handler(sqliteConnection, 0, nil, nil) }
        do {
            return try withExtendedLifetime(stop, body)
        } catch let error as DatabaseError where error.resultCode == .SQLITE_INTERRUPT {
            try stop.check()
            throw error
        }
    }
}
