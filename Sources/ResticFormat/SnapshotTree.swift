import Codec
import Disk
import Model

/// The entries below one directory of a snapshot, and where their bytes are.
struct SnapshotTree: Sendable {
    var table: EntryTable
    /// Blobs of files that have more than one; the only blob of a file has the hash of its content as its ID.
    fileprivate(set) var chunks: [Int: [SHA256Digest]] = [:]
    /// The trees of directories.
    fileprivate(set) var trees: [Int: SHA256Digest] = [:]

    static let empty = SHA256.digest(of: [])
    /// What a chunk is wherever only zeros follow: they are cut as soon as they may be.
    fileprivate static let zeros = SHA256.digest(of: [UInt8](repeating: 0, count: Chunker.minimum))
}

extension SnapshotTree {
    /// What one tree says, kept small: a node for each entry would take several times the memory.
    struct Listing: Sendable {
        fileprivate var records: [EntryRecord] = []
        fileprivate var names: [UInt8] = []
        /// Where each name ends.
        fileprivate var ends: [Int] = []
        fileprivate var targets: [Int: [UInt8]] = [:]
        fileprivate var extended: [Int: [ExtendedAttribute]] = [:]
        fileprivate var chunks: [Int: [SHA256Digest]] = [:]
        /// Of the directories, in order.
        fileprivate var subtrees: [(child: Int, tree: SHA256Digest)] = []
        fileprivate var users: [UInt32: [UInt8]] = [:]
        fileprivate var groups: [UInt32: [UInt8]] = [:]
        /// The last ones that were named.
        private var lastOwners: (user: UInt32?, group: UInt32?)

        init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
            // A node takes some hundred bytes.
            let expected = bytes.count / 300
            records.reserveCapacity(expected)
            ends.reserveCapacity(expected)
            names.reserveCapacity(16 * expected)
            var reader = TreeReader(bytes)
            var node = TreeNode()
            while try reader.read(into: &node) { try add(node) }
        }

        private mutating func add(_ node: TreeNode) throws(FormatError) {
            var record = EntryRecord(node)
            let number = records.count
            if let content = node.content, node.kind == .file {
                // Trees know no holes, but other formats that this is copied to want to be told.
                if content.contains(SnapshotTree.zeros) { record.flags.insert(.sparse) }
                if content.count > 1 {
                    chunks[number] = content
                } else {
                    record.digest = content.first ?? SnapshotTree.empty
                    record.flags.insert(.hashed)
                    guard content.isEmpty == (node.size == 0) else {
                        throw FormatError("a file's size is not that of its content")
                    }
                }
            }
            if let subtree = node.subtree { subtrees.append((number, subtree)) }
            if node.kind == .link { targets[number] = node.target }
            if record.kind.isDevice { targets[number] = DeviceNumber(packed: node.represented).text }
            if !node.extended.isEmpty {
                extended[number] = node.extended.ranked()
            }
            // Mostly they are those of the node before.
            if lastOwners.user != node.user, !node.userName.isEmpty {
                if users[node.user] == nil { users[node.user] = node.userName }
                lastOwners.user = node.user
            }
            if lastOwners.group != node.group, !node.groupName.isEmpty {
                if groups[node.group] == nil { groups[node.group] = node.groupName }
                lastOwners.group = node.group
            }
            names += node.name
            ends.append(names.count)
            records.append(record)
        }

