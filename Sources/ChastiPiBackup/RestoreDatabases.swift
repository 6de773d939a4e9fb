import Containers
import Disk
import Model

/// What is special about databases in a restore: a log of another state must never stand beside one, and nobody may have open
/// what is replaced.
struct RestoreDatabases {
    let app: Directory
    let scope: RestoreScope
    let live: EntryTable
    let contents: any BackupContents
    let stop: StopFlag

    /// Companions in the app that must go although the backup does not hold them, whatever rule covers them: those of a
    /// database that is replaced, and logs that would be played into one that is right.
    func staleCompanions(besides places: Set<EntryPath>) throws -> [Int] {
        var stale: [Int] = []
        for (database, companions) in companions() {
            let path = scope.backup.path(of: database)
            let found = companions.filter { !isExchanged(live.path(of: $0), places) }
            guard isExchanged(path, places) || holdsLog(found), try isDatabase(database, with: found) else {
                continue
            }
            stale += found
        }
        return stale.sorted()
    }

    /// The answers of a comparison, but that a database whose log is exchanged is exchanged with it, also if it is right: log
    /// and database are one, and only both together can be taken back, or be brought again, whatever the app does meanwhile.
    func withLogs(
        _ answers: [RestoreComparison.Answer], for candidates: [RestoreComparison.Candidate], steps: [EntryPath]
    ) throws -> [RestoreComparison.Answer] {
        var databases: Set<Int> = []
        for (database, companions) in companions() where holdsLog(companions) {
            if try isDatabase(database, with: companions) { databases.insert(database) }
        }
        let different = zip(candidates, answers).filter { $1 == .different }.map { live.path(of: $0.0.live) }
        for place in steps + different {
            guard let database = self.database(ofCompanion: place), !Self.isIndex(place) else { continue }
            if try isDatabase(database, with: []) { databases.insert(database) }
        }
        return zip(candidates, answers).map { databases.contains($0.backup) ? .different : $1 }
    }

    /// Logs that `contents` holds of the databases among `paths`: without them such a database is not what was saved.
    static func logs(of paths: [EntryPath], in contents: any BackupContents, stop: StopFlag) throws -> [EntryPath] {
        var logs: [EntryPath] = []
        for path in paths {
            guard !path.isRoot, let index = contents.table.index(of: path), contents.table[index].kind == .file else {
                continue
            }
            let found = DatabaseFiles.companions(of: path.name).map { (path.parent ?? .root).appending($0) }
                .filter { contents.table.index(of: $0).map { contents.table[$0].kind } == .file }
            if try !found.isEmpty && isDatabase(index, in: contents, stop: stop) { logs += found }
        }
        return logs
    }

    /// Those in the app that the backup has not, by their database in the backup.
    private func companions() -> [Int: [Int]] {
        var companions: [Int: [Int]] = [:]
        for index in 1..<max(1, live.count) where live[index].kind == .file {
            guard live.withName(of: index, { DatabaseFiles.database(ofCompanion: $0) }) != nil else { continue }
            let path = live.path(of: index)
            if let own = scope.backup.index(of: path), scope.roles[own] == .selected { continue }
            if let database = database(ofCompanion: path) { companions[database, default: []].append(index) }
        }
        return companions
    }

    private func database(ofCompanion path: EntryPath) -> Int? {
        guard let name = path.name.withUnsafeBytes({ DatabaseFiles.database(ofCompanion: $0) }),
            let index = scope.backup.index(of: (path.parent ?? .root).appending(name)),
            scope.backup[index].kind == .file, scope.roles[index] == .selected
        else { return nil }
        return index
    }

    private func holdsLog(_ companions: [Int]) -> Bool {
        companions.contains { live[$0].size > 0 && !Self.isIndex(live.path(of: $0)) }
    }

    private static func isIndex(_ path: EntryPath) -> Bool {
        path.bytes.suffix(4).elementsEqual("-shm".utf8)
    }

    /// Encrypted, it has no header; then a log of the app may have one.
    private func isDatabase(_ index: Int, with companions: [Int]) throws -> Bool {
        if try Self.isDatabase(index, in: contents, stop: stop) { return true }
        return try companions.contains { try isLog(live.path(of: $0)) }
    }

    private static func isDatabase(_ index: Int, in contents: any BackupContents, stop: StopFlag) throws -> Bool {
        let path = contents.table.path(of: index)
        if contents.metadata.details?.databases.contains(where: { $0.path == path }) == true { return true }
        let head = try contents.makeReader(stop: stop).head(of: index, count: DatabaseFiles.header.count)
        return head == DatabaseFiles.header
    }

    private func isLog(_ path: EntryPath) throws -> Bool {
        do throws(DiskError) {
            return try DatabaseFiles.isLog(path.name, in: try app.directory(at: path.parent ?? .root))
        } catch {
            return false
        }
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
