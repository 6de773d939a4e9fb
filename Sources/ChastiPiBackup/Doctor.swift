import Disk
import Model
import Workers

/// One thing that `doctor` looked at.
public struct Check: Sendable, Equatable {
    public enum Level: String, Sendable, CaseIterable {
        case ok
        /// Worth knowing.
        case note
        /// Something will go wrong one day, or is not as safe as it could be.
        case warning
        /// Backups or restores fail, or one of them is damaged.
        case problem
    }

    /// What was looked at, such as `space`.
    public let name: String
    public let level: Level
    /// What was found: a clause, safe to print.
    public let finding: String
    /// What to do: a sentence, or empty.
    public let advice: String

    init(_ name: String, _ level: Level, _ finding: String, do advice: String = "") {
        self.name = name
        self.level = level
        self.finding = finding
        self.advice = advice
    }
}

/// What a search for Python found.
public enum PythonVersion: Sendable {
    case missing
    /// There is one, and it did not tell its version.
    case unknown
    /// Such as `3.11.2`.
    case version(String)

    /// Nil if that is not known.
    var suffices: Bool? {
        guard case .version(let text) = self else { return nil }
        let numbers = text.split(separator: ".").prefix(2).compactMap { Int($0) }
        guard numbers.count == 2 else { return nil }
        return (numbers[0], numbers[1]) >= (3, 9)
    }
}

extension BackupManager {
    /// Looks for what keeps backups and restores from working. Takes no lock; nothing changes. Unlike a manager it can be
    /// asked with a configuration that cannot be used.
    public static func diagnose(
        app: String, backupDirectory: String? = nil, configurationFile: String? = nil, repository: String? = nil,
        python: PythonVersion, run: RunContext
    ) throws -> [Check] {
        try reporting {
            let places = try AppPlaces(app: app, backupDirectory: backupDirectory)
            var doctor = Doctor(places: places, pool: ThreadPool(threads: run.threads), run: run)
            doctor.look(configurationFile: configurationFile, repository: repository, python: python)
            return doctor.checks
        }
    }
}

/// `doctor`: each look adds at least one check, and what keeps it from looking is a finding too.
struct Doctor {
    private(set) var places: AppPlaces
    let pool: ThreadPool
    let run: RunContext
    private(set) var checks: [Check] = []
    /// In any of the places.
    var hasCompleteBackup = false

    init(places: AppPlaces, pool: ThreadPool, run: RunContext) {
        self.places = places
        self.pool = pool
        self.run = run
    }

    mutating func look(configurationFile: String?, repository: String?, python: PythonVersion) {
        var directory: Directory?
        var isDirectoryKnown = false
        attempt("backup directory") { doctor in
            directory = try doctor.places.existingBackups()
            isDirectoryKnown = true
            if directory == nil {
                doctor.add("backup directory", .note, "there is none yet", do: "'create' makes it")
            }
        }
        var configuration = Configuration()
        // What follows from a missing directory is not said again and again.
        if isDirectoryKnown || configurationFile != nil {
            attempt("configuration") { configuration = try $0.readConfiguration(configurationFile) }
        }
        let items = Selection(items: configuration.items.value, rules: Exclusions([]))
        places.isItem = { items.decision(on: $0, kind: .directory) != .leave }
        var list = BackupList(backups: [], foreign: [], bytesTogether: 0, isRecoveryPending: false)
        attempt("recovery") { try $0.lookAtRecovery() }
        if let directory {
            attempt("backups") { list = try $0.lookAtBackups(in: directory) }
            attempt("file system") { try $0.lookAtFileSystem(of: directory) }
            attempt("mount") { try $0.lookAtMount(of: directory) }
        }
        attempt("space") { try $0.lookAtSpace(list, in: directory ?? $0.places.app) }
        attempt("permissions") { try $0.lookAtPermissions(directory) }
        lookAtRepositories(configuration, named: repository)
        if directory != nil && !hasCompleteBackup {
            add("backups", .warning, "there is no complete, undamaged one", do: "Run 'create'")
        }
        lookAtClock(list.backups)
        if isDirectoryKnown { attempt("items") { try $0.lookAtItems(configuration) } }
        attempt("python") { try $0.lookAtPython(python, directory) }
    }

