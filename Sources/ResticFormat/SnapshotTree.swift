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

        init(_ bytes: UnsafeRawBufferPointer) throws(FormatError) {
            var reader = TreeReader(bytes)
            while let node = try reader.next() { try add(node) }
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
            if !node.extended.isEmpty {
                extended[number] = node.extended.ranked()
            }
            if !node.userName.isEmpty, users[node.user] == nil { users[node.user] = node.userName }
            if !node.groupName.isEmpty, groups[node.group] == nil { groups[node.group] = node.groupName }
            names += node.name
            ends.append(names.count)
            records.append(record)
        }

        fileprivate func name(of child: Int) -> Range<Int> { (child == 0 ? 0 : ends[child - 1])..<ends[child] }
    }

    /// Trees that are being read in path order, some of them ahead: many at once, and never much more than that in memory.
    struct Loading {
        /// A tree to be read.
        struct Pending: Sendable {
            let tree: SHA256Digest
            fileprivate let place: Place
        }

        /// Which subtree of which open directory.
        fileprivate struct Place: Hashable, Sendable {
            let depth: Int
            let number: Int
        }

        private struct Open {
            let listing: Listing
            /// In the table.
            let index: Int
            var next = 0
            /// How many of the subtrees were entered, and how many were read or are pending.
            var entered = 0
            var asked = 0
        }

        /// Trees that were read or asked for before they are needed.
        private static let ahead = 64

        private var result: SnapshotTree
        private var open: [Open] = []
        private var read: [Place: Listing] = [:]
        /// What is to be read next; nothing at the end.
        private(set) var pending: [Pending]

        init(_ top: EntryRecord, _ extended: [ExtendedAttribute], _ tree: SHA256Digest) {
            result = SnapshotTree(table: EntryTable(root: top))
            result.table.setRoot(extended: extended)
            result.trees[0] = tree
            pending = [Pending(tree: tree, place: Place(depth: -1, number: 0))]
        }

        /// Takes what was read of all that was pending.
        mutating func absorb(_ listings: [Listing]) throws(EntryTableError) {
            if open.isEmpty, let top = listings.first {
                open = [Open(listing: top, index: 0)]
            } else {
                for (pending, listing) in zip(pending, listings) { read[pending.place] = listing }
            }
            try addEntries()
            ask()
        }

        /// Adds entries to the table until a tree is needed that was not read.
        private mutating func addEntries() throws(EntryTableError) {
            while let last = open.indices.last {
                guard open[last].next < open[last].listing.records.count else {
                    open.removeLast()
                    continue
                }
                let child = open[last].next
                let listing = open[last].listing
                var below: Listing?
                var tree: SHA256Digest?
                let number = open[last].entered
                if number < listing.subtrees.count, listing.subtrees[number].child == child {
                    guard let found = read.removeValue(forKey: Place(depth: last, number: number)) else { return }
                    (below, tree) = (found, listing.subtrees[number].tree)
                    open[last].entered += 1
                }
                open[last].next += 1
                let index = try result.add(child, of: listing, in: open[last].index)
                if let below {
                    result.trees[index] = tree
                    open.append(Open(listing: below, index: index))
                }
            }
        }

        /// Asks for the tree that is needed next, and for some that are needed soon.
        private mutating func ask() {
            pending = []
            for depth in open.indices.reversed() {
                while open[depth].asked < open[depth].listing.subtrees.count {
                    if !pending.isEmpty && read.count + pending.count >= Self.ahead { return }
                    let number = open[depth].asked
                    pending.append(
                        Pending(
                            tree: open[depth].listing.subtrees[number].tree,
                            place: Place(depth: depth, number: number)))
                    open[depth].asked += 1
                }
            }
        }

        /// Everything, when nothing is pending any more.
        consuming func finish() -> SnapshotTree {
            result.table.groupHardLinks()
            return result
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
        if table.userNames[record.user] == nil, let name = listing.users[record.user] {
            table.userNames[record.user] = String(decoding: name, as: UTF8.self)
        }
        if table.groupNames[record.group] == nil, let name = listing.groups[record.group] {
            table.groupNames[record.group] = String(decoding: name, as: UTF8.self)
        }
        return index
    }
}
