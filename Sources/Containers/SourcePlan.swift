import Disk
import Model

/// What a format is given to write: the entries of a source, and for each where its bytes come from. Formats open bytes
/// through the plan and never by path; the plan decides what is unchanged.
package struct SourcePlan: Sendable {
    /// The previous backup, whose files may be shared. A class: workers take hold of it for each file, and a value would
    /// have them count the references of all that is in it.
    package final class Parent: Sendable {
        /// What its files are shared from.
        package enum Store: Sendable {
            /// Its folder, and what its files have instead of what they could not be given, by index.
            case folder(Directory, held: [Int: Manifest.Held])
            /// A backup of the format that writes.
            case backup(any BackupContents)
        }

        package let name: BackupName
        package let store: Store

        fileprivate init(_ reading: ParentReading) {
            name = reading.name
            store = reading.store
        }
    }

    /// The previous backup as it was read, to be compared with; its table is not kept longer than that.
    package struct ParentReading: Sendable {
        /// What tells that an entry has not changed since: which file it was, and when it last changed.
        package enum Evidence: Sendable {
            case seen(SeenRecords)
            /// The table's own records. What changed later than two seconds before this is *racy*.
            case table(read: Timestamp)
        }

        package let name: BackupName
        package let table: EntryTable
        package let store: Parent.Store
        /// Nil if all must be read.
        package let evidence: Evidence?
        /// The databases that it holds: whether they are unchanged their files alone do not tell.
        package let databases: [EntryPath]

        package init(
            name: BackupName, _ table: EntryTable, in store: Parent.Store, evidence: Evidence?,
            databases: [EntryPath] = []
        ) {
            (self.name, self.table, self.store) = (name, table, store)
            (self.evidence, self.databases) = (evidence, databases)
        }
    }

    /// Where the bytes of a file come from.
    package enum Content: Sendable, Equatable {
        /// From the source, read now.
        case file
        /// Unchanged since the parent: the entry with this index there.
        case shared(Int)
        /// From a file that was made for this backup, such as a consistent copy of a database. The format may move it away.
        case prepared(PreparedFile)
        /// From the backup that is copied, by the reader that ``makeStoredReader(stop:)`` gives.
        case stored
    }

    /// A file in a directory of ours, with the bytes of an entry.
    package struct PreparedFile: Sendable, Equatable {
        package let directory: Directory
        package let name: String

        package init(_ name: String, in directory: Directory) {
            self.directory = directory
            self.name = name
        }

        package static func == (a: PreparedFile, b: PreparedFile) -> Bool {
            a.name == b.name && a.directory === b.directory
        }
    }

    /// An entry of the parent.
    package struct ParentEntry: Sendable {
        let index: Int
        let record: EntryRecord
        let extended: [ExtendedAttribute]
        /// Whether the parent holds the file as it is, and not a copy that SQLite made.
        var isFile = false
    }

    /// Where the entries come from.
    package enum Source: Sendable {
        case app(Directory)
        /// A backup that is copied.
        case backup(any BackupContents)
    }

    package let source: Source
    /// Only what is to be saved.
    package var table: EntryTable
    package let parent: Parent?
    /// Index into the parent's table by entry; -1 for what must be read.
    private var sharedIndices: [Int32]
    private var prepared: [Int: PreparedFile] = [:]
    /// Which entries of the backup that is copied these are; nil if they are all.
    private let storedIndices: [Int]?
    /// Entries that the parent holds and that may be databases, by index: what was recorded of them there.
    package private(set) var parentDatabases: [Int: ParentEntry] = [:]
    package var skipped: [Skipped]
    /// When the scan began: what changed after that is read again next time.
    package let reading: Timestamp

    package func content(of index: Int) -> Content {
        if sharedIndices[index] >= 0 { return .shared(Int(sharedIndices[index])) }
        if !prepared.isEmpty, let file = prepared[index] { return .prepared(file) }
        if case .backup = source { return .stored }
        return .file
    }

    /// The directory at `path` in the app. Only what is to be read from there is asked for there.
    package func sourceDirectory(at path: EntryPath) throws(DiskError) -> Directory {
        guard case .app(let directory) = source else {
            throw DiskError(.notFound, "open", "\(path)", because: "it is in a backup")
        }
        return try directory.directory(at: path)
    }

    /// A reader for one thread, if entries come from a backup.
    package func makeStoredReader(stop: StopFlag) -> sending (any ContentReader)? {
        guard case .backup(let contents) = source else { return nil }
        let reader = contents.makeReader(stop: stop)
        guard let storedIndices else { return reader }
        return PartReader(reader, of: storedIndices)
    }

    /// Whether the entry's bytes are written anew, wherever they come from.
    package func isWritten(_ index: Int) -> Bool { sharedIndices[index] < 0 }

    package var sharedFiles: Int { sharedIndices.reduce(0) { $0 + ($1 < 0 ? 0 : 1) } }

    /// Joins the entries of a source with the parent's. `isFull`: nothing is shared.
    ///
    /// `table` is taken over and left empty: a second reference would make the first change copy all of it.
    package init(
        source: Directory, taking table: inout EntryTable, skipped: [Skipped], parent: ParentReading?, isFull: Bool,
        reading: Timestamp
    ) {
        self.source = .app(source)
        storedIndices = nil
        self.table = EntryTable(root: EntryRecord(kind: .directory))
        swap(&self.table, &table)
        self.skipped = skipped
        self.parent = parent.map { Parent($0) }
        self.reading = reading
        sharedIndices = Array(repeating: -1, count: self.table.count)
        let unchanged = ParentJoin.unchanged(self.table, since: parent)
        for index in unchanged.indices where unchanged[index] < 0 { readExtended(of: index) }
        guard let parent else { return }
        let old = parent.table
        for index in unchanged.indices where unchanged[index] >= 0 {
            self.table.takeContent(of: Int(unchanged[index]), in: old, for: index)
            if !isFull, self.table.kind(of: index) == .file { sharedIndices[index] = unchanged[index] }
        }
        if !isFull { setApart(parent.databases, in: old) }
    }

    /// What `contents` holds but for the entries `left` and what is below them, with the attributes that stand in `taken`, its table.
    /// What `parent`, which lies where the copy will, holds with the same attributes and the same hash is shared with it.
    package init(
        copying contents: any BackupContents, taking taken: EntryTable, leaving left: Set<Int>, skipped: [Skipped],
        parent: ParentReading?, reading: Timestamp
    ) {
        source = .backup(contents)
        if left.isEmpty {
            (table, storedIndices) = (taken, nil)
        } else {
            var isTaken = [Bool](repeating: true, count: taken.count)
            for index in 1..<taken.count { isTaken[index] = isTaken[Int(taken[index].parent)] && !left.contains(index) }
            (table, storedIndices) = (taken.filtered { isTaken[$0] }, isTaken.indices.filter { isTaken[$0] })
        }
        self.skipped = skipped
        self.parent = parent.map { Parent($0) }
        self.reading = reading
        sharedIndices = Array(repeating: -1, count: table.count)
        guard let parent else { return }
        for index in 1..<max(1, table.count) where table[index].kind == .file && table[index].flags.contains(.hashed) {
            guard let old = parent.table.index(of: table.path(of: index)) else { continue }
            let then = parent.table[old]
            let isSame =
                then.kind == .file && then.size == table[index].size && then.digest == table[index].digest
                && parent.table.attributes(of: old) == table.attributes(of: index)
            if isSame { sharedIndices[index] = Int32(old) }
        }
    }

    /// From now on the bytes of the entry at `index`, as they are, come from `file`.
    package mutating func takeStored(_ file: PreparedFile, for index: Int) {
        sharedIndices[index] = -1
        prepared[index] = file
    }

    private mutating func setApart(_ databases: [EntryPath], in parent: EntryTable) {
        for path in databases {
            guard let index = table.index(of: path), let old = parent.index(of: path), table[index].kind == .file,
                parent[old].kind == .file
            else { continue }
            setApart(index, as: ParentEntry(index: old, record: parent[old], extended: parent.extended(of: old)))
        }
    }

    /// From now on what is shared at `index` is taken for changed, until ``shareDatabase(_:)``: its file alone does not tell.
    package mutating func setApart(_ index: Int) {
        guard case .shared(let old) = content(of: index) else { return }
        setApart(
            index,
            as: ParentEntry(index: old, record: table[index], extended: table.extended(of: index), isFile: true))
    }

    /// What was set apart at `index` is no database: an unchanged file is shared again.
    package mutating func takeBack(_ index: Int) {
        if parentDatabases[index]?.isFile == true { shareDatabase(index) }
    }

    private mutating func setApart(_ index: Int, as entry: ParentEntry) {
        sharedIndices[index] = -1
        table[index].flags.remove(.hashed)
        parentDatabases[index] = entry
    }

    /// From now on the bytes of the entry at `index`, and its size, are those of `file`.
    package mutating func take(_ file: PreparedFile, size: UInt64, extended: [ExtendedAttribute], for index: Int) {
        sharedIndices[index] = -1
        prepared[index] = file
        table[index].size = size
        table[index].flags.subtract([.sparse, .hashed])
        table.setExtended(extended, of: index)
    }

    /// From now on the database at `index` is shared with the parent's.
    package mutating func shareDatabase(_ index: Int) {
        guard let old = parentDatabases[index] else { return }
        sharedIndices[index] = Int32(old.index)
        table[index].size = old.record.size
        if old.record.flags.contains(.hashed) {
            table[index].digest = old.record.digest
            table[index].flags.insert(.hashed)
        }
        if old.record.flags.contains(.sparse) {
            table[index].flags.insert(.sparse)
        } else {
            table[index].flags.remove(.sparse)
        }
        table.setExtended(old.extended, of: index)
    }

    /// Takes files out of the plan.
    package mutating func leaveOut(_ indices: Set<Int>) {
        guard !indices.isEmpty else { return }
        let kept = (0..<table.count).filter { !indices.contains($0) }
        table.keep { !indices.contains($0) }
        sharedIndices = kept.map { sharedIndices[$0] }
        var moved: [Int: PreparedFile] = [:]
        for (new, old) in kept.enumerated() { moved[new] = prepared[old] }
        prepared = moved
        parentDatabases = [:]
    }

    /// Files that the source has besides those of the plan, each with its bytes.
    package mutating func add(_ files: [AddedFile]) throws(EntryTableError) {
        guard !files.isEmpty else { return }
        var moved: [Int] = []
        table = try table.inserting(files.map { ($0.path, $0.record) }, moved: &moved)
        var shared = [Int32](repeating: -1, count: table.count)
        for (old, new) in moved.enumerated() { shared[new] = sharedIndices[old] }
        sharedIndices = shared
        prepared = Dictionary(uniqueKeysWithValues: prepared.map { (moved[$0.key], $0.value) })
        parentDatabases = [:]
        for file in files {
            guard let index = table.index(of: file.path) else { continue }
            take(file.content, size: file.record.size, extended: file.extended, for: index)
        }
    }

    /// A file that the scan did not see.
    package struct AddedFile: Sendable {
        let path: EntryPath
        let record: EntryRecord
        let content: PreparedFile
        let extended: [ExtendedAttribute]

        package init(path: EntryPath, record: EntryRecord, content: PreparedFile, extended: [ExtendedAttribute]) {
            (self.path, self.record, self.content, self.extended) = (path, record, content, extended)
        }
    }

    /// Files' extended attributes are read when the file is; those of directories and links here.
    private mutating func readExtended(of index: Int) {
        guard table[index].kind != .file else { return }
        do throws(DiskError) {
            let path = table.path(of: index)
            let extended: [ExtendedAttribute]
            if let above = path.parent {
                extended = try FileAttributes.extended(of: path.name, in: try sourceDirectory(at: above))
            } else {
                let root = try sourceDirectory(at: .root)
                extended = try withExtendedLifetime(root) { () throws(DiskError) in
                    try FileAttributes.extended(of: root.descriptor)
                }
            }
            table.setExtended(extended, of: index)
        } catch {
            // An entry that vanished meanwhile is named when its content is missed; the rest must be named here.
            if error.code != .notFound {
                skipped.append(
                    Skipped(path: table.path(of: index), reason: "extended attributes: \(error.reason)", isKept: true))
            }
        }
    }
}