    mutating func add(_ name: String, _ level: Check.Level, _ finding: String, do advice: String = "") {
        checks.append(Check(name, level, finding, do: advice))
    }

    /// Says that all is well where `body` found nothing that is not.
    private mutating func add(
        _ name: String, unlessFound finding: String, _ body: (inout Doctor) throws -> Void
    ) rethrows {
        let before = checks.count
        try body(&self)
        if !checks[before...].contains(where: { $0.name == name }) { add(name, .ok, finding) }
    }

    mutating func attempt(_ name: String, _ body: (inout Doctor) throws -> Void) {
        do {
            try body(&self)
        } catch let error as BackupError {
            add(name, .problem, error.message, do: error.advice)
        } catch {
            let advice = (error as? DiskError)?.code == .denied ? "Run as the app's owner or as root" : ""
            add(name, .problem, "cannot be looked at: \(printable("\(error)".utf8))", do: advice)
        }
    }
}

// Configuration and items.
extension Doctor {
    private mutating func readConfiguration(_ file: String?) throws -> Configuration {
        let configuration = try ConfigurationFile(places: places, path: file).read()
        add("configuration", .ok, "understood")
        return configuration
    }

    private mutating func lookAtItems(_ configuration: Configuration) throws {
        let ignored = try Creating.ignoreFile(of: places)
        for problem in ignored?.problems ?? [] {
            add("configuration", .warning, "\(problem)", do: "That line excludes nothing: mend it")
        }
        let choice = try configuration.choice(for: CreateRequest(), ignoreFile: ignored)
        let coverage = try Coverage(of: places, choice, newest: nil)
        add("items", unlessFound: "none is missing or a link") { doctor in
            for link in coverage.links where link.leadsOut {
                doctor.add(
                    "items", .warning,
                    "\(link.path) is a link out of the app to \(link.target), which no backup covers",
                    do: "Move that into the app, or back it up in another way")
            }
            for link in coverage.links where !link.leadsOut {
                doctor.add(
                    "items", .note, "\(link.path) is a link to \(link.target)",
                    do: "It is saved as a link; 'config show --explain' tells whether its target is covered")
            }
            for item in coverage.absentItems {
                doctor.add(
                    "items", .warning, "the app has no '\(printable(item.utf8))'",
                    do: "Is it misspelt in 'items' of backup.yaml?")
            }
        }
        if !coverage.uncovered.isEmpty {
            let paths = coverage.uncovered.map(\.path.description).joined(separator: ", ")
            add(
                "items", .note, "no backup covers \(paths)", do: "Add it to 'items' in backup.yaml, or to 'exclude'")
        }
    }
}

// What lies in the backup directory.
extension Doctor {
    private mutating func lookAtRecovery() throws {
        if try RestoreFolders.isRecoveryPending(in: places.app) {
            add("recovery", .problem, "a restore was interrupted", do: "Run 'recover'")
        }
    }

    private mutating func lookAtBackups(in directory: Directory) throws -> BackupList {
        let list = try Looking(places: places, pool: pool, run: run).list()
        try add("backups", unlessFound: "none is damaged") { doctor in
            for backup in list.backups {
                guard case .damaged(let what) = backup.state else { continue }
                doctor.add(
                    "backups", .problem, "\(backup.name) is damaged: \(what)",
                    do: "Make another with 'create --full', then 'delete \(backup.name)'")
            }
            for foreign in list.foreign {
                doctor.add(
                    "backups", .note, "\(foreign.name) is not ours: \(foreign.reason)",
                    do: "Move it elsewhere if it does not belong there")
            }
            for leftover in try StatusRun.leftovers(in: directory) {
                doctor.add(
                    "backups", .note,
                    "\(leftover.name) (\(ByteCount(leftover.bytes))) was left by a run that died or goes on",
                    do: "The next 'create' removes it")
            }
            let local = AppBackups(directory, isItem: doctor.places.isItem, pool: doctor.pool, in: doctor.run)
            if local.newestComplete(of: try local.own(list.backups)) != nil { doctor.hasCompleteBackup = true }
        }
        return list
    }

