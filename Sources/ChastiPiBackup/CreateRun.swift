import Codec
import Containers
import Disk
import LiveSQLite
import Model
import Workers

/// Makes one backup: scan, join with the parent, write.
struct CreateRun: Sendable {
    let places: AppPlaces
    let backups: AppBackups
    let pool: ThreadPool
    let run: RunContext

    /// What is to be backed up and how that is recorded.
    struct Order {
        var selection: Selection
        var items: [ItemPattern]
        var rules: [ExclusionRule]
        var name: BackupName?
        var format: BackupFormat
        var prefix: BackupName.Prefix
        var trigger: BackupTrigger
        var tags: [String]
        var isFull: Bool
        /// After how many days everything is read anew; nil for never.
        var fullReadDays: Int?
        /// Databases that are copied as files.
        var rawDatabases: Set<EntryPath> = []
        /// What the backup is encrypted with.
        var password: Password?
        var compression = RepositoryCompression.auto
    }

    struct Outcome {
        let backup: Backup
        let details: BackupMetadata.Details
        let absentItems: [String]
        let uncovered: [Uncovered]
    }

    /// Makes the backup. The locks are held.
    func make(_ order: Order) throws -> Outcome {
        let now = run.now()
        // A repository is opened beside the walk, and looks for itself before it writes.
        if let name = order.name, order.format != .repository { try backups.checkFree(name) }
        let prepared = try prepare(order)
        var details = prepared.details
        details.lastFull = prepared.plan.parent.flatMap { _ in prepared.lastFull } ?? now
        let name = try order.name ?? freeName(order.prefix, at: now)
        let isFull = prepared.plan.parent == nil || order.isFull
        var new = NewBackup(name: name, time: now, trigger: order.trigger, tags: order.tags, isFull: isFull)
        (new.password, new.compression) = (order.password, order.compression)
        let created = try write(prepared, order, new, details)
        return Outcome(
            backup: created.backup, details: created.metadata.details ?? details, absentItems: details.absentItems,
            uncovered: prepared.uncovered)
    }

    /// Databases are copied beside the backup; a folder takes the copies over.
    private func write(
        _ prepared: Prepared, _ order: Order, _ new: NewBackup, _ details: BackupMetadata.Details
    ) throws -> CreatedBackup {
        var plan = prepared.plan
        let container = backups.container(for: order.format)
        var recording = Recording(
            items: prepared.items, excludedItems: order.rules.map(\.description), details: details)
        if order.format != .repository { recording.durability = try Durability(in: backups.place.directory) }
        let candidates = try DatabaseCandidates(in: &plan, isParentKnown: prepared.databases?.isKnown ?? true)
        if candidates.isEmpty { return try container.write(plan, as: new, recording: recording) }
        var scratch = try backups.place.makeScratch(for: "databases")
        do {
            let databases = LiveDatabases(
                scratch: scratch.directory, isRaw: { order.rawDatabases.contains($0) }, pool: pool, in: run)
            let found = try databases.prepare(candidates, of: &plan, parent: prepared.databases)
            recording.details.databases = found.databases
            recording.databases = found.states
            let created = try container.write(plan, as: new, recording: recording)
            scratch.discard()
            return created
        } catch {
            scratch.discard()
            throw error
        }
    }

    /// What ``make(_:)`` would save; nothing changes.
    func preview(_ order: Order) throws -> (
        plan: SourcePlan, name: BackupName, items: [EntryPath], uncovered: [Uncovered], absent: [String]
    ) {
        let prepared = try prepare(order)
        let name = try order.name ?? freeName(order.prefix, at: run.now())
        return (prepared.plan, name, prepared.items, prepared.uncovered, prepared.details.absentItems)
    }

    private struct Prepared {
        let plan: SourcePlan
        let items: [EntryPath]
        let uncovered: [Uncovered]
        let details: BackupMetadata.Details
        let lastFull: LocalTime?
        /// Of the parent.
        let databases: LiveDatabases.Parent?
    }

