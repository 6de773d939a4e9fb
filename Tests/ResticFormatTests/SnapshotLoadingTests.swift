import Codec
import Model
import TestKit
import Testing

@testable import ResticFormat

/// Trees that are read ahead and in rounds make the table that they make when each is read where it is needed.
@Suite struct SnapshotLoadingTests {
    /// Directories of all shapes, some of them the same as others.
    private struct Forest {
        var trees: [SHA256Digest: [UInt8]] = [:]
        /// Roots of what was made so far, and how many entries each has.
        var made: [(tree: SHA256Digest, entries: Int)] = []
        var random: SeededRandom

        mutating func add() throws {
            var nodes: [TreeNode] = []
            var entries = 0
            for number in 0..<Int.random(in: 0...(random.once(in: 10) ? 60 : 6), using: &random) {
                let isDirectory = !made.isEmpty && random.once(in: 2)
                guard var node = TreeNode(name: Array("n\(100 + number)".utf8), kind: isDirectory ? .directory : .file)
                else { continue }
                (node.user, node.group) = (UInt32(number % 2), 7)
                node.userName = number % 3 == 0 ? [] : Array("user\(number % 2)".utf8)
                node.content =
                    isDirectory ? nil : (0..<random.pick([1, 2])).map { _ in SHA256.digest(of: random.bytes(4)) }
                node.size = 1
                if isDirectory {
                    let below = made[Int.random(in: max(0, made.count - 8)..<made.count, using: &random)]
                    guard entries + below.entries < 4000 else { continue }
                    node.subtree = below.tree
                    entries += below.entries
                }
                nodes.append(node)
                entries += 1
            }
            let bytes = try encoded(nodes)
            let id = SHA256.digest(of: bytes)
            trees[id] = bytes
            made.append((id, entries))
        }

        func paths(of tree: SHA256Digest, below path: EntryPath = .root) throws -> [(EntryPath, TreeNode)] {
            try TreeReader.nodes(of: trees[tree] ?? []).flatMap { node in
                let own = path.appending(node.name)
                return [(own, node)] + (try node.subtree.map { try paths(of: $0, below: own) } ?? [])
            }
        }
    }

    @Test func allShapes() throws {
        var forest = Forest(random: SeededRandom.printed(for: "SnapshotLoadingTests.allShapes"))
        for _ in 0..<120 { try forest.add() }
        for (root, entries) in forest.made.suffix(40) {
            var loading = SnapshotTree.Loading(EntryRecord(kind: .directory), [], root)
            func listing(_ tree: SHA256Digest) throws -> SnapshotTree.Listing {
                try (forest.trees[tree] ?? []).withRawBytes { bytes throws(FormatError) in
                    try SnapshotTree.Listing(bytes)
                }
            }
            var last: [SHA256Digest] = []
            while true {
                let next = loading.next()
                if next.isEmpty && last.isEmpty { break }
                try loading.absorb(try last.map(listing), of: last)
                last = next
            }
            let (tree, expected) = (loading.finish(), try forest.paths(of: root))
            #expect(tree.table.count == entries + 1 && expected.count == entries)
            for (index, (path, node)) in expected.enumerated() {
                #expect(tree.table.path(of: index + 1) == path)
                #expect(tree.trees[index + 1] == node.subtree)
                let content = node.content ?? []
                #expect(content.count < 2 || tree.chunks[index + 1] == content)
                #expect(content.count != 1 || tree.table[index + 1].digest == content[0])
            }
            for (_, node) in expected where !node.userName.isEmpty {
                #expect(tree.table.userNames[node.user] == String(decoding: node.userName, as: UTF8.self))
            }
        }
    }

    /// Each of these trees holds the one below it twice: nobody lives to see them all, and whoever asks to stop need not wait.
    @Test func treesOfTreesEndWhenAsked() throws {
        var (listings, trees) = ([SnapshotTree.Listing](), [SHA256Digest]())
        var below: SHA256Digest?
        for _ in 0..<60 {
            var nodes: [TreeNode] = []
            for name in ["a", "b"] {
                var node = try #require(TreeNode(name: Array(name.utf8), kind: below == nil ? .fifo : .directory))
                node.subtree = below
                nodes.append(node)
            }
            let bytes = try encoded(nodes)
            below = SHA256.digest(of: bytes)
            trees.append(SHA256.digest(of: bytes))
            listings.append(
                try bytes.withRawBytes { bytes throws(FormatError) in try SnapshotTree.Listing(bytes) })
        }
        var loading = SnapshotTree.Loading(EntryRecord(kind: .directory), [], try #require(below))
        _ = loading.next()
        let stop = StopFlag()
        var calls = 0
        #expect(throws: Stopped.self) {
            try loading.absorb(listings, of: trees) {
                calls += 1
                if calls > 1000 { stop.stop(signal: 2) }
                try stop.check()
            }
        }
        #expect(calls == 1001)
    }
}
