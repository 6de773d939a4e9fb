import Codec
import Containers
import Disk
import FolderFormat
import Glibc
import Model
import TestKit
import Workers

/// A source and a backup directory, and what is done between them.
final class BackupFixture {
    let source: TemporaryTree
    let backups: TemporaryTree
    let testRun = TestRun()
    let run: RunContext
    let pool: ThreadPool
    let directory: BackupDirectory
    let container: FolderContainer

    /// - Parameter base: where both lie, unless `backupsIn` says otherwise for the backups.
    init(in base: String = "/dev/shm", backupsIn: String? = nil, threads: Int = 2, ahead: Int64 = 10) throws {
        source = try TemporaryTree(in: base)
        backups = try TemporaryTree(in: backupsIn ?? base)
        run = testRun.context(threads: threads, ahead: ahead)
        pool = ThreadPool(threads: threads)
        directory = BackupDirectory(backups.directory, in: run)
        container = FolderContainer(directory, pool: pool, in: run)
    }

    /// Scans the source, the whole of which is the item, and joins it with the parent.
    func plan(after parent: String? = nil, isFull: Bool = false) throws -> SourcePlan {
        let reading = run.clock.wall()
        let walk = try TreeWalk(of: source.directory, containers: []) { _, _, _ in .take }
        let scan = try SourceScan.run(walk, pool: pool, in: run)
        var (table, skipped) = SourceScan.saved(scan, as: .folder)
        table[0].flags.remove(.ancestor)
        table.userNames[0] = "root"
        table.groupNames[0] = "root"
        guard let parent else {
            return SourcePlan(
                source: source.directory, taking: &table, skipped: skipped, parent: nil, isFull: isFull,
                reading: reading)
        }
        let contents = try self.contents(parent)
        guard let manifest = contents.manifest else { throw BackupError(.damaged, "no manifest") }
        let name = try BackupName(parent)
        return SourcePlan(
            source: source.directory, taking: &table, skipped: skipped,
            parent: .init(
                name: name, manifest.table, in: .folder(contents.directory, held: manifest.held),
                evidence: try container.seen(name, manifest).map { .seen($0) }), isFull: isFull, reading: reading)
    }

    @discardableResult
    func create(_ name: String, after parent: String? = nil, isFull: Bool = false) throws -> CreatedBackup {
        let lock = try lock()
        let created = try write(try plan(after: parent, isFull: isFull), as: name)
        _ = consume lock
        return created
    }

    /// Takes the lock. A process that another test starts holds copies of all descriptors for a moment, this one's too:
    /// so try for a while before believing that it is held.
    func lock() throws -> Lock {
        for _ in 0..<200 {
            if try isFree() { break }
            usleep(10_000)
        }
        return try directory.lock(holder: "test")
    }

    private func isFree() throws -> Bool {
        do throws(DiskError) {
            let lock = try directory.lock(holder: "test")
            _ = consume lock
            return true
        } catch {
            guard error.code == .locked else { throw error }
            return false
        }
    }

    func write(_ plan: SourcePlan, as name: String) throws -> CreatedBackup {
        var details = BackupMetadata.Details()
        details.host = "here"
        details.toolVersion = "0"
        return try container.write(
            plan, as: NewBackup(name: try BackupName(name), time: run.now()),
            recording: Recording(items: [.root], excludedItems: [], details: details))
    }

    func contents(_ name: String) throws -> FolderContents {
        try container.folder(BackupName(name))
    }

    /// Everything that is wrong with a backup, as text; damage that keeps it from being opened too.
    func damage(_ name: String) throws -> [String] {
        try findings(name).filter { $0.severity == .damage }.map { "\($0.subject): \($0.message)" }
    }

    func findings(_ name: String) throws -> [Finding] {
        do {
            return try verify(name).findings
        } catch let error as BackupError where error.code == .damaged || error.code == .notFound {
            return [Finding(.damage, name, error.message)]
        }
    }

    func verify(_ name: String, percent: Double = 100, choice: UInt64 = 0) throws -> VerifiedBackup {
        try contents(name).verify(percent: percent, choice: choice, pool: pool, in: run)
    }

    /// The path of a backup's entry in the backup directory.
    func path(_ name: String, _ entry: EntryPath) -> EntryPath {
        EntryPath(unchecked: Array(name.utf8)).appending(entry)
    }

    static let ours: Set<EntryPath> = [entry("backup_metadata.json"), entry("MANIFEST.mtree")]

    /// What is in a backup's folder, without the two files of our own.
    func stored(_ name: String) throws -> TreeSnapshot {
        try TreeSnapshot(of: backups.directory.directory(name.utf8), ignoring: Self.ours)
    }

    /// What a restore gives.
    func restored(_ name: String) throws -> TreeSnapshot {
        let tree = try restore(name)
        return try withExtendedLifetime(tree) { try TreeSnapshot(of: tree.directory) }
    }

    /// Restores into a new directory, every byte checked.
    func restore(_ name: String) throws -> TemporaryTree {
        let target = try TemporaryTree()
        let contents = try contents(name)
        let build = TreeBuild(Array(0..<contents.table.count), of: contents.table, in: target.directory)
        try build.makeDirectories(forEach: pool.forEach)
        let reader = contents.makeReader(stop: run.stop)
        for unit in build.units {
            let to = try build.directory(at: unit.directory)
            for index in unit.entries { try place(index, of: contents, through: reader, to: to) }
        }
        try build.makeHardLinks { _, _ in }
        let attributes: @Sendable (Int) -> Attributes = contents.table.attributes(of:)
        try build.finishDirectories(
            ownership: .byNumber(), attributes: attributes, forEach: pool.forEach, unset: { _, _ in })
        _ = try FileAttributes.apply(
            attributes(0), to: target.directory.descriptor, now: try target.directory.status().owner,
            ownership: .byNumber())
        return target
    }

    private func place(
        _ index: Int, of contents: FolderContents, through reader: any ContentReader, to: Directory
    ) throws {
        let name = Array(contents.table.path(of: index).name)
        let attributes = contents.table.attributes(of: index)
        if contents.table[index].kind == .link {
            try to.makeLink(name, to: contents.table.target(of: index))
            _ = try FileAttributes.apply(attributes, toUnopened: name, in: to, ownership: .byNumber())
            return
        }
        var file = try NewFile(name, in: to)
        try reader.copy(index, to: &file)
        _ = try FileAttributes.apply(
            attributes, to: file.descriptor, now: try file.status().owner, ownership: .byNumber())
    }
}
