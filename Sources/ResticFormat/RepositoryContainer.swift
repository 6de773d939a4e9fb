import Containers
import Disk
import Model
import Storage
import Workers

/// The backups in a repository: a snapshot each.
package struct RepositoryContainer: Container {
    /// What is needed of the app to make sense of snapshots, and to make one.
    package struct Surroundings: Sendable {
        let app: Directory
        /// The app's directory without links, absolute.
        let path: [UInt8]
        /// Whether an entry of this name at the top belongs to an app.
        let isItem: @Sendable (EntryPath) -> Bool

        package init(app: Directory, isItem: @escaping @Sendable (EntryPath) -> Bool) throws(DiskError) {
            self.app = app
            self.isItem = isItem
            path = try app.absolutePath()
        }
    }

    package let state: RepositoryState
    let surroundings: Surroundings
    let pool: ThreadPool
    let run: RunContext

    package init(_ state: RepositoryState, _ surroundings: Surroundings, pool: ThreadPool, in run: RunContext) {
        self.state = state
        self.surroundings = surroundings
        self.pool = pool
        self.run = run
    }

    package var format: BackupFormat { .repository }

    // MARK: Finding

    package func isTaken(_ name: BackupName) throws -> Bool { try readable(name.text) != nil }

    package func name(of text: String) throws -> BackupName? {
        guard let found = try find(text) else { return nil }
        return try names().name(of: found.id)
    }

    private func names() throws -> SnapshotNames { SnapshotNames(try state.snapshots(), isOwn: isOwn) }

    /// Whether a snapshot is of this app on this computer, by whomever it was made.
    func isOwn(_ stored: Repository.StoredSnapshot) -> Bool {
        stored.snapshot.hostName == HostName.current
            && SnapshotPlace(stored.snapshot.paths, within: surroundings.path) != nil
    }

    private func find(_ text: String) throws -> Repository.StoredSnapshot? {
        if let found = try readable(text) { return found }
        for unreadable in try state.unreadableSnapshots() where SnapshotNames.isMeant(unreadable.key.id, by: text) {
            throw RepositoryContents.damaged(text, "\(unreadable.finding.subject): \(unreadable.finding.message)")
        }
        return nil
    }

    private func readable(_ text: String) throws -> Repository.StoredSnapshot? {
        try names().find(text)
    }

    /// The backup that `text` means, if it is one of which nothing can be read. What can be read goes before.
    package func unreadable(_ text: String) throws -> Backup? {
        guard try readable(text) == nil else { return nil }
        return try unreadable().first { $0.backup.seal.map { SnapshotNames.isMeant($0, by: text) } ?? false }?.backup
    }

    /// Backups of which nothing can be read, not even their names and times; what is wrong with each.
    package func unreadable() throws -> [(backup: Backup, finding: Finding)] {
        try mapped {
            try state.unreadableSnapshots().map { document in
                var backup = Backup(
                    name: SnapshotNames.short(document.key.id), format: .repository, origin: .ours,
                    time: LocalTime(moment: Timestamp(seconds: 0), offset: 0), seal: document.key.id)
                backup.state = .damaged("its snapshot cannot be read, not even its name and its time")
                return (backup, document.finding)
            }
        }
    }

    func snapshot(_ name: BackupName) throws -> Repository.StoredSnapshot {
        guard let found = try find(name.text) else { throw BackupError.noBackup(name.text) }
        return found
    }

    package func contents(of name: BackupName) throws -> any BackupContents { try open(try snapshot(name)) }

    func open(_ stored: Repository.StoredSnapshot) throws -> RepositoryContents {
        let name = try names().name(of: stored.id).text
        do {
            return try SnapshotReading(
                try state.repository(), index: try state.index(), surroundings, pool: state.pool, in: run
            ).contents(of: stored, name: name)
        } catch let error as FormatError {
            throw RepositoryContents.damaged(name, "\(error)")
        } catch let error as EntryTableError {
            throw RepositoryContents.damaged(
                name, error == .full ? "it has too many entries" : "its tree is out of order")
        }
    }

    // MARK: Listing

    package func backups() throws -> BackupListing {
        var listing = BackupListing()
        let snapshots = try state.snapshots()
        let names = try names()
        listing.backups = snapshots.map { summary(of: $0, names.name(of: $0.id)) }
        return listing
    }

    func summary(of stored: Repository.StoredSnapshot, _ name: BackupName) -> Backup {
        let snapshot = stored.snapshot
        var backup = Backup(name: name, format: .repository, origin: .plain, time: snapshot.time, seal: stored.id)
        backup.tags = SnapshotNames.ownTags(of: snapshot)
        backup.bytes = snapshot.summary?.totalBytes
        backup.bytesWritten = snapshot.summary?.dataAddedPacked
        backup.source = source(of: stored)
        let given = SnapshotNames.given(to: snapshot)
        if given != name { backup.givenName = given }
        if let record = SnapshotRecord(of: stored) {
            backup.origin = .ours
            backup.take(record.metadata)
            // What restic has changed since counts.
            (backup.time, backup.tags) = (snapshot.time, SnapshotNames.ownTags(of: snapshot))
        } else if let prefix = (given ?? name).defaultPrefix {
            backup.trigger = prefix == .preRestore ? .preRestore : prefix == .auto ? .auto : .manual
        }
        backup.isEncrypted = false
        return backup
    }

    /// Which app on which machine it is of: what a retention policy takes together.
    private func source(of stored: Repository.StoredSnapshot) -> String {
        let snapshot = stored.snapshot
        // One of ours that restic wrote anew, with other tags: without our record, but with its name.
        let isRewritten = SnapshotRecord(of: stored) == nil && SnapshotNames.isNamed(snapshot)
        if isRewritten, isOwn(stored) { return ownSource }
        let place = SnapshotRecord(of: stored)?.place.path ?? snapshot.paths.sorted().joined(separator: " ")
        return printable("\(snapshot.hostName):\(place)".utf8)
    }

    /// All snapshots of this app on this computer.
    package func own() throws -> Set<SHA256Digest> { Set(try state.snapshots().filter(isOwn).map(\.id)) }

    /// The source that backups of this app have here.
    package var ownSource: String { printable("\(HostName.current):\(printable(surroundings.path))".utf8) }

    package func sizes(of backups: [Backup]) throws -> BackupSizes {
        var sizes = BackupSizes()
        for object in try mapped({ try state.repository().backend.list(.pack) }) {
            sizes.together.add(saturating: object.size)
        }
        return sizes
    }

    // MARK: The parent

    /// The newest snapshot of the same app that can be compared with, by whomever it was made; nil if there is none.
    package func newestParent() throws -> RepositoryContents? {
        let now = run.clock.wall()
        let candidates = try state.snapshots().filter { isOwn($0) && $0.snapshot.time.moment <= now }
        guard let newest = candidates.last else { return nil }
        do {
            return try open(newest)
        } catch let error as BackupError where error.code == .damaged {
            run.report(.warning("\(error.message); every file is read"))
            return nil
        }
    }
}

