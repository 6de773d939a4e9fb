import Disk
import Model
import Storage
import TestKit
import Testing

@Suite struct LocalBackendTests {
    @Test func layoutAndModes() throws {
        let tree = try TemporaryTree()
        let backend = try LocalBackend(path: tree.path)
        try backend.prepare()
        let names = try tree.directory.items().map { String(decoding: $0.name, as: UTF8.self) }
        #expect(names.sorted() == ["data", "index", "keys", "locks", "snapshots"])
        #expect(try tree.directory.directory("data".utf8).items().count == 256)
        let pack = BackendContractTests.key(.pack, 0xab)
        try backend.create(pack, [1])
        #expect(pack.path.hasPrefix("data/ab/ab"))
        #expect(try tree.status(entry(pack.path))?.mode == 0o400)
        #expect(try tree.status(entry("data/ab"))?.mode == 0o700)
    }

    @Test func aGroupMayShareIt() throws {
        let tree = try TemporaryTree()
        try tree.write(entry("config"), [1], mode: 0o640)
        // What the mask of this process takes away stays away.
        let allowed = (try tree.status(entry("config"))?.mode ?? 0) & 0o040
        try tree.change(entry("config")) { $0.mode = 0o640 }
        let backend = try LocalBackend(path: tree.path)
        let lock = BackendContractTests.key(.lock, 1)
        try backend.create(lock, [1])
        #expect(try tree.status(entry(lock.path))?.mode == 0o400 | allowed)
    }

    @Test func strangersAreNoObjects() throws {
        let tree = try TemporaryTree()
        let backend = try LocalBackend(path: tree.path)
        try backend.prepare()
        let key = BackendContractTests.key(.snapshot, 0xab)
        try backend.create(key, [1])
        let hex = key.fileName
        for name in ["\(hex)-tmp-1", "x", String(hex.dropLast()), hex + "0", hex.uppercased(), ".DS_Store"] {
            try tree.write("snapshots/\(name)", "x")
        }
        let other = BackendContractTests.key(.snapshot, 2)
        try tree.makeDirectory(entry("snapshots/\(other.fileName)"))
        try tree.write("data/file", "x")
        #expect(try backend.list(.snapshot).map(\.key) == [key])
        #expect(BackendContractTests.code { _ = try backend.info(other) } == .notFound)
        #expect(try backend.list(.pack).isEmpty)
    }

    @Test func nothingUnfinishedStays() throws {
        let tree = try TemporaryTree()
        let backend = try LocalBackend(path: tree.path)
        let key = BackendContractTests.key(.index, 1)
        try backend.create(key, [1])
        #expect(BackendContractTests.code { try backend.create(key, [2]) } == .exists)
        #expect(try tree.directory.directory("index".utf8).items().count == 1)
    }

    @Test func errorsAreOneLine() throws {
        let tree = try TemporaryTree()
        let missing = tree.path + "/no\nwhere"
        do {
            _ = try LocalBackend(path: missing)
            Issue.record("opened what is not there")
        } catch {
            #expect(error.code == .notFound && !"\(error)".contains("\n") && "\(error)".contains("no such file"))
        }
        try tree.write("locks", "a file")
        let backend = try LocalBackend(path: tree.path)
        #expect(BackendContractTests.code { _ = try backend.list(.lock) } == .other)
        #expect(BackendContractTests.code { try backend.create(BackendContractTests.key(.lock, 1), []) } == .other)
        #expect(throws: StorageError.self) { try backend.list(.pack, from: PageStart("zz")) }
    }
}
