import Codec
import Disk
import Model
import ResticFormat
import TestKit
import Testing
import Workers

/// A directory that restic has backed up adds nothing when it is backed up by us, and the other way round.
@Suite struct SameTreesTests {
    @Test(arguments: [("UTC", 0), ("Etc/GMT+9", -32_400)])
    func nothingIsAdded(zone: String, offset: Int) throws {
        var random = SeededRandom.printed(for: "nothingIsAdded")
        let source = try Self.source(&random)
        let place = try ResticRepository(version: 2)
        let pool = ThreadPool(threads: 2)
        try place.restic(["backup", "."], in: source.path, zone: zone)
        let repository = try place.open()
        let snapshot = try #require(try repository.snapshots(on: pool).snapshots.first).snapshot

        let index = try repository.index(on: pool).index
        let writer = RepositoryWriter(repository, index: index, on: pool)
        let saver = Saver(source.directory, writer, Chunker(repository.configuration.polynomial), offset)
        #expect(try saver.save() == snapshot.tree)
        #expect(writer.added.dataBlobs == 0 && writer.added.treeBlobs == 0 && writer.added.stored == 0)

        try source.write("deep/er/new", "new")
        let second = RepositoryWriter(repository, index: index, on: pool)
        let tree = try Saver(source.directory, second, saver.chunker, offset).save()
        #expect(second.added.dataBlobs == 1 && second.added.treeBlobs == 3)
        try second.finish()
        _ = try second.save(Snapshot(time: snapshot.time, tree: tree, paths: ["/elsewhere"]))
        let run = try place.restic(["backup", ".", "--json"], in: source.path, zone: zone)
        let text = String(decoding: run.output, as: UTF8.self)
        #expect(text.contains("\"data_blobs\":0,\"tree_blobs\":0,\"data_added\":0"), "\(text.suffix(400))")
        try place.restic(["check", "--read-data"])
    }

    /// File systems list attributes in orders of their own, ext4 the shorter names first.
    @Test func attributesStandInTheOrderOfTheFileSystem() throws {
        let system = try #require(try LoopFileSystem("ext4", megabytes: 16))
        let source = try TemporaryTree(in: system.path)
        try source.write("file", "text")
        try source.makeDirectory(entry("directory"))
        for path in ["file", "directory"] {
            try source.change(entry(path)) {
                $0.extended = ["user.zz", "user.aaaa", "user.mmm"].map {
                    ExtendedAttribute(name: Array($0.utf8), value: [1])
                }
            }
        }
        let listed = try FileAttributes.extended(of: Array("file".utf8), in: source.directory).byRank()
        let names = listed.map { String(decoding: $0.name, as: UTF8.self) }
        #expect(names != names.sorted(), "the file system lists them by name, and nothing is tried")
        let place = try ResticRepository(version: 2)
        let pool = ThreadPool(threads: 2)
        try place.restic(["backup", "."], in: source.path, zone: "UTC")
        let repository = try place.open()
        let snapshot = try #require(try repository.snapshots(on: pool).snapshots.first).snapshot
        let writer = RepositoryWriter(repository, index: try repository.index(on: pool).index, on: pool)
        let saver = Saver(source.directory, writer, Chunker(repository.configuration.polynomial), 0)
        #expect(try saver.save() == snapshot.tree)
        #expect(writer.added.treeBlobs == 0)
    }