    private mutating func lookAtSpace(_ list: BackupList, in directory: Directory) throws {
        let traits = try FileSystemTraits(of: directory)
        let free = ByteCount(traits.freeBytes)
        let growth =
            StatusRun.growth(
                of: list.backups, StatusRun.chains(list.backups), block: traits.blockSize, together: list.bytesTogether)?
            .bytes ?? 0
        let advice = "Free space, or run 'prune --keep-last 3'"
        if traits.freeBytes == 0 || traits.freeBytes < growth {
            add("space", .problem, "\(free) free, and a backup adds about \(ByteCount(growth))", do: advice)
        } else if traits.freeBytes / 3 < growth {
            add("space", .warning, "\(free) free, which is enough for less than three more backups", do: advice)
        } else if let full = list.backups.first?.bytes, traits.freeBytes < full {
            add("space", .warning, "\(free) free, and one that shares nothing takes \(ByteCount(full))", do: advice)
        } else {
            add("space", .ok, "\(free) free")
        }
        // A folder has an inode for each entry that it does not share, and for each directory.
        guard let inodes = traits.freeEntries else { return add("inodes", .ok, "no limit") }
        let needed = UInt64(max(list.backups.first?.entries ?? 0, 100))
        if inodes < needed {
            add(
                "inodes", inodes < 100 ? .problem : .warning, "\(inodes) free, and a backup can need \(needed)",
                do: "Remove backups with 'prune', or use '--format zip'")
        } else {
            add("inodes", .ok, "\(inodes) free")
        }
    }

    private mutating func lookAtClock(_ backups: [Backup]) {
        let now = run.now()
        add("clock", unlessFound: now.readable) { doctor in
            // 2024-01-01: this program is younger.
            if now.moment.seconds < 1_704_067_200 {
                doctor.add(
                    "clock", .problem, "it says \(now.readable)", do: "Set it; 'timedatectl' shows whether NTP works")
            }
            let tomorrow = now.moment.adding(seconds: 86_400)
            for backup in backups where backup.time.moment > tomorrow {
                doctor.add(
                    "clock", .warning, "\(backup.name) is from the future, \(backup.time.readable)",
                    do: "Is the clock right? If so, 'delete' that backup once there is another")
            }
        }
    }
}

// The file system of the backup directory, and who may do what.
extension Doctor {
    private mutating func lookAtPermissions(_ directory: Directory?) throws {
        let advice = "Run as the app's owner or as root, or change the owner with chown"
        try add("permissions", unlessFound: "the app can be read and restored, and backups be made") { doctor in
            if let directory {
                doctor.checkChangeable(directory, "the backup directory", .problem, advice)
                try doctor.checkStateFolder(in: directory, advice)
                if try directory.status().mode & 0o002 != 0 {
                    doctor.add(
                        "permissions", .warning, "everyone may change the backup directory",
                        do: "Take that away with 'chmod o-w'")
                }
            }
            doctor.checkChangeable(
                doctor.places.app, "the app", directory == nil ? .problem : .warning, "\(advice): a restore needs it")
            try doctor.checkReadable(advice)
        }
        let owner = try places.app.status().user
        let ownership = Ownership.byNumber()
        let isRight = "the \(directory == nil ? "app belongs" : "backups belong") to \(Self.shown(owner))"
        try add("ownership", unlessFound: directory == nil ? isRight : "\(isRight), as the app does") { doctor in
            if let directory, try directory.status().user != owner {
                doctor.add(
                    "ownership", .warning,
                    "the backup directory belongs to \(Self.shown(try directory.status().user)), the app to \(Self.shown(owner))",
                    do: "Give it to the app's owner with chown, unless that is meant")
            }
            if !ownership.maySetAttributes(ofWhatBelongsTo: owner) {
                doctor.add(
                    "ownership", .warning, "the app belongs to \(Self.shown(owner)), and not to who runs this",
                    do:
                        "A restore cannot set owners and modes then: run as \(owner == 0 ? "" : "\(Self.shown(owner)) or as ")root"
                )
            }
        }
    }

    private mutating func checkStateFolder(in directory: Directory, _ advice: String) throws {
        let state: Directory
        do throws(DiskError) {
            state = try directory.directory(".state".utf8)
        } catch {
            if error.code == .notFound { return }
            return add("permissions", .problem, "its .state cannot be opened: \(error.reason)", do: advice)
        }
        checkChangeable(state, "its .state", .problem, advice)
    }

    private static func shown(_ user: UInt32) -> String {
        OwnerNames.user(user).map { printable($0.utf8) } ?? "user \(user)"
    }

