import CLinux
import Model

/// Which of the two folders of a transaction: what came from the backup, and what stood in the app before.
package enum RestoreSide: String, Sendable {
    case new, old

    var other: RestoreSide { self == .new ? .old : .new }
}

/// Our private folders in an app and on the file systems mounted below it, while the app's lock is held exclusively
/// (spec section 2). All changes that restores make go through here.
package final class RestoreFolders {
    package static let name = ".chastipi"
    package static let mountPrefix = ".chastipi-mount-"

    /// A file system with places: the app's own, or one mounted below it (M1).
    struct Volume {
        /// Where it is mounted, relative to the app.
        let mount: EntryPath
        let root: Directory
        /// `APP/.chastipi` or `MOUNT/.chastipi-mount-TOKEN`.
        let own: Directory
    }

    package let app: Directory
    let own: Directory
    /// Nil for one who only looks.
    private let lock: Lock?
    let random: (Int) -> String
    /// As it was last read or written.
    private(set) var state: RestoreState
    /// The app's file system first.
    private(set) var volumes: [Volume]

    /// Takes the app's lock and makes what is missing (S1). The modification time of the app's directory is put back.
    ///
    /// `randomHex` gives so many random bytes in hexadecimal; `holder` is what others are told while we hold the lock.
    package init(in app: Directory, holder: String, randomHex: @escaping (Int) -> String) throws {
        let before = try app.status()
        let isNew = try app.status(of: Self.name.utf8) == nil
        let own = try app.directory(making: Self.name.utf8)
        if isNew { Self.putBack(before.modified, on: app) }
        lock = try Lock("lock".utf8, in: own, mode: .exclusive, holder: holder)
        self.app = app
        self.own = own
        random = randomHex
        volumes = [Volume(mount: .root, root: app, own: own)]
        if let state = try Self.readState(in: own) {
            self.state = state
        } else {
            try Self.mark(own)
            state = RestoreState(token: randomHex(16), phase: .idle)
            try own.replaceFile("state", with: state.line)
            try app.fsync()
        }
        try useKnownMounts()
    }

    /// Opens what is there to look at it: takes no lock and makes nothing. Nil if no restore was ever made.
    package static func peek(in app: Directory) throws -> RestoreFolders? {
        guard try app.status(of: name.utf8) != nil else { return nil }
        let own = try app.directory(name.utf8)
        guard let state = try readState(in: own) else { return nil }
        guard state.phase == .idle || state.phase == .settled else {
            throw BackupError(.recoveryPending, "a restore was interrupted", advice: "Run recover first")
        }
        return try RestoreFolders(peeking: app, own, state)
    }

    private init(peeking app: Directory, _ own: Directory, _ state: RestoreState) throws {
        self.app = app
        self.own = own
        self.state = state
        lock = nil
        random = { _ in "" }
        volumes = [Volume(mount: .root, root: app, own: own)]
        try useKnownMounts()
    }

    /// Opens our folders wherever there are any, so that what a crash left there is synced and removed too.
    private func useKnownMounts() throws {
        let name = Array((Self.mountPrefix + state.token).utf8)
        for mount in try Mounts.below(app) {
            do throws(DiskError) {
                guard let root = try AppPaths(app).directory(at: mount), try root.status(of: name) != nil else {
                    continue
                }
                volumes.append(Volume(mount: mount, root: root, own: try root.directory(name)))
            } catch {
                // One that we may not enter has no folder of ours.
                guard error.code == .denied else { throw error }
            }
        }
    }

    /// Takes the app's lock together with other runs that only read the app. Fails with `denied` or `readOnly` where we
    /// may not write: there nobody who is like us can restore, and the caller goes on without the lock.
    package static func sharedLock(in app: Directory, holder: String) throws(DiskError) -> Lock {
        let before = try app.status()
        let isNew = try app.status(of: Self.name.utf8) == nil
        let own = try app.directory(making: Self.name.utf8)
        if isNew {
            putBack(before.modified, on: app)
            try mark(own)
        }
        return try Lock("lock".utf8, in: own, mode: .shared, holder: holder)
    }

    /// Whether a restore was interrupted and waits for `recover`. For runs that only read: takes no lock.
    package static func isRecoveryPending(in app: Directory) throws -> Bool {
        guard try app.status(of: name.utf8) != nil else { return false }
        do {
            guard let state = try readState(in: try app.directory(name.utf8)) else { return false }
            return state.phase == .forward || state.phase == .backward
        } catch let error as DiskError where error.code == .denied {
            // It is someone else's to recover, and no reason not to list or to save the app.
            return false
        }
    }

    /// What keeps the folder out of repositories of git and, wherever the app is copied to, out of backups (promise 4).
    private static func mark(_ own: Directory) throws(DiskError) {
        for (name, text) in [(Array(".gitignore".utf8), "*\n"), (TreeWalk.marker, "Kept for chastipi-backup undo.\n")]
        where try own.status(of: name) == nil {
            var file = try NewFile(name, in: own)
            try own.giveToOwner(file.descriptor)
            try file.write(Array(text.utf8))
        }
    }

    private static func putBack(_ time: Timestamp, on directory: Directory) {
        // Only its owner may set it; that a group member's first restore shows in the time is of no consequence.
        _ = linux_set_modified(directory.descriptor, time.seconds, time.nanoseconds)
    }

    /// Reads `state`; nil if none was ever written. Guessing here could delete the only copy of displaced files (D3).
    private static func readState(in own: Directory) throws -> RestoreState? {
        guard try own.status(of: "state".utf8) != nil else {
            guard try own.status(of: "restores".utf8) != nil,
                try !own.directory("restores".utf8).items().isEmpty
            else { return nil }
            throw damaged("state is missing, but \(name)/restores is not empty")
        }
        let bytes = try own.readFile("state".utf8, limit: 4096)
        guard let state = RestoreState(line: bytes) else { throw damaged("state is damaged or of a newer version") }
        return state
    }

    static func damaged(_ what: String) -> BackupError {
        BackupError(
            .recoveryFailed, "\(name)/\(what)",
            advice: "Nothing was touched. Move \(name) away by hand once you have looked into it")
    }

    /// Makes `state` the commit point's new value: durable when this returns (D2). After an error what is visible, and
    /// what survives a power cut, is the old or the new value.
    func write(_ new: RestoreState) throws(DiskError) {
        try own.replaceFile("state", with: new.line)
        state = new
    }

    /// After a write of unknown outcome, what matters is what we decide next, not what is visible (X1).
    func assume(_ new: RestoreState) { state = new }
}

