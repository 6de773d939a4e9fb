import Containers
import Disk
import Model

/// What is special about databases in a restore: a log of another state must never stand beside one, and nobody may have open
/// what is replaced.
struct RestoreDatabases {
    let scope: RestoreScope
    let live: EntryTable
    let contents: any BackupContents
    let stop: StopFlag

    /// Companions in the app that must go although the backup does not hold them, whatever rule covers them: those of a
    /// database that is replaced, and logs that would be played into one that is right.
    func staleCompanions(besides places: Set<EntryPath>) throws -> [Int] {
        var companions: [Int: [Int]] = [:]
        for index in 1..<max(1, live.count) where live[index].kind == .file {
            guard let name = live.withName(of: index, { DatabaseFiles.database(ofCompanion: $0) }) else { continue }
            let path = live.path(of: index)
            if let own = scope.backup.index(of: path), scope.roles[own] == .selected { continue }
            guard let database = scope.backup.index(of: (path.parent ?? .root).appending(name)),
                scope.backup[database].kind == .file, scope.roles[database] == .selected,
                !isExchanged(path, places)
            else { continue }
            companions[database, default: []].append(index)
        }
        var stale: [Int] = []
        for (database, found) in companions {
            let path = scope.backup.path(of: database)
            let holdsMore = found.contains {
                live[$0].size > 0 && !live.path(of: $0).bytes.suffix(4).elementsEqual("-shm".utf8)
            }
            guard holdsMore || isExchanged(path, places) else { continue }
            let head = try contents.makeReader(stop: stop).head(of: database, count: DatabaseFiles.header.count)
            if head == DatabaseFiles.header { stale += found }
        }
        return stale.sorted()
    }

    private func isExchanged(_ path: EntryPath, _ places: Set<EntryPath>) -> Bool {
        places.contains(path) || path.ancestors.contains { places.contains($0) }
    }
}

/// Stops where a process has a database open that is to be replaced, or a file that is to be replaced open for writing.
struct FilesInUse {
    private var files: [FileIdentity: EntryPath] = [:]
    private let app: Directory

    init(app: Directory) {
        self.app = app
    }

    /// Adds a file that will be replaced or removed.
    mutating func add(_ path: EntryPath, _ record: EntryRecord) {
        guard record.kind == .file else { return }
        files[FileIdentity(device: record.device, inode: record.inode)] = path
    }

    func check() throws {
        for (user, path) in try users() where try user.mayWrite || isDatabase(path) {
            let how = user.mayWrite ? "open for writing" : "open"
            throw BackupError(
                .refused, "\(user.name) (pid \(user.process)) has \(path) \(how), which would be replaced",
                advice:
                    "Nothing was changed. Stop it ('systemctl stop' its service, or 'kill \(user.process)') and try "
                    + "again, or use --live")
        }
    }

    /// Who works on with a file that is displaced already, as sentences. A recovery must end, whoever is there: a half
    /// restored app would be worse.
    static func leftBehind(by recovery: Recovery, in app: Directory) throws -> [String] {
        var files = FilesInUse(app: app)
        for (place, listing, device) in recovery.displaced {
            for index in 0..<listing.count {
                var record = listing[index]
                record.device = device
                files.add(place.appending(listing.path(of: index)), record)
            }
        }
        return try files.users().map { user, path in
            "\(user.name) (pid \(user.process)) still has open what stood at \(path) before: restart it"
        }
    }

    private func users() throws -> [(user: FileUsers.User, path: EntryPath)] {
        guard !files.isEmpty else { return [] }
        return try FileUsers.find { files[$0] != nil }.compactMap { user in files[user.file].map { (user, $0) } }
    }

    private func isDatabase(_ path: EntryPath) throws -> Bool {
        do throws(DiskError) {
            return try DatabaseFiles.isDatabase(path.name, in: try app.directory(at: path.parent ?? .root))
        } catch {
            return false
        }
    }
}