/// Goes through two tables in path order at once.
private struct ParentJoin {
    private let table: EntryTable
    private let parent: EntryTable
    private let evidence: SourcePlan.ParentReading.Evidence
    private var next = 1

    /// For each entry the parent's index of one that is as it was then: same size, time, change, inode and all attributes; -1 for all
    /// others, and where nothing can be known.
    static func unchanged(_ table: EntryTable, since parent: SourcePlan.ParentReading?) -> [Int32] {
        guard let parent, let evidence = parent.evidence else { return Array(repeating: -1, count: table.count) }
        var join = ParentJoin(table: table, parent: parent.table, evidence: evidence)
        return (0..<table.count).map { index in join.unchanged(index).map { Int32($0) } ?? -1 }
    }

    private mutating func unchanged(_ index: Int) -> Int? {
        guard let found = index == 0 ? 0 : position(of: index) else { return nil }
        let (now, then) = (table[index], parent[found])
        let isSame =
            now.kind == then.kind && now.size == then.size && now.modified == then.modified && now.mode == then.mode
            && now.user == then.user && now.group == then.group
        guard isSame, let known = known(found, then) else { return nil }
        return now.device == known.device && now.inode == known.inode && now.changed == known.changed ? found : nil
    }

    @inline(__always)
    private func known(_ index: Int, _ record: EntryRecord) -> SeenRecords.Record? {
        switch evidence {
        case .seen(let records): return records[index]
        case .table(let reading):
            guard !SeenRecords.isRacy(record, readAt: reading) else { return nil }
            return .init(device: record.device, inode: record.inode, changed: record.changed)
        }
    }

    private mutating func position(of index: Int) -> Int? {
        while next < parent.count {
            switch table.order(of: index, comparedTo: next, in: parent) {
            case ..<0: return nil
            case 0:
                next += 1
                return next - 1
            default: next += 1
            }
        }
        return nil
    }
}