// Other file systems.
extension RestoreFolders {
    /// Opens our folders on the file systems at `mounts`; makes them first if `making`, else a missing one is an error.
    func use(mounts: [EntryPath], making: Bool) throws {
        for mount in mounts where !volumes.contains(where: { $0.mount == mount }) {
            let root: Directory
            do throws(DiskError) {
                root = try app.directory(at: mount)
                let name = Array((Self.mountPrefix + state.token).utf8)
                if making, try root.status(of: name) == nil {
                    let before = try root.status()
                    _ = try root.makeDirectory(name)
                    Self.putBack(before.modified, on: root)
                    try root.fsync()
                }
                volumes.append(Volume(mount: mount, root: root, own: try root.directory(name)))
            } catch {
                guard error.code == .notFound, !making else { throw error }
                throw BackupError(
                    .recoveryPending, "the file system at \(mount) takes part in the restore but is not mounted",
                    advice: "Mount \(mount), then run recover")
            }
        }
    }

    /// Opens our folders on all file systems of a transaction. Another disk may be mounted where one of them was: the
    /// transaction's own folder tells them apart (R3). `then`: what to do once it is back.
    func use(_ journal: RestoreJournal, then advice: String) throws {
        try use(mounts: journal.mounts, making: false)
        for volume in volumes
        where try (volume.mount.isRoot || journal.mounts.contains(volume.mount))
            && volume.transaction(journal.id) == nil
        {
            let place = volume.mount.isRoot ? "the app" : "the file system at \(volume.mount)"
            throw BackupError(
                .recoveryPending, "\(place) is not the one that the restore was made on: its folder of it is missing",
                advice: volume.mount.isRoot
                    ? "Nothing was touched" : "Mount the disk that was at \(volume.mount) then, and \(advice)")
        }
    }

    /// The file system on which a place lies: that of its parent directory.
    func volume(of place: EntryPath) -> Volume {
        let parent = place.parent ?? .root
        var best = volumes[0]
        for volume in volumes
        where parent.isAtOrBelow(volume.mount) && best.mount.bytes.count < volume.mount.bytes.count {
            best = volume
        }
        return best
    }

    /// Everything on all file systems of the transaction is durable when this returns (M2). `journal` tells which
    /// directories of the app were touched, for file systems that must be synced file by file.
    func sync(_ journal: RestoreJournal?) throws {
        for volume in volumes {
            if try FileSystemTraits(of: volume.own).syncsAsWhole {
                try volume.own.syncFileSystem()
                continue
            }
            try Durability(in: volume.own).makeDurable(volume.own)
            for line in journal?.directories ?? []
            where self.volume(of: line.path.appending([0x78])).mount == volume.mount {
                do throws(DiskError) {
                    try app.directory(at: line.path).fsync()
                } catch {
                    // A directory that is itself a place may stand on one side only.
                    guard [.notFound, .notDirectory, .isLink].contains(error.code) else { throw error }
                }
            }
        }
    }
}

extension RestoreFolders.Volume {
    /// The folder of a transaction.
    func transaction(_ id: String) throws(DiskError) -> Directory? {
        guard try own.status(of: "restores".utf8) != nil else { return nil }
        let restores = try own.directory("restores".utf8)
        guard try restores.status(of: id.utf8) != nil else { return nil }
        return try restores.directory(id.utf8)
    }

    /// The folder that mirrors the parent of `place`; nil if it is not there, and then nothing of the place is either.
    func mirror(of place: EntryPath, in side: RestoreSide, of id: String) throws(DiskError) -> Directory? {
        guard let transaction = try transaction(id) else { return nil }
        do throws(DiskError) {
            return try transaction.directory(side.rawValue.utf8).directory(at: place.parent ?? .root)
        } catch  where error.code == .notFound {
            return nil
        }
    }

    /// Makes `restores/ID/{new,old}` with the directories that mirror the parents of `places` (S3).
    func makeTransaction(_ id: String, for places: [EntryPath]) throws(DiskError) {
        let transaction = try own.directory(making: "restores".utf8).makeOwnDirectory(id.utf8)
        for side in [RestoreSide.new, .old] {
            let top = try transaction.makeOwnDirectory(side.rawValue.utf8)
            var last: EntryPath?
            for place in places where place.parent != last {
                last = place.parent
                var directory = top
                for component in last?.components ?? [] { directory = try directory.directory(making: component) }
            }
        }
    }
}
