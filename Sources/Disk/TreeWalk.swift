import CLinux
import Model

/// Walks a tree: reads which entries there are and what the kernel says of them, never what a link points to.
///
/// The walk goes level by level. ``pending`` are directories of one level that can be listed in any order and by any
/// number of threads, each with ``list(_:)``, which changes nothing; ``absorb(_:)`` takes the listings and makes the next level pending.
/// When nothing is pending, ``table()`` puts everything into path order.
package struct TreeWalk: Sendable {
    /// What becomes of an entry, by its path and its kind.
    package enum Decision: Sendable {
        /// It is recorded, and entered if it is a directory.
        case take
        /// It is a directory on the way to an item: recorded, and entered.
        case pass
        /// It is recorded as outside and not entered.
        case leave
        /// As if it were not there.
        case ignore
    }

    /// Decides on the entry at a path; told is what was decided on its directory, `pass` for the top.
    package typealias Decide =
        @Sendable (_ path: UnsafeRawBufferPointer, _ kind: EntryKind, _ parent: Decision) -> Decision

    /// Something could not be read.
    package struct Problem: Sendable {
        package let path: EntryPath
        package let reason: String
    }

    /// What one directory holds.
    package struct Listing: Sendable {
        fileprivate let node: Int
        fileprivate var children: [Child] = []
        fileprivate var names: [UInt8] = []
        fileprivate var targets: [Int: [UInt8]] = [:]
        /// Of directories.
        fileprivate var mounts: [Int: UInt64] = [:]
        fileprivate var isContainer = false
        fileprivate(set) package var problems: [Problem] = []
    }

    fileprivate struct Child: Sendable {
        /// As the listing told, if it did.
        let listedKind: EntryKind?
        var record: PackedRecord
        private let nameStart: UInt32
        private let nameLength: UInt16
        var decision: Decision
        /// Its number, if it is entered.
        var node: Int32 = -1

        /// Listed as `kind`, with the name that ends `names` now.
        init(_ kind: EntryKind?, _ decision: Decision, name: Int, endOf names: Int) {
            listedKind = kind
            record = PackedRecord(EntryRecord(kind: kind ?? .file))
            self.decision = decision
            nameStart = UInt32(names - name)
            nameLength = UInt16(name)
        }

        /// Where its name stands in the listing's.
        var name: Range<Int> { Int(nameStart)..<Int(nameStart) + Int(nameLength) }
    }

    /// A directory that is entered.
    private struct Node: Sendable {
        let path: [UInt8]
        let decision: Decision
        let device: UInt64
        let mount: UInt64
        var listing: Listing?
    }

    /// A directory that holds a file of this name is a backup directory (promise 4).
    package static let marker = Array(".chastipi-backups".utf8)
    /// A directory that holds so many of what ``isOfRepository(_:_:)`` knows is a repository, configured or not.
    private static let repositoryCount = 6

    private let root: Directory
    private let rootRecord: EntryRecord
    private let containers: Set<FileIdentity>
    private let honorsMarker: Bool
    private let decide: Decide
    private var nodes: [Node] = []
    /// Numbers of the directories to be listed next.
    package private(set) var pending: [Int] = []
    package private(set) var problems: [Problem] = []

    /// A walk of what is below `root`. `containers` are never entered, wherever they lie; nor is what the marker file
    /// says to be one, if `honorsMarker`.
    package init(
        of root: Directory, containers: Set<FileIdentity>, honorsMarker: Bool = true,
        decide: @escaping Decide
    ) throws(DiskError) {
        self.root = root
        self.containers = containers
        self.honorsMarker = honorsMarker
        self.decide = decide
        let status = try root.status()
        rootRecord = status.record
        nodes = [Node(path: [], decision: .pass, device: status.device, mount: status.mount, listing: nil)]
        pending = [0]
    }

    package func path(of node: Int) -> EntryPath { EntryPath(unchecked: nodes[node].path) }

    /// Lists the directory with number `node`. Safe to call from many threads at once.
    package func list(_ node: Int) -> Listing {
        var listing = Listing(node: node)
        let path = nodes[node].path
        do throws(DiskError) {
            let directory = try path.withRawBytes { bytes throws(DiskError) in try root.directory(atBytes: bytes) }
            try readNames(of: directory, path: path, into: &listing)
            guard !listing.isContainer else { return listing }
            readRecords(of: directory, path: path, into: &listing)
        } catch {
            listing.children = []
            listing.problems = [Problem(path: EntryPath(unchecked: path), reason: error.reason)]
        }
        return listing
    }

    private func readNames(of directory: Directory, path: [UInt8], into listing: inout Listing) throws(DiskError) {
        var full = path.isEmpty ? [] : path + [UInt8(ascii: "/")]
        let prefix = full.count
        let parent = nodes[listing.node].decision
        var children: [Child] = []
        var names: [UInt8] = []
        var isContainer = false
        var ofRepository = 0
        try directory.list { name, kind in
            if node(listing.node, isMarkedBy: name) { isContainer = true }
            if Self.isOfRepository(name, kind) { ofRepository += 1 }
            full.replaceSubrange(prefix..., with: name)
            // Where the file system tells no kind, the decision waits for the record.
            let decision = kind.map { kind in full.withUnsafeBytes { decide($0, kind, parent) } } ?? .take
            if decision == .ignore { return }
            names.append(contentsOf: name)
            children.append(Child(kind, decision, name: name.count, endOf: names.count))
        }
        names.withUnsafeBytes { names in
            children.sort { a, b in
                names[a.name].lexicographicallyPrecedes(names[b.name])
            }
        }
        listing.children = children
        listing.names = names
        let isRepository = honorsMarker && listing.node != 0 && ofRepository == Self.repositoryCount
        listing.isContainer = isContainer || isRepository
    }

    /// Whether a repository has an entry of this name and kind, nil for one that is not known yet, at its top.
    private static func isOfRepository(_ name: UnsafeRawBufferPointer, _ kind: EntryKind?) -> Bool {
        // Every name of a walk comes here: length and first letter rule out nearly all.
        let known: (name: StaticString, kind: EntryKind)
        switch (name.count, name.first) {
        case (6, UInt8(ascii: "c")): known = ("config", .file)
        case (4, UInt8(ascii: "d")): known = ("data", .directory)
        case (5, UInt8(ascii: "i")): known = ("index", .directory)
        case (4, UInt8(ascii: "k")): known = ("keys", .directory)
        case (5, UInt8(ascii: "l")): known = ("locks", .directory)
        case (9, UInt8(ascii: "s")): known = ("snapshots", .directory)
        default: return false
        }
        return (kind == nil || kind == known.kind) && known.name.withUTF8Buffer { name.elementsEqual($0) }
    }

    private func node(_ node: Int, isMarkedBy name: UnsafeRawBufferPointer) -> Bool {
        honorsMarker && node != 0 && name.count == Self.marker.count && name.elementsEqual(Self.marker)
    }

    private func readRecords(of directory: Directory, path: [UInt8], into listing: inout Listing) {
        let node = nodes[listing.node]
        var kept: [Child] = []
        kept.reserveCapacity(listing.children.count)
        for var child in listing.children {
            let name = listing.names[child.name]
            do throws(DiskError) {
                guard let status = try directory.status(of: name) else { continue }
                var record = status.record
                if record.kind != child.listedKind {
                    child.decision = EntryPath(unchecked: path).appending(name).bytes.withUnsafeBytes {
                        decide($0, record.kind, node.decision)
                    }
                    if child.decision == .ignore { continue }
                }
                if isContainer(record) || record.kind == .link && leads(name, in: directory) {
                    child.decision = .leave
                    record.flags.insert(.container)
                }
                if record.device != node.device || status.mount != node.mount { record.flags.insert(.mountRoot) }
                if record.kind == .directory { listing.mounts[kept.count] = status.mount }
                if record.kind == .link { listing.targets[kept.count] = try directory.target(ofLink: name) }
                if record.kind.isDevice { listing.targets[kept.count] = status.deviceNumber.text }
                child.record = PackedRecord(record)
                kept.append(child)
            } catch {
                listing.problems.append(
                    Problem(path: EntryPath(unchecked: path).appending(name), reason: error.reason))
            }
        }
        listing.children = kept
    }

    /// A link to a container stands for it: what is restored there must never meet the container of another machine.
    private func leads(_ link: some Collection<UInt8>, in directory: Directory) -> Bool {
        guard !containers.isEmpty, let identity = directory.identity(following: link) else { return false }
        return containers.contains(identity)
    }

    private func isContainer(_ record: EntryRecord) -> Bool {
        record.kind == .directory && !containers.isEmpty
            && containers.contains(FileIdentity(device: record.device, inode: record.inode))
    }

    /// Takes the listings of all pending directories.
    package mutating func absorb(_ listings: [Listing]) {
        pending = []
        for var listing in listings {
            let parent = nodes[listing.node].path
            problems += listing.problems
            if listing.isContainer { listing.children = [] }
            for index in listing.children.indices {
                let child = listing.children[index]
                guard child.record.kind == .directory, child.decision == .take || child.decision == .pass else {
                    continue
                }
                let name = listing.names[child.name]
                listing.children[index].node = Int32(nodes.count)
                pending.append(nodes.count)
                nodes.append(
                    Node(
                        path: EntryPath(unchecked: parent).appending(name).bytes, decision: child.decision,
                        device: child.record.device, mount: listing.mounts[index] ?? 0, listing: nil))
            }
            nodes[listing.node].listing = listing
        }
    }

    /// Everything that was found, in path order. Hard links are grouped; extended attributes are not read.
    package consuming func table() throws(EntryTableError) -> EntryTable {
        var root = rootRecord
        root.flags.insert(.ancestor)
        var table = EntryTable(root: root)
        let entries = nodes.reduce(1) { $0 + ($1.listing?.children.count ?? 0) }
        table.reserve(entries: entries, bytes: 64 * entries)
        // A stack of its own: a tree can be deeper than a thread's stack.
        var open: [(node: Int, next: Int, parent: Int)] = [(0, 0, 0)]
        while let (node, next, parent) = open.last {
            guard let listing = nodes[node].listing, next < listing.children.count else {
                open.removeLast()
                nodes[node].listing = nil
                continue
            }
            open[open.count - 1].next += 1
            let child = listing.children[next]
            var record = child.record.record
            if child.decision == .pass { record.flags.insert(.ancestor) }
            if child.decision == .leave { record.flags.insert(.outside) }
            if child.node >= 0, nodes[Int(child.node)].listing?.isContainer == true {
                record.flags.formUnion([.outside, .container])
            }
            let name = listing.names[child.name]
            let target = listing.targets[next] ?? []
            let index = try Array(name).withRawBytes { name throws(EntryTableError) in
                try table.append(record, name: name, in: parent, target: target)
            }
            if child.node >= 0 { open.append((Int(child.node), 0, index)) }
        }
        table.groupHardLinks()
        return table
    }
}

extension EntryTable {
    /// Gives all entries that are links to one file the same group.
    package mutating func groupHardLinks() {
        var first: [FileIdentity: Int] = [:]
        var groups: UInt32 = 0
        for index in 0..<count where self[index].kind == .file && self[index].links > 1 {
            let identity = FileIdentity(device: self[index].device, inode: self[index].inode)
            guard let other = first[identity] else {
                first[identity] = index
                continue
            }
            if self[other].linkGroup == 0 {
                groups += 1
                self[other].linkGroup = groups
            }
            self[index].linkGroup = self[other].linkGroup
        }
    }
}