    private mutating func checkChangeable(
        _ directory: Directory, _ what: String, _ level: Check.Level, _ advice: String
    ) {
        do throws(DiskError) {
            try directory.checkEntriesMayChange()
        } catch {
            add("permissions", level, "\(what) cannot be changed: \(error.reason)", do: advice)
        }
    }

    /// The entries at the top of the app that are not ours.
    private mutating func checkReadable(_ advice: String) throws {
        for item in try places.app.items() where !item.name.elementsEqual(RestoreFolders.name.utf8) {
            do throws(DiskError) {
                switch try places.app.kind(of: item) {
                case .directory: _ = try places.app.directory(item.name)
                case .file: _ = try OpenFile(item.name, in: places.app)
                default: break
                }
            } catch {
                guard error.code != .notFound else { continue }
                add("permissions", .warning, "\(printable(item.name)) cannot be read: \(error.reason)", do: advice)
            }
        }
    }

    private mutating func lookAtFileSystem(of directory: Directory) throws {
        let traits = try FileSystemTraits(of: directory)
        let name = traits.name
        try add("file system", unlessFound: "\(name), which keeps owners, modes and links") { doctor in
            if traits.withoutAttributes != nil {
                doctor.add(
                    "file system", .warning, "\(name), which keeps no owners, modes and links",
                    do: "Zips are made there, which keep them; for folders use a disk with ext4")
            } else if try directory.foldsCase(names: directory.items().map(\.name)) {
                doctor.add(
                    "file system", .warning, "\(name), where names that differ in case only are one",
                    do: "Use '--format zip' if the app has such names")
            }
            switch name {
            case "tmpfs":
                doctor.add(
                    "file system", .warning, "tmpfs, which is memory: the backups are gone after a restart",
                    do: "Name a directory on a disk with --backup-dir")
            case "overlayfs":
                doctor.add(
                    "file system", .warning, "overlayfs, as containers have: the backups go with the container",
                    do: "Mount a volume for them")
            case "nfs", "cifs", "fuse":
                doctor.add(
                    "file system", .note, "\(name), which needs not keep owners, links and locks as a local one does",
                    do: "'verify' tells whether a backup is whole; restore one into a directory with '--to' as a test")
            default: break
            }
        }
    }

    private mutating func lookAtMount(of directory: Directory) throws {
        let path = try Mounts.path(of: directory)
        let point = try Mounts.point(holding: directory)
        let isReadOnly = try FileSystemTraits(of: directory).isReadOnly
        add("mount", unlessFound: "\(printable(point ?? path)), writable") { doctor in
            if isReadOnly {
                doctor.add(
                    "mount", .problem, "the backup directory is on a read-only file system",
                    do: "Remount it for writing; 'dmesg' tells whether the disk failed")
            }
            let prefix = ["/mnt/", "/media/", "/run/media/"].first { path.starts(with: $0.utf8) }
            if let prefix, let point, !(point + [UInt8(ascii: "/")]).starts(with: prefix.utf8) {
                doctor.add(
                    "mount", .warning,
                    "the backup directory lies in \(prefix.dropLast()), and no disk is mounted there",
                    do: "Is the disk plugged in? 'findmnt' lists what is mounted")
            }
        }
        if try places.isOnDisk(of: directory) {
            add(
                "disk", .note, "the backups lie on the same disk as the app: if it breaks, both are gone",
                do: "Carry them to another with 'copy latest --to folder --backup-dir DIR'")
        } else {
            add("disk", .ok, "the backups lie on another one than the app")
        }
    }

    private mutating func lookAtPython(_ python: PythonVersion, _ directory: Directory?) throws {
        let shim = "backup_manager.py"
        let isUsed = try directory?.status(of: shim.utf8) != nil
        let advice = "\(shim) needs Python 3.9 or newer, and nothing else does"
        switch (python, python.suffices) {
        case (.version(let text), true): add("python", .ok, printable(text.utf8))
        case (.version(let text), false):
            add("python", isUsed ? .warning : .note, "\(printable(text.utf8)) is too old", do: advice)
        case (.missing, _): add("python", isUsed ? .warning : .note, "there is no python3", do: advice)
        default: add("python", isUsed ? .warning : .note, "python3 does not tell its version", do: advice)
        }
    }
}
