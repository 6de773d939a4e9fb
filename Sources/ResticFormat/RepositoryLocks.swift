import Codec
import Disk
import Model
import Storage
import Workers

/// A lock and its ID.
package struct StoredLock: Equatable, Sendable {
    package let id: SHA256Digest
    package let lock: LockFile
}

/// Which locks are removed.
package enum LockRemoval: Sendable {
    /// Those that restic takes for left behind: not refreshed for 30 minutes, or of a process of this host that is not there.
    case stale
    /// All, whether they can be read or not: only if nobody uses the repository.
    case all
}

/// What became of the locks of a repository.
package struct UnlockResult: Sendable {
    /// Locks that are gone.
    package var removed: [StoredLock] = []
    /// Files that are gone and could not be read, or were not tried.
    package var removedUnread: [SHA256Digest] = []
    /// Locks that stay.
    package var kept: [StoredLock] = []
    /// Files that stay and cannot be read.
    package var findings: [Finding] = []
}

/// How long is waited for what. Tests are quicker.
package struct LockTimes: Sendable {
    /// Milliseconds after which others can be expected to see a new lock, where listings are not consistent.
    package var settling = 200
    /// How often it is looked whether something is to be done.
    package var tick = 1000
    /// Seconds after which a lock is refreshed.
    package var refresh = 5.0 * 60
    /// Seconds between two tries to refresh it.
    package var retry = 60.0
    /// Seconds after which a lock that was not refreshed counts as lost, well before others may remove it.
    package var limit = 22.5 * 60
    /// Milliseconds between the looks at what cannot be read.
    package var unreadable = [500, 1000, 2000]
    /// Milliseconds to the second try to get a lock, and the most between two tries.
    package var patience = 5000...60_000

    package static let standard = LockTimes()

    package init() {}
}

// Looking.
extension Repository {
    /// All locks, and what cannot be read. Files without a byte, which cut off uploads leave behind, are no locks.
    package func locks() throws -> (locks: [StoredLock], findings: [Finding]) {
        let scan = try scanLocks(except: [])
        return (scan.locks, scan.findings)
    }

    /// Locks as they were found.
    struct LockScan {
        var locks: [StoredLock] = []
        var unreadable: [(key: ObjectKey, reason: String)] = []

        var findings: [Finding] { unreadable.map { Finding(.damage, "\($0.key)", $0.reason) } }
    }

    func scanLocks(except own: Set<ObjectKey>) throws -> LockScan {
        // A lock that was there and is gone has mostly been replaced by its holder: the new one may be in no list yet.
        for _ in 0..<5 {
            if let scan = try scanLocksOnce(except: own) { return scan }
        }
        throw BackupError(.locked, "the locks of \(backend.place) come and go", advice: "Try again later")
    }

    /// Nil if a lock that was listed is gone.
    private func scanLocksOnce(except own: Set<ObjectKey>) throws -> LockScan? {
        var scan = LockScan()
        var coder = coder()
        for object in try backend.list(.lock) where object.size > 0 && !own.contains(object.key) {
            do {
                guard object.size <= UInt64(LockFile.sizeLimit) else { throw FormatError("it is too large") }
                let json = try document(object.key, limit: LockFile.sizeLimit, &coder)
                scan.locks.append(StoredLock(id: object.key.id, lock: try LockFile(json: json)))
            } catch let error as FormatError {
                scan.unreadable.append((object.key, error.description))
            } catch let error as StorageError {
                switch error.code {
                case .notFound: return nil
                case .tooShort, .invalid: scan.unreadable.append((object.key, error.reason))
                default: throw error
                }
            }
        }
        return scan
    }

    /// Why a lock of this kind cannot be had now; nil if it can. Locks whose holders are proven dead are removed, with a notice.
    func obstacle(
        to kind: LockKind, except own: Set<ObjectKey>, _ times: LockTimes, in run: RunContext
    ) throws -> BackupError? {
        let here = LockFile.own(kind, verb: "", at: run.now())
        var pauses = times.unreadable[...]
        while true {
            let scan = try scanLocks(except: own)
            var obstacle: BackupError?
            for stored in scan.locks {
                if stored.lock.isOrphan(seenBy: here) {
                    try backend.remove(.lock(stored.id))
                    run.report(
                        .warning("removed the lock of \(stored.lock.holder), which has ended without removing it"))
                } else if !stored.lock.agrees(with: kind), obstacle == nil {
                    obstacle = refusal(stored.lock, here)
                }
            }
            guard obstacle == nil, let unreadable = scan.unreadable.first else { return obstacle }
            guard let pause = pauses.popFirst() else {
                return BackupError(
                    .locked, "a lock of \(backend.place) cannot be read (\(unreadable.key): \(unreadable.reason))",
                    advice:
                        "If no other program uses the repository, remove all locks with 'repository unlock --remove-all'"
                )
            }
            try Pause.wait(milliseconds: pause, checking: run.stop.check)
        }
    }

    private func refusal(_ lock: LockFile, _ here: LockFile) -> BackupError {
        let now = here.time.moment
        let how = lock.kind == .exclusive ? "has locked it for itself alone" : "uses it"
        let text =
            "the repository \(backend.place) is locked: \(lock.holder) \(how), last seen \(lock.age(at: now)) ago"
        let advice =
            lock.isStale(at: now, seenBy: here)
            ? "It seems to have ended without removing its lock: 'repository unlock' removes it"
            : "Try again later, or wait for it with --retry-lock"
        return BackupError(.locked, text, advice: advice)
    }
}

// Removing, and what is needed to make one.
extension Repository {
    func sealed(_ lock: LockFile) -> (ObjectKey, [UInt8]) {
        var coder = coder()
        var compressor = ZstdCompressor(level: 3)
        let bytes = coder.sealDocument(lock.json, &compressor)
        return (.lock(SHA256.digest(of: bytes)), bytes)
    }

    /// Removes locks that others have left behind. Needs no lock.
    package func unlock(_ which: LockRemoval, in run: RunContext) throws -> UnlockResult {
        let plan = try unlockPlan(which, in: run)
        let keys = plan.removed.map(\.id) + plan.removedUnread
        if let error = backend.remove(keys.map { .lock($0) }).values.first { throw error }
        return plan
    }

    /// What ``unlock(_:in:)`` would come to now.
    package func unlockPlan(_ which: LockRemoval, in run: RunContext) throws -> UnlockResult {
        let here = LockFile.own(.shared, verb: "", at: run.now())
        let scan = try scanLocks(except: [])
        var result = UnlockResult()
        switch which {
        case .stale:
            result.removed = scan.locks.filter { $0.lock.isStale(at: here.time.moment, seenBy: here) }
            result.kept = scan.locks.filter { !$0.lock.isStale(at: here.time.moment, seenBy: here) }
            result.findings = scan.findings
        case .all:
            result.removed = scan.locks
            // Those without a byte among them.
            let known = Set(scan.locks.map(\.id))
            result.removedUnread = try backend.list(.lock).map(\.key.id).filter { !known.contains($0) }
        }
        return result
    }
}

extension StorageError {
    /// Whether who only reads goes on without a lock: none can be made, on a disk that is mounted for reading or full. Just from a
    /// full one a restore must work, and nobody can lock it to remove something there either.
    package var forbidsLocks: Bool { [.denied, .readOnly, .noSpace].contains(code) }

    /// What is said about that.
    package func tellsOfMissingLock(in place: String) -> Event {
        guard code == .noSpace else { return .note("no lock can be made in \(place), which is only read") }
        return .warning("no lock can be made in \(place), which is full: remove nothing there meanwhile")
    }
}
