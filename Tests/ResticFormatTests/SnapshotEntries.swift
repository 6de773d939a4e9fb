import Codec
import Disk
import Model
import ResticFormat
import TestKit

/// Reads all entries of a snapshot with their content.
struct Reader: ~Copyable {
    private let repository: Repository
    private let index: BlobIndex
    private var coder: RepositoryCoder

    init(_ repository: Repository, _ index: BlobIndex) {
        self.repository = repository
        self.index = index
        coder = repository.coder()
    }

    mutating func entries(of tree: SHA256Digest) throws -> SnapshotEntries {
        var found = SnapshotEntries()
        var pending = [(EntryPath.root, tree)]
        while let (path, id) = pending.popLast() {
            for node in try repository.tree(id, in: index, &coder) {
                let child = path.appending(node.name)
                found.nodes[child] = node
                if let subtree = node.subtree { pending.append((child, subtree)) }
                guard let ids = node.content else { continue }
                var content: [UInt8] = []
                for id in ids { content += try repository.blob(BlobKey(.data, id), in: index, &coder) }
                found.content[child] = content
            }
        }
        return found
    }
}

struct SnapshotEntries {
    var nodes: [EntryPath: TreeNode] = [:]
    var content: [EntryPath: [UInt8]] = [:]

    /// How the entries differ from those of a directory, one line for each difference.
    func differences(from tree: TemporaryTree) throws -> [String] {
        let expected = try TreeSnapshot(of: tree.directory)
        var lines: [String] = []
        for (path, entry) in expected.entries where !path.isRoot {
            guard let node = nodes[path] else {
                lines.append("\(path): missing")
                continue
            }
            guard let status = try tree.status(path) else { continue }
            lines += differences(node, entry, status, content[path] ?? []).map { "\(path): \($0)" }
        }
        lines += nodes.keys.filter { expected[$0] == nil }.map { "\($0): extra" }
        return lines
    }

    private func differences(
        _ node: TreeNode, _ entry: TreeSnapshot.Entry, _ status: FileStatus, _ content: [UInt8]
    ) -> [String] {
        let kinds: [EntryKind: TreeNode.Kind] = [
            .file: .file, .directory: .directory, .link: .link, .fifo: .fifo, .characterDevice: .characterDevice,
            .blockDevice: .blockDevice,
        ]
        var all: [String] = []
        func expect(_ isEqual: Bool, _ what: String) { if !isEqual { all.append(what) } }
        expect(node.kind == kinds[entry.kind], "kind")
        expect(node.mode == TreeNode.mode(node.kind, permissions: status.mode), "mode \(node.mode)")
        expect(node.modified.moment == status.modified || status.modified.seconds < -2_000_000_000, "mtime")
        expect(node.accessed == node.modified && node.changed.moment == status.changed, "atime, ctime")
        expect(node.user == status.user && node.group == status.group, "owner")
        expect(node.inode == status.inode && node.device == status.device, "inode")
        expect(node.size == (entry.kind == .file ? status.size : 0), "size")
        expect(node.links == (entry.kind == .directory || entry.kind == .fifo ? 0 : UInt64(status.links)), "links")
        expect(content == entry.content, "content")
        // Restic before 0.16 writes no target as it is that is not UTF-8.
        let isDevice = entry.kind.isDevice
        let target = isDevice ? [] : entry.target
        expect(node.target == target || String(validating: target, as: UTF8.self) == nil, "target")
        // Nor such a name of an attribute, and no attributes of links.
        let known =
            entry.kind == .link ? [] : entry.extended.filter { String(validating: $0.name, as: UTF8.self) != nil }
        let read = node.extended.sorted { $0.name.lexicographicallyPrecedes($1.name) }
        expect(read.filter { !$0.name.contains(0xbd) } == known, "xattrs")
        let number = isDevice ? DeviceNumber(text: entry.target)?.packed : 0
        expect(node.represented == number, "device")
        return all
    }
}
