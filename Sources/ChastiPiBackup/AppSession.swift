import Containers
import Disk
import Model
import Workers

/// The locks and folders that a changing run holds, in their order: the app's first, then the backup directory's
/// (promise 15).
struct AppSession {
    let places: AppPlaces
    let run: RunContext

    /// What others are told while we hold a lock.
    private func holder(_ verb: String) -> String {
        "pid \(ProcessIdentity.number), \(verb), since \(run.now().readable)"
    }

    /// The app to ourselves, for a restore, an undo or a recovery.
    func exclusive(_ verb: String) throws -> RestoreFolders {
        do {
            return try RestoreFolders(in: places.app, holder: holder(verb)) { run.randomHex(bytes: $0) }
        } catch let error as DiskError {
            if error.code == .locked { throw locked("the app", error) }
            throw BackupError(
                .system, "cannot prepare \(RestoreFolders.name) in the app: \(error.reason)",
                advice: "Nothing was changed. Run as the app's owner or as root")
        }
    }

    /// Calls `body` while no restore can change the app. An interrupted one is brought to its end first.
    func sharing<R>(_ verb: String, _ body: () throws -> R) throws -> R {
        if try RestoreFolders.isRecoveryPending(in: places.app) {
            let recovery = try RestoreTransaction.recover(try exclusive(verb))
            run.report(.warning(Self.told(recovery)))
            for user in try FilesInUse.leftBehind(by: recovery, in: places.app) { run.report(.warning(user)) }
            for conflict in recovery.report.conflicts {
                run.report(.warning("\(conflict.path) was found there and is now in \(conflict.keptAt)"))
            }
        }
        let lock: Lock
        do throws(DiskError) {
            lock = try RestoreFolders.sharedLock(in: places.app, holder: holder(verb))
        } catch {
            if error.code == .locked { throw locked("the app", error) }
            // Where we may not write, nobody who is like us can restore.
            guard error.code == .denied || error.code == .readOnly else { throw error }
            return try body()
        }
        return try withExtendedLifetime(lock) { try body() }
    }

    /// Calls `body` with the backup directory's lock held; what dead runs left is removed before.
    func holding<R>(_ backups: AppBackups, _ verb: String, _ body: () throws -> R) throws -> R {
        let lock: Lock
        do throws(DiskError) {
            lock = try backups.place.lock(holder: holder(verb))
        } catch {
            if error.code == .locked { throw locked("the backup directory", error) }
            throw BackupError(
                .system, "cannot write to the backup directory \(printable(places.backupPath.utf8)): \(error.reason)",
                advice: "Check its owner, or name another with --backup-dir")
        }
        return try withExtendedLifetime(lock) { try body() }
    }

    private func locked(_ what: String, _ error: DiskError) -> BackupError {
        BackupError(.locked, "\(what) is locked: \(error.reason)", advice: "Wait until that run has ended")
    }

    static func told(_ recovery: Recovery) -> String {
        let what = recovery.isUndo ? "undo" : "restore"
        return switch recovery.direction {
        case .none: "nothing was interrupted"
        case .forward: "an interrupted \(what) was finished first"
        case .backward: "an interrupted \(what) was taken back first"
        }
    }
}
