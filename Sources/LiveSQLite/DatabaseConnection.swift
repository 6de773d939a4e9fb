import CSQLite
import Disk
import Model

/// How this program opens databases.
enum DatabaseConnection {
    /// To a database of ours.
    static func toCopy(_ name: some Sequence<UInt8>, in directory: Directory) throws -> Database {
        try open(DatabaseFile.uri(name, in: directory, ""), for: .write)
    }

    /// To a database of the app: nothing there is changed. Waits up to `patience` milliseconds for whoever has locked it.
    static func toSource(_ source: DatabaseFile, patience: Int, stop: StopFlag) throws -> Database {
        let database = try open(source.uri("mode=ro&readonly_shm=1"), for: .read)
        database.wait(upTo: patience, stop: stop)
        return database
    }

    private static func open(_ uri: String, for access: Database.Access) throws -> Database {
        guard keepsOwners else { throw DatabaseNotCopied(reason: "SQLite would change owners of its logs") }
        return try Database(uri: uri, for: access)
    }

    /// SQLite, run by root, gives each log that it opens to the owner of the database. Not here: the app's files are not
    /// ours to give away. The call is taken from it as <https://sqlite.org/c3ref/vfs.html> provides for.
    private static let keepsOwners: Bool = {
        guard let vfs = sqlite3_vfs_find(nil), let set = vfs.pointee.xSetSystemCall else { return false }
        let doNothing: @convention(c) (CInt, UInt32, UInt32) -> CInt = { _, _, _ in 0 }
        return set(vfs, "fchown", unsafeBitCast(doNothing, to: sqlite3_syscall_ptr.self)) == SQLITE_OK
    }()
}