    private static func source(_ random: inout SeededRandom) throws -> TemporaryTree {
        let tree = try TemporaryTree()
        let texts = [
            "quote\"", "back\\slash", "<&>", "ä日本😀", "\u{a0}\u{200b}", "\u{1}\u{7}\u{8}\u{c}\u{7f}\n", "a", "a-b",
            "a.b",
        ]
        for name in texts.map({ Array($0.utf8) }) + [[0xff, 0xfe], [0xe2, 0x82]] {
            try tree.write(EntryPath.root.appending(name), random.bytes(50))
            try tree.makeDirectory(EntryPath.root.appending(Array("directory ".utf8) + name))
        }
        try tree.write("a b/c", "")
        try tree.write("deep/er/file", "text")
        try tree.write(entry("large"), random.bytes(2 << 20))
        try tree.makeHardLink(entry("large again"), to: entry("large"))
        try tree.writeSparse(entry("sparse"), head: [1], hole: 2 << 20, tail: [])
        try tree.makeLink(entry("link"), to: Array("some <where> ä\n".utf8))
        try tree.makeFifo(entry("fifo"))
        // Only root may, and not in every container.
        if ProcessIdentity.mayMakeDevices {
            let number = DeviceNumber(major: 7, minor: 300)
            try tree.directory.makeDevice("block".utf8, isBlock: true, number)
            try tree.directory.makeDevice("character".utf8, isBlock: false, number)
        }
        for (number, mode) in ([0, 0o4755, 0o2711, 0o1600] as [UInt16]).enumerated() {
            try tree.write("mode \(number)", "x")
            try tree.change(entry("mode \(number)")) {
                $0.mode = mode
                $0.modified = Timestamp(seconds: Int64(number) * 1_000_000_000 - 1, nanoseconds: 120_000_000)
                if $0.user == 0 { ($0.user, $0.group) = (UInt32(number), 4_000_000_000) }
                $0.extended = [ExtendedAttribute(name: Array("user.<x>".utf8), value: random.bytes(10))]
            }
        }
        return tree
    }
}

/// Saves a directory as a backup would, one file after the other.
private struct Saver {
    let chunker: Chunker
    private let directory: Directory
    private let writer: RepositoryWriter
    private let offset: Int

    init(_ directory: Directory, _ writer: RepositoryWriter, _ chunker: Chunker, _ offset: Int) {
        self.directory = directory
        self.writer = writer
        self.chunker = chunker
        self.offset = offset
    }

    func save() throws -> SHA256Digest {
        var walk = try TreeWalk(of: directory, containers: []) { _, _, _ in .take }
        while !walk.pending.isEmpty { walk.absorb(walk.pending.map { walk.list($0) }) }
        var table = try walk.table()
        for index in 1..<table.count {
            let (user, group) = (table[index].user, table[index].group)
            table.userNames[user] = OwnerNames.user(user)
            table.groupNames[group] = OwnerNames.group(group)
            if table[index].kind == .link { continue }
            let path = table.path(of: index)
            let parent = try directory.directory(at: path.parent ?? .root)
            table.setExtended(try FileAttributes.extended(of: path.name, in: parent), of: index)
        }
        return try saveTree(0, table)
    }

    private func saveTree(_ parent: Int, _ table: EntryTable) throws -> SHA256Digest {
        var nodes: [TreeNode] = []
        for index in table.children(of: parent) {
            guard var node = TreeNode(table, index, offset: { _ in offset }) else { continue }
            if node.kind == .directory { node.subtree = try saveTree(index, table) }
            if node.kind == .file { node.content = try saveContent(table.path(of: index)) }
            nodes.append(node)
        }
        return try encoded(nodes).withUnsafeBytes { try writer.save(.tree, $0, worker: 0).id }
    }

    private func saveContent(_ path: EntryPath) throws -> [SHA256Digest] {
        let content = try directory.directory(at: path.parent ?? .root).readFile(path.name, limit: 1 << 30)
        return try content.withUnsafeBytes { content in
            var (ids, start): ([SHA256Digest], Int) = ([], 0)
            while start < content.count {
                let rest = UnsafeRawBufferPointer(rebasing: content[start...])
                let length = chunker.firstChunk(of: rest)
                let chunk = UnsafeRawBufferPointer(rebasing: rest[..<length])
                ids.append(try writer.save(.data, chunk, worker: 0).id)
                start += length
            }
            return ids
        }
    }
}
