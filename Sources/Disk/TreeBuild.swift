import Model

/// Makes a tree of entries of a table below a directory: directories first, then what is in them in any order and on any
/// number of threads, then hard links, then the attributes of directories.
///
/// The caller fills the files: where their bytes come from, and who checks them, is not known here.
package struct TreeBuild: Sendable {
    /// A piece of work for one thread: entries of one directory, none of them a directory.
    package struct Unit: Sendable {
        /// Index of the directory.
        package let directory: Int
        /// Indices of its entries.
        package let entries: [Int]
        fileprivate let bytes: UInt64

        fileprivate init(directory: Int, entries: [Int], bytes: UInt64) {
            self.directory = directory
            self.entries = entries
            self.bytes = bytes
        }

        /// A single entry that has to be made after all.
        package init(copying index: Int, in directory: Int) {
            self.init(directory: directory, entries: [index], bytes: 0)
        }
    }

    package let table: EntryTable
    package let target: Directory
    /// Largest first, so that no thread ends with a large file while the others have nothing left to do.
    package let units: [Unit]
    /// Hard links to entries in ``units``: index of the link, and of the entry that is written.
    package let hardLinks: [(link: Int, written: Int)]
    /// Directories by the one that holds them, and those by their depth: what is at one depth can be made in any order.
    private let levels: [[(parent: Int, children: [Int])]]

    /// Files from this size on are units of their own.
    private static let large: UInt64 = 8 << 20
    private static let entriesPerUnit = 512
    /// Bytes of a run.
    private static let run: UInt64 = 4 << 20

    /// `entries` are indices in path order. The directories that hold them are among them, or are there already.
    package init(_ entries: [Int], of table: EntryTable, in target: Directory) {
        var directories: [Int] = []
        var units: [Unit] = []
        var open: [Int: (entries: [Int], bytes: UInt64)] = [:]
        var written: [UInt32: Int] = [:]
        var hardLinks: [(link: Int, written: Int)] = []
        for index in entries {
            let record = table[index]
            if record.kind == .directory {
                if index != 0 { directories.append(index) }
                continue
            }
            if record.linkGroup != 0 {
                if let first = written[record.linkGroup] {
                    hardLinks.append((index, first))
                    continue
                }
                written[record.linkGroup] = index
            }
            let parent = Int(record.parent)
            if record.size >= Self.large {
                units.append(Unit(directory: parent, entries: [index], bytes: record.size))
                continue
            }
            open[parent, default: ([], 0)].entries.append(index)
            open[parent, default: ([], 0)].bytes.add(saturating: record.size)
            if let (entries, bytes) = open[parent], entries.count == Self.entriesPerUnit {
                units.append(Unit(directory: parent, entries: entries, bytes: bytes))
                open[parent] = nil
            }
        }
        units += open.map { Unit(directory: $0.key, entries: $0.value.entries, bytes: $0.value.bytes) }
        units.sort { ($1.bytes, $0.directory) < ($0.bytes, $1.directory) }
        self.table = table
        self.target = target
        self.units = units
        self.hardLinks = hardLinks
        levels = Self.levels(of: directories, in: table)
    }

    /// The units in runs for one thread each. `position` tells where the bytes of an entry are read from: what stands near each
    /// other there is made by one thread, in that order. Nil where that makes no difference.
    package func runs(by position: (Int) -> UInt64?) -> [[Unit]] {
        var runs: [[Unit]] = []
        var small: [(position: UInt64, unit: Unit)] = []
        for unit in units {
            let positions = unit.entries.map { (position($0) ?? 0, $0) }.sorted { $0 < $1 }
            guard let first = positions.first(where: { $0.0 > 0 }), unit.bytes < Self.large else {
                runs.append([unit])
                continue
            }
            small.append(
                (first.0, Unit(directory: unit.directory, entries: positions.map(\.1), bytes: unit.bytes)))
        }
        var bytes = Self.run
        for (_, unit) in small.sorted(by: { $0.position < $1.position }) {
            if bytes >= Self.run {
                runs.append([])
                bytes = 0
            }
            runs[runs.count - 1].append(unit)
            bytes.add(saturating: unit.bytes)
        }
        return runs
    }

    private static func levels(of directories: [Int], in table: EntryTable) -> [[(parent: Int, children: [Int])]] {
        var depths: [Int: Int] = [:]
        var holders: [Int: [Int]] = [:]
        var levels: [[Int]] = []
        for index in directories {
            let parent = Int(table[index].parent)
            let depth = depths[parent, default: 0]
            depths[index] = depth + 1
            if holders[parent] == nil {
                if depth >= levels.count { levels += Array(repeating: [], count: depth + 1 - levels.count) }
                levels[depth].append(parent)
            }
            holders[parent, default: []].append(index)
        }
        return levels.map { $0.map { ($0, holders[$0] ?? []) } }
    }

    /// Calls its second argument with all numbers below the first, on any number of threads.
    package typealias ForEach = (_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws -> Void

    /// Makes all directories, open for us alone until ``finishDirectories(_:)``.
    package func makeDirectories(forEach: ForEach) throws {
        for level in levels {
            try forEach(level.count) { number in
                let holder = try directory(at: level[number].parent)
                for index in level[number].children {
                    try table.withName(of: index) { name throws(DiskError) in try holder.makeEmptyDirectory(name) }
                }
            }
        }
    }

    /// The directory with index `index` as it is being built.
    package func directory(at index: Int) throws(DiskError) -> Directory {
        try table.path(of: index).bytes.withRawBytes { path throws(DiskError) in try target.directory(atBytes: path) }
    }

    /// Makes the second and further names of files. `cannot` hears of those that the file system refuses.
    package func makeHardLinks(_ cannot: (_ link: Int, _ written: Int) throws -> Void) throws {
        for (link, written) in hardLinks where try !makeHardLink(link, to: written) { try cannot(link, written) }
    }

    /// Makes the entry with index `link` a further name of the file `written`; false if the file system refuses.
    package func makeHardLink(_ link: Int, to written: Int) throws(DiskError) -> Bool {
        let from = try directory(at: Int(table[written].parent))
        let to = try directory(at: Int(table[link].parent))
        do throws(DiskError) {
            try from.link(Array(table.path(of: written).name), to: to, as: Array(table.path(of: link).name))
            return true
        } catch {
            guard error.meansNoHardLink else { throw error }
            return false
        }
    }

    /// Sets the attributes of all directories, children before parents. `attributes` gives those of an entry; what cannot
    /// be set is passed to `unset`.
    package func finishDirectories(
        ownership: Ownership, attributes: @escaping @Sendable (Int) -> Attributes, forEach: ForEach,
        unset: @escaping @Sendable (Int, [String]) -> Void
    ) throws {
        for level in levels.reversed() {
            try forEach(level.count) { number in
                for index in level[number].children {
                    let directory = try directory(at: index)
                    let left = try FileAttributes.apply(
                        attributes(index), to: directory.descriptor, now: try directory.status().owner,
                        ownership: ownership)
                    if !left.isEmpty { unset(index, left) }
                }
            }
        }
    }
}