    private func prepare(_ order: Order) throws -> Prepared {
        let reading = run.clock.wall()
        let selection = order.selection
        // Reading the parent takes as long as a part of the walk: so it is done beside it.
        let parentReading = BackgroundResult { try newestParent(order.format) }
        var (table, skipped, uncovered) = try scan(
            TreeWalk(of: places.app, containers: try places.containers()) { path, kind, parent in
                selection.decision(path, kind: kind, parent: parent)
            }, selection, as: order.format)
        if selection.takesAll { table[0].flags.remove(.ancestor) }
        Self.nameOwners(in: &table)
        let items = ItemPresence(order.items, in: table)
        // A backup of nothing that looks like a success is how a wrong --app goes unnoticed. Before a restore it is right:
        // the app may have been destroyed.
        if items.present.isEmpty && order.trigger != .preRestore {
            throw BackupError(
                .refused, "nothing to back up: \(printable(places.appPath.utf8)) has none of the items",
                advice: "Is it the app's directory? 'config show' lists the items, --item names others")
        }
        for item in items.linksOut {
            run.report(.warning("\(item) is a symbolic link out of the app: what it points to is not covered"))
        }
        let parent = try parentReading.get()
        let isFull = order.isFull || isFullReadDue(order.fullReadDays, since: parent?.lastFull)
        let plan = SourcePlan(
            source: places.app, taking: &table, skipped: skipped, parent: isFull ? nil : parent?.reading,
            isFull: isFull, reading: reading)
        var details = BackupMetadata.Details()
        details.host = HostName.current
        details.toolVersion = ToolVersion.text
        details.absentItems = items.absent
        details.rules = order.rules.map { .init(pattern: $0.pattern, origin: $0.origin) }
        return Prepared(
            plan: plan, items: items.present, uncovered: uncovered, details: details, lastFull: parent?.lastFull,
            databases: parent?.databases)
    }

    /// A function of its own, so that the table of all that was seen is gone when the parent's is read.
    private func scan(
        _ walk: TreeWalk, _ selection: Selection, as format: BackupFormat
    ) throws -> (table: EntryTable, skipped: [Skipped], uncovered: [Uncovered]) {
        let scan = try SourceScan.run(walk, pool: pool, in: run)
        try tell(ofContainersIn: scan.table)
        let uncovered = try UncoveredSearch(scan.table, selection, app: places.app).run()
        let saved = SourceScan.saved(consume scan, as: format)
        return (saved.table, saved.skipped, uncovered)
    }

    /// What nobody has configured is told: that it holds backups says only what lies in it.
    private func tell(ofContainersIn table: EntryTable) throws {
        let known = try places.containers()
        for index in 0..<table.count where table[index].flags.contains(.container) && table[index].kind == .directory {
            let identity = FileIdentity(device: table[index].device, inode: table[index].inode)
            if known.contains(identity) { continue }
            run.report(.warning("\(table.path(of: index)) holds backups, and is not part of this one"))
        }
    }

    private typealias Parent = (
        reading: SourcePlan.ParentReading, lastFull: LocalTime?, databases: LiveDatabases.Parent
    )

    /// The newest backup that is not known as damaged and can share files with a new one of this format.
    private func newestParent(_ format: BackupFormat) throws -> Parent? {
        switch format {
        case .folder: try newestFolder()
        case .zip: nil
        case .repository: try newestSnapshot()
        }
    }

    private func newestSnapshot() throws -> Parent? {
        guard let contents = try backups.repository?.newestParent() else { return nil }
        let name: BackupName
        do throws(BackupNameError) { name = try BackupName(contents.name) } catch { return nil }
        if let damage = try backups.knownDamage(of: contents, named: name) {
            run.report(
                .warning(
                    "'\(name)' is known as damaged: \(damage). New backups may need what is damaged, too: run "
                        + "'repository repair packs', and then 'verify --all'"))
            return nil
        }
        let details = contents.metadata.details
        let reading = SourcePlan.ParentReading(
            name: name, contents.table, in: .backup(contents), evidence: .table(read: contents.metadata.time.moment))
        // Copies of databases are never shared, so that all that is shared is known for none.
        return (reading, details?.lastFull, .init([], details == nil ? nil : DatabaseStates()))
    }

    private func newestFolder() throws -> Parent? {
        let folders = backups.folders
        let candidates = try folders.backups().backups.filter { backup in
            if case .damaged = backup.state { return false }
            return backup.origin == .ours
        }
        guard let newest = candidates.max(by: { $0.isOlder(than: $1) }) else { return nil }
        do {
            let contents = try folders.folder(newest.name)
            guard let manifest = contents.manifest else { return nil }
            let databases = contents.metadata.details?.databases ?? []
            let reading = SourcePlan.ParentReading(
                name: newest.name, manifest.table, in: .folder(contents.directory, held: manifest.held),
                evidence: try folders.seen(newest.name, manifest).map { .seen($0) }, databases: databases.map(\.path))
            let states = try folders.databases(newest.name, manifest)
            return (reading, contents.metadata.details?.lastFull, .init(databases, states))
        } catch let error as BackupError where error.code == .damaged {
            run.report(.warning("\(error.message); nothing is shared with it"))
            return nil
        }
    }

    /// Rot in a shared file must not spread for ever.
    private func isFullReadDue(_ days: Int?, since last: LocalTime?) -> Bool {
        guard let days, let last else { return false }
        return run.clock.wall() > last.moment.adding(seconds: Int64(days) * 86_400)
    }