/// What this program recorded in a snapshot.
struct SnapshotRecord {
    let metadata: BackupMetadata
    let place: SnapshotPlace

    /// Nil if the snapshot has none, or none that can be used.
    init?(of stored: Repository.StoredSnapshot) {
        guard let record = stored.snapshot.record else { return nil }
        do throws(MetadataError) { metadata = try BackupMetadata.read(record) } catch { return nil }
        guard metadata.details != nil, let place = SnapshotPlace(stored.snapshot.paths, items: metadata.items) else {
            return nil
        }
        self.place = place
    }
}

extension RepositoryContainer {
    /// Tells errors of storage as those of a run.
    func mapped<R>(_ body: () throws -> R) throws -> R {
        do { return try body() } catch let error as StorageError { throw BackupError(error) }
    }
}

extension BackupError {
    /// Whatever is changed needs a lock, so also what would free space: only something else there can make room for it.
    package static func noRoomForLock(in place: String) -> BackupError {
        BackupError(
            .noSpace, "no lock can be made in \(place), which is full; nothing was changed",
            advice: "Free some megabytes there first: remove other files, or make the file system larger")
    }

    /// What a place of storage says, for people.
    package init(_ error: StorageError) {
        switch error.code {
        case .noSpace:
            self.init(.noSpace, "\(error)", advice: "Free space where the repository is")
        case .denied: self.init(.system, "\(error)", advice: "Run as the owner of the repository")
        case .readOnly: self.init(.system, "\(error)", advice: "Remount it for writing")
        case .unavailable: self.init(.system, "\(error)", advice: "Try again")
        default: self.init(.system, "\(error)")
        }
    }
}