        fileprivate func name(of child: Int) -> Range<Int> { (child == 0 ? 0 : ends[child - 1])..<ends[child] }
    }

    /// Trees that are being read in path order, some of them ahead: many at once, and never much more than that in memory.
    struct Loading {
        private struct Open {
            let listing: Listing
            /// In the table.
            let index: Int
            var next = 0
            /// How many of the subtrees were entered.
            var entered = 0

            /// What comes next of them.
            var subtree: (child: Int, tree: SHA256Digest)? {
                entered < listing.subtrees.count ? listing.subtrees[entered] : nil
            }
        }

        /// Entries that one round is to read, as far as the last one tells: a few megabytes.
        private static let entriesInRound = 16_384
        /// Trees that are read in one round, while those of another are taken.
        private var round = 16

        private var result: SnapshotTree
        /// The tree of the top until it is there.
        private var top: SHA256Digest?
        private var open: [Open] = []
        private var read: [SHA256Digest: Listing] = [:]
        /// Trees that were asked for and were not given yet.
        private var asked: Set<SHA256Digest> = []

        init(_ record: EntryRecord, _ extended: [ExtendedAttribute], _ tree: SHA256Digest) {
            result = SnapshotTree(table: EntryTable(root: record))
            result.table.setRoot(extended: extended)
            result.trees[0] = tree
            top = tree
        }

        /// What is to be read next, in path order: also while what was asked for before is still being read. Then nothing means that it
        /// must be read first, and otherwise that all is done.
        mutating func next() -> [SHA256Digest] {
            var wanted: [SHA256Digest] = []
            if let top {
                ask(for: top, &wanted)
                return wanted
            }
            // Many places may have trees that were asked for already.
            var visits = 4 * round
            for depth in open.indices.reversed() {
                ask(open[depth].listing, from: open[depth].entered, &wanted, &visits)
            }
            return wanted
        }

        private mutating func ask(
            _ listing: Listing, from start: Int, _ wanted: inout [SHA256Digest], _ visits: inout Int
        ) {
            for subtree in listing.subtrees[start...] {
                visits -= 1
                if visits < 0 { return }
                if let below = read[subtree.tree] {
                    ask(below, from: 0, &wanted, &visits)
                } else {
                    ask(for: subtree.tree, &wanted)
                }
            }
        }

        private mutating func ask(for tree: SHA256Digest, _ wanted: inout [SHA256Digest]) {
            // One must go on, however much is there.
            let hasRoom = wanted.count < round && read.count + asked.count < 2 * round || asked.isEmpty
            if hasRoom, asked.insert(tree).inserted { wanted.append(tree) }
        }

        /// Takes what was read of some trees. `check` is called for each directory, and ends it by throwing: equal trees, one in the other,
        /// can stand for more entries than anyone wants to wait for.
        mutating func absorb(
            _ listings: [Listing], of trees: [SHA256Digest], checking check: () throws -> Void = {}
        ) throws {
            let entries = listings.reduce(0) { $0 + $1.records.count }
            if entries > 0 { round = max(8, min(256, Self.entriesInRound * listings.count / entries)) }
            for (tree, listing) in zip(trees, listings) {
                asked.remove(tree)
                read[tree] = listing
            }
            if let tree = top, let listing = read.removeValue(forKey: tree) {
                top = nil
                enter(listing, at: 0)
            }
            try addEntries(check)
        }

        private mutating func enter(_ listing: Listing, at index: Int) {
            open.append(Open(listing: listing, index: index))
            result.takeOwners(of: listing)
        }

        /// Adds entries to the table until a tree is needed that was not read.
        private mutating func addEntries(_ check: () throws -> Void) throws {
            // Kept so long: many directories may have the same tree.
            var used: Set<SHA256Digest> = []
            while let last = open.indices.last {
                try check()
                let (listing, parent, subtree) = (open[last].listing, open[last].index, open[last].subtree)
                let end = subtree?.child ?? listing.records.count
                for child in open[last].next..<end { _ = try result.add(child, of: listing, in: parent) }
                open[last].next = end
                guard let subtree else {
                    open.removeLast()
                    continue
                }
                guard let below = read[subtree.tree] else { break }
                used.insert(subtree.tree)
                open[last].entered += 1
                open[last].next += 1
                let index = try result.add(subtree.child, of: listing, in: parent)
                result.trees[index] = subtree.tree
                enter(below, at: index)
            }
            for tree in used { read[tree] = nil }
        }

        /// Everything, when all was read.
        mutating func finish() -> SnapshotTree {
            result.table.groupHardLinks()
            // A second reference would make the first change copy all of it.
            var all = SnapshotTree(table: EntryTable(root: EntryRecord(kind: .directory)))
            swap(&all, &result)
            return all
        }
    }

    private mutating func add(_ child: Int, of listing: Listing, in parent: Int) throws(EntryTableError) -> Int {
        let record = listing.records[child]
        let index = try listing.names.withRawBytes { names throws(EntryTableError) in
            try table.append(
                record, name: UnsafeRawBufferPointer(rebasing: names[listing.name(of: child)]), in: parent,
                target: listing.targets[child] ?? [], extended: listing.extended[child] ?? [])
        }
        if let content = listing.chunks[child] { chunks[index] = content }
        return index
    }

    private mutating func takeOwners(of listing: Listing) {
        for (user, name) in listing.users where table.userNames[user] == nil {
            table.userNames[user] = String(decoding: name, as: UTF8.self)
        }
        for (group, name) in listing.groups where table.groupNames[group] == nil {
            table.groupNames[group] = String(decoding: name, as: UTF8.self)
        }
    }
}
