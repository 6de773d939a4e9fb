import Disk
import Model

/// Everything that can be seen of a tree, to be compared with another.
package struct TreeSnapshot: Equatable, Sendable {
    package struct Entry: Equatable, Sendable {
        package var kind: EntryKind
        /// 0 for a link, which has none.
        package var mode: UInt16
        package var user: UInt32
        package var group: UInt32
        package var modified: Timestamp
        package var content: [UInt8] = []
        package var target: [UInt8] = []
        package var extended: [ExtendedAttribute] = []
        /// The first path of the same file, if it has several in this tree.
        package var sameFileAs: EntryPath?
        package var hasHoles = false
    }

    package private(set) var entries: [EntryPath: Entry] = [:]

    /// Reads the whole tree, content too. `ignoring`: paths that are left out, with what lies below.
    package init(of tree: Directory, ignoring: Set<EntryPath> = []) throws {
        var firstNames: [FileIdentity: EntryPath] = [:]
        try add(.root, tree.status(), FileAttributes.extended(of: tree.descriptor))
        // Sorted, so that the first name of a file is the same in equal trees.
        var pending: [EntryPath] = [.root]
        while let path = pending.popLast() {
            let directory = try tree.directory(at: path)
            for name in try directory.items().map(\.name).sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                let child = path.appending(name)
                guard !ignoring.contains(child), let status = try directory.status(of: name) else { continue }
                try add(child, status, FileAttributes.extended(of: name, in: directory))
                switch status.kind {
                case .directory: pending.append(child)
                case .link: entries[child]?.target = try directory.target(ofLink: name)
                case .file:
                    entries[child]?.content = try directory.readFile(name, limit: 1 << 30)
                    entries[child]?.hasHoles = status.allocated < status.size
                    if status.links > 1 {
                        if let first = firstNames[status.identity] {
                            entries[child]?.sameFileAs = first
                        } else {
                            firstNames[status.identity] = child
                        }
                    }
                case .characterDevice, .blockDevice: entries[child]?.target = status.deviceNumber.text
                case .fifo, .socket: break
                }
            }
        }
    }

    private mutating func add(_ path: EntryPath, _ status: FileStatus, _ extended: [ExtendedAttribute]) throws {
        entries[path] = Entry(
            kind: status.kind, mode: status.kind == .link ? 0 : status.mode, user: status.user, group: status.group,
            modified: status.modified, extended: extended)
    }

    package subscript(path: EntryPath) -> Entry? {
        get { entries[path] }
        set { entries[path] = newValue }
    }

    /// How `other` differs from this, one line for each entry; empty if it does not.
    package func differences(from other: TreeSnapshot) -> [String] {
        Set(entries.keys).union(other.entries.keys).sorted().compactMap { path in
            switch (entries[path], other.entries[path]) {
            case (let a?, let b?): a == b ? nil : "\(path): \(a.differences(from: b).joined(separator: ", "))"
            case (_?, nil): "\(path): missing"
            default: "\(path): extra"
            }
        }
    }
}

extension TreeSnapshot.Entry {
    fileprivate func differences(from b: Self) -> [String] {
        var all: [String] = []
        if kind != b.kind { all.append("\(kind.name) / \(b.kind.name)") }
        if mode != b.mode { all.append("mode \(String(mode, radix: 8)) / \(String(b.mode, radix: 8))") }
        if user != b.user || group != b.group { all.append("owner \(user):\(group) / \(b.user):\(b.group)") }
        if modified != b.modified { all.append("time \(modified) / \(b.modified)") }
        if content != b.content { all.append("content (\(content.count) / \(b.content.count) bytes)") }
        if target != b.target { all.append("target \(printable(target)) / \(printable(b.target))") }
        if extended != b.extended { all.append("xattrs \(extended.count) / \(b.extended.count)") }
        if sameFileAs != b.sameFileAs { all.append("hard links") }
        if hasHoles != b.hasHoles { all.append("holes") }
        return all
    }
}
