import Codec
import Model
import Workers

/// Something of a snapshot that is lost.
package struct SnapshotLoss: Hashable, Sendable {
    package enum Kind: Hashable, Sendable {
        /// So many of the chunks of a file cannot be read.
        case chunks(Int, of: Int)
        /// The file says that it has so many bytes, and its chunks have others.
        case size(UInt64, chunks: UInt64)
        /// A directory with all that is below it: why its tree cannot be read.
        case directory(String)
    }

    package let path: EntryPath
    package let kind: Kind

    /// A clause.
    package var message: String {
        switch kind {
        case .chunks(let lost, let count): "\(lost) of its \(count) chunks are lost"
        case .size(let size, let chunks): "its size is given as \(size) bytes, and its chunks have \(chunks)"
        case .directory(let reason): "the directory and all that is below it are lost: \(reason)"
        }
    }
}

/// Finds what snapshots have lost, and makes the trees that they have without it. A tree is looked at once, however many snapshots
/// share it. Used where damage is known or feared: it goes from one tree to the next, and knows the path of each.
struct DamageScan: ~Copyable {
    /// A tree that must be another one.
    struct Damaged: Sendable {
        /// The tree without what is lost.
        let tree: SHA256Digest
        /// With paths below the tree.
        var losses: [SnapshotLoss]
    }

    /// A tree whose nodes are being looked at.
    private struct Frame {
        let id: SHA256Digest
        var nodes: [TreeNode]
        /// The node that comes next.
        var next = 0
        var losses: [SnapshotLoss] = []
    }

    private static let emptyTree = Array("{\"nodes\":[]}\n".utf8)

    private let repository: Repository
    private let index: BlobIndex
    /// Copies that cannot be read, by number, as far as that is known.
    private let damagedCopies: Set<Int>
    private var coder: RepositoryCoder
    private var writer = TreeWriter()
    private var sound: BlobMarks
    private var damaged: [SHA256Digest: Damaged] = [:]
    /// New trees.
    private(set) var trees: [SHA256Digest: [UInt8]] = [:]

    init(_ repository: Repository, _ index: BlobIndex, damagedCopies: Set<Int> = []) {
        self.repository = repository
        self.index = index
        self.damagedCopies = damagedCopies
        coder = repository.coder()
        sound = BlobMarks(size: index.count)
    }

    /// What is lost of the tree `root`, and what it is without that; nil if it is sound.
    mutating func scan(_ root: SHA256Digest, in run: RunContext) throws -> Damaged? {
        var frames: [Frame] = []
        var result = try begin(root, &frames)
        while !frames.isEmpty {
            try run.stop.check()
            let last = frames.count - 1
            if frames[last].next == frames[last].nodes.count {
                let frame = frames.removeLast()
                result = try finish(frame)
                if !frames.isEmpty { settle(result, in: &frames[frames.count - 1]) }
                continue
            }
            let number = frames[last].next
            guard let subtree = frames[last].nodes[number].subtree else {
                checkContent(in: &frames[last])
                continue
            }
            let depth = frames.count
            let known = try begin(subtree, &frames)
            if frames.count == depth { settle(known, in: &frames[last]) }
        }
        return result
    }

    /// Begins a frame for a tree that is not known yet; else, or if it cannot be read, returns what is known of it.
    private mutating func begin(_ id: SHA256Digest, _ frames: inout [Frame]) throws -> Damaged? {
        if let known = damaged[id] { return known }
        if let number = index.number(of: BlobKey(.tree, id)), sound.contains(number) { return nil }
        do {
            let bytes = try repository.blob(BlobKey(.tree, id), in: index, &coder)
            frames.append(Frame(id: id, nodes: try TreeReader.nodes(of: bytes)))
            return nil
        } catch let error as FormatError {
            let empty = SHA256.digest(of: Self.emptyTree)
            trees[empty] = Self.emptyTree
            let loss = SnapshotLoss(path: .root, kind: .directory(error.description))
            let lost = Damaged(tree: empty, losses: [loss])
            damaged[id] = lost
            return lost
        }
    }

    /// Gives the node at hand what was found out of its tree, and goes on to the next.
    private func settle(_ result: Damaged?, in frame: inout Frame) {
        if let result {
            let name = EntryPath.root.appending(frame.nodes[frame.next].name)
            frame.nodes[frame.next].subtree = result.tree
            frame.losses += result.losses.map { SnapshotLoss(path: name.appending($0.path), kind: $0.kind) }
        }
        frame.next += 1
    }

    /// Takes the lost chunks out of the node at hand, if it is a file, and goes on to the next.
    private func checkContent(in frame: inout Frame) {
        let node = frame.nodes[frame.next]
        defer { frame.next += 1 }
        guard node.kind == .file, let content = node.content else { return }
        var (kept, size): ([SHA256Digest], UInt64) = ([], 0)
        for id in content {
            let copies = index.numbers(of: BlobKey(.data, id))
            guard let copy = copies.first(where: { !damagedCopies.contains($0) }) else { continue }
            kept.append(id)
            size += UInt64(index.place(copy).contentLength)
        }
        let path = EntryPath.root.appending(node.name)
        if kept.count < content.count {
            let lost = SnapshotLoss.Kind.chunks(content.count - kept.count, of: content.count)
            frame.losses.append(SnapshotLoss(path: path, kind: lost))
        } else if size != node.size {
            frame.losses.append(SnapshotLoss(path: path, kind: .size(node.size, chunks: size)))
        } else {
            return
        }
        frame.nodes[frame.next].content = kept
        frame.nodes[frame.next].size = size
    }

    private mutating func finish(_ frame: Frame) throws -> Damaged? {
        guard !frame.losses.isEmpty else {
            if let number = index.number(of: BlobKey(.tree, frame.id)) { sound.insert(number) }
            return nil
        }
        writer.reset()
        for node in frame.nodes { try writer.add(node) }
        let bytes = writer.finish { Array($0) }
        let tree = SHA256.digest(of: bytes)
        trees[tree] = bytes
        let result = Damaged(tree: tree, losses: frame.losses)
        damaged[frame.id] = result
        return result
    }
}