    private func freeName(_ prefix: BackupName.Prefix, at time: LocalTime) throws -> BackupName {
        try BackupName.timestamped(prefix: prefix, at: time).firstFree { try backups.isTaken($0) }
    }

    private static func nameOwners(in table: inout EntryTable) {
        var users: Set<UInt32> = []
        var groups: Set<UInt32> = []
        for index in 0..<table.count {
            users.insert(table[index].user)
            groups.insert(table[index].group)
        }
        for user in users { table.userNames[user] = OwnerNames.user(user) }
        for group in groups { table.groupNames[group] = OwnerNames.group(group) }
    }
}

/// Which of the items the app has.
struct ItemPresence {
    private(set) var present: [EntryPath] = []
    /// As written.
    private(set) var absent: [String] = []
    /// Items that are symbolic links.
    private(set) var links: [ItemLink] = []
    /// Those whose targets lie outside the app.
    var linksOut: [EntryPath] { links.filter(\.leadsOut).map(\.path) }

    init(_ items: [ItemPattern], in table: EntryTable) {
        for item in items {
            switch item.form {
            case .path(let path):
                guard let index = table.index(of: path) else {
                    absent.append(item.text)
                    continue
                }
                add(path, at: index, in: table)
            case .names(let rule):
                // That no name matches a pattern is nothing to report.
                for index in table.children(of: 0) {
                    let path = table.path(of: index)
                    let isDirectory = table[index].kind == .directory
                    if Exclusions([rule]).decision(path: path.bytes[...], isDirectory: isDirectory) != nil {
                        add(path, at: index, in: table)
                    }
                }
            }
        }
        present = Set(present).sorted()
    }

    private mutating func add(_ path: EntryPath, at index: Int, in table: EntryTable) {
        present.append(path)
        guard table[index].kind == .link, !links.contains(where: { $0.path == path }) else { return }
        let target = table.target(of: index)
        links.append(
            ItemLink(path: path, target: printable(target), leadsOut: Self.leadsOut(target, from: path)))
    }

    private static func leadsOut(_ target: [UInt8], from path: EntryPath) -> Bool {
        if target.first == UInt8(ascii: "/") { return true }
        var depth = path.components.count - 1
        for component in target.split(separator: UInt8(ascii: "/")) where !component.elementsEqual(".".utf8) {
            depth += component.elementsEqual("..".utf8) ? -1 : 1
            if depth < 0 { return true }
        }
        return false
    }
}

/// Finds what the app has at its top level that no item covers and no rule excludes.
struct UncoveredSearch {
    private let table: EntryTable
    private let selection: Selection
    private let app: Directory

    init(_ table: EntryTable, _ selection: Selection, app: Directory) {
        self.table = table
        self.selection = selection
        self.app = app
    }

    func run() throws -> [Uncovered] {
        var found: [Uncovered] = []
        for index in table.children(of: 0) {
            let record = table[index]
            guard record.flags.contains(.outside), !record.flags.contains(.container) else { continue }
            let path = table.path(of: index)
            let isOurs = path.bytes.withRawBytes { Selection.isOurs($0, kind: record.kind) }
            // Logs have a flag of their own, and our own log lies among them.
            let isLog = path.bytes.elementsEqual("logs".utf8) || path.bytes.suffix(4).elementsEqual(".log".utf8)
            guard !isOurs, !isLog, try !isBackupDirectory(path, record),
                selection.exclusion(of: path, kind: record.kind) == nil
            else { continue }
            found.append(Uncovered(path: path, bytes: try size(of: path, record)))
        }
        return found
    }

    /// Of this app or of another: told by its marker (promise 4).
    private func isBackupDirectory(_ path: EntryPath, _ record: EntryRecord) throws -> Bool {
        guard record.kind == .directory else { return false }
        do throws(DiskError) {
            return try app.directory(at: path).status(of: TreeWalk.marker) != nil
        } catch {
            // Gone meanwhile, or not ours to read.
            guard [.notFound, .denied].contains(error.code) else { throw error }
            return false
        }
    }

    /// Bytes of all files; what cannot be read counts as nothing.
    private func size(of path: EntryPath, _ record: EntryRecord) throws -> UInt64 {
        guard record.kind == .directory else { return record.size }
        var bytes: UInt64 = 0
        var paths = [path]
        while let path = paths.popLast() {
            do throws(DiskError) {
                let directory = try app.directory(at: path)
                if try directory.status(of: TreeWalk.marker) != nil { continue }
                for item in try directory.items() {
                    guard let status = try directory.status(of: item.name) else { continue }
                    if status.kind == .directory { paths.append(path.appending(item.name)) }
                    if status.kind == .file { bytes.add(saturating: status.size) }
                }
            } catch {
                continue
            }
        }
        return bytes
    }
}
