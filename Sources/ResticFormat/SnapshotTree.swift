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
        fileprivate var subtrees: [Int: SHA256Digest] = [:]
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
            if let subtree = node.subtree { subtrees[number] = subtree }
            if node.kind == .link { targets[number] = node.target }
            if !node.extended.isEmpty {
                extended[number] = node.extended.sorted { $0.name.lexicographicallyPrecedes($1.name) }
            }
            if !node.userName.isEmpty, users[node.user] == nil { users[node.user] = node.userName }
            if !node.groupName.isEmpty, groups[node.group] == nil { groups[node.group] = node.groupName }
            names += node.name
            ends.append(names.count)
            records.append(record)
        }

        fileprivate func name(of child: Int) -> Range<Int> { (child == 0 ? 0 : ends[child - 1])..<ends[child] }
    }

    /// Trees that are being read, level by level.
    struct Loading {
        /// A tree to be read, and the number of its directory.
        struct Pending: Sendable {
            let tree: SHA256Digest
            let directory: Int
        }

        private let top: EntryRecord
        private let extended: [ExtendedAttribute]
        private let tree: SHA256Digest
        private(set) var pending: [Pending]
        /// Listings by the numbers of directories, and for each child that is one its number.
        private var listings: [Listing?] = [nil]
        private var numbers: [[Int: Int]] = [[:]]

        init(_ top: EntryRecord, _ extended: [ExtendedAttribute], _ tree: SHA256Digest) {
            self.top = top
            self.extended = extended
            self.tree = tree
            pending = [Pending(tree: tree, directory: 0)]
        }

        /// Takes what was read of all that was pending.
        mutating func absorb(_ read: [Listing]) {
            let done = pending
            pending = []
            for (directory, listing) in zip(done, read) {
                for (child, tree) in listing.subtrees {
                    numbers[directory.directory][child] = listings.count
                    pending.append(Pending(tree: tree, directory: listings.count))
                    listings.append(nil)
                    numbers.append([:])
                }
                listings[directory.directory] = listing
            }
        }

        /// Puts everything into path order.
        consuming func finish() throws(EntryTableError) -> SnapshotTree {
            var result = SnapshotTree(table: EntryTable(root: top))
            result.table.setRoot(extended: extended)
            result.trees[0] = tree
            let entries = listings.reduce(1) { $0 + ($1?.records.count ?? 0) }
            result.table.reserve(entries: entries, bytes: 64 * entries)
            // A stack of its own: a tree can be deeper than a thread's stack.
            var open: [(directory: Int, next: Int, parent: Int)] = [(0, 0, 0)]
            while let (directory, next, parent) = open.last {
                guard let listing = listings[directory], next < listing.records.count else {
                    open.removeLast()
                    listings[directory] = nil
                    continue
                }
                open[open.count - 1].next += 1
                let index = try result.add(next, of: listing, in: parent)
                if let number = numbers[directory][next] {
                    result.trees[index] = listing.subtrees[next]
                    open.append((number, 0, index))
                }
            }
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
