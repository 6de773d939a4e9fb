import Containers
import Disk
import FolderFormat
import Model
import TestKit
import Testing

@Suite struct SharingTests {
    private func fixture(in base: String = "/dev/shm", ahead: Int64 = 10) throws -> BackupFixture {
        let fixture = try BackupFixture(in: base, ahead: ahead)
        try fixture.source.write("d/a", "content of a")
        try fixture.source.write("d/b", "content of b")
        try fixture.source.change(entry("d/b")) {
            $0.extended = [ExtendedAttribute(name: Array("user.x".utf8), value: [1, 2])]
        }
        try fixture.source.makeLink(entry("link"), to: Array("d/a".utf8))
        return fixture
    }

    private func inode(_ fixture: BackupFixture, _ path: String) throws -> UInt64 {
        try #require(try fixture.backups.status(entry(path))).inode
    }

    @Test func unchangedFilesAreOneFileInAllBackups() throws {
        let fixture = try fixture()
        let before = try TreeSnapshot(of: fixture.source.directory)
        try fixture.create("one")
        let details = try #require(try fixture.create("two", after: "one").metadata.details)
        #expect(details.sharedFiles == 2)
        #expect(details.bytesWritten == 0)
        #expect(details.sharing == .hardLink)
        #expect(details.parent == "one")
        #expect(try inode(fixture, "one/d/a") == inode(fixture, "two/d/a"))
        #expect(try fixture.findings("two") == [])
        #expect(try before.differences(from: fixture.restored("two")) == [])
        // Nothing ever links to the live app.
        #expect(try fixture.source.status(entry("d/a"))?.links == 1)
        #expect(try before.differences(from: TreeSnapshot(of: fixture.source.directory)) == [])
    }

    @Test func aFullBackupSharesNothing() throws {
        let fixture = try fixture()
        try fixture.create("one")
        let details = try fixture.create("two", after: "one", isFull: true).metadata.details
        #expect(details?.sharedFiles == 0)
        #expect(details?.sharing == BackupMetadata.Sharing.none)
        #expect(try inode(fixture, "one/d/a") != inode(fixture, "two/d/a"))
    }

    @Test(arguments: ["content", "mode", "time", "attribute", "replaced"])
    func aChangedFileIsReadAndTheOldOneStays(what: String) throws {
        let fixture = try fixture()
        try fixture.create("one")
        let before = try fixture.stored("one")
        let time = try #require(try fixture.source.status(entry("d/a"))).modified
        switch what {
        case "content":
            // Of the same size and with the old time: only the change time tells.
            try fixture.source.overwrite(entry("d/a"), at: 0, with: Array("CONTENT".utf8))
            try fixture.source.change(entry("d/a")) { $0.modified = time }
        case "mode": try fixture.source.change(entry("d/a")) { $0.mode = 0o600 }
        case "time": try fixture.source.change(entry("d/a")) { $0.modified = Timestamp(seconds: 1, nanoseconds: 2) }
        case "attribute":
            try fixture.source.change(entry("d/a")) {
                $0.extended = [ExtendedAttribute(name: Array("user.y".utf8), value: [3])]
            }
        default:
            // Another file with the same size and time.
            try fixture.source.write("d/new", "CONTENT OF A")
            try fixture.source.change(entry("d/new")) { $0.modified = time }
            try fixture.source.remove(entry("d/a"))
            try fixture.source.directory.directory("d".utf8).replace("a".utf8, by: Array("new".utf8))
        }
        let details = try #require(try fixture.create("two", after: "one").metadata.details)
        #expect(details.sharedFiles == 1)
        #expect(details.bytesWritten == 12)
        let now = try TreeSnapshot(of: fixture.source.directory)
        #expect(try now.differences(from: fixture.restored("two")) == [])
        #expect(try before.differences(from: fixture.stored("one")) == [])
    }

    /// What changed within two seconds of its reading, or in the future, may change again unseen.
    @Test(arguments: [0, 1, -3_600, -1_700_000_000])
    func racyFilesAreReadAgain(ahead: Int64) throws {
        let fixture = try fixture(ahead: ahead)
        try fixture.create("one")
        #expect(try fixture.create("two", after: "one").metadata.details?.sharedFiles == 0)
        #expect(try fixture.findings("two") == [])
    }

    @Test func aTimeInTheFutureIsRacy() throws {
        let fixture = try fixture()
        try fixture.source.change(entry("d/a")) { $0.modified = Timestamp(seconds: 4_000_000_000) }
        try fixture.create("one")
        #expect(try fixture.create("two", after: "one").metadata.details?.sharedFiles == 1)
    }

    @Test(arguments: ["lost", "cut", "garbage", "of another"])
    func withoutWhatWasSeenEverythingIsRead(what: String) throws {
        let fixture = try fixture()
        try fixture.create("one")
        let seen = entry(".state/one.seen")
        let bytes = try fixture.backups.read(seen)
        switch what {
        case "lost": try fixture.backups.remove(seen)
        case "cut": try fixture.backups.write(seen, Array(bytes.dropLast()))
        case "garbage": try fixture.backups.write(seen, Array(repeating: 7, count: bytes.count))
        default:
            try fixture.source.write("d/c", "c")
            try fixture.create("other")
            try fixture.backups.write(seen, try fixture.backups.read(entry(".state/other.seen")))
        }
        #expect(try fixture.create("two", after: "one").metadata.details?.sharedFiles == 0)
        #expect(try fixture.findings("two") == [])
    }

    @Test(arguments: ["size", "time", "gone", "link", "folder gone"])
    func whatIsNotAsItWasInTheParentIsNotShared(what: String) throws {
        let fixture = try fixture()
        try fixture.create("one")
        let stored = entry("one/d/a")
        switch what {
        case "size": try fixture.backups.overwrite(stored, at: 12, with: [0])
        case "time": try fixture.backups.change(stored) { $0.modified = Timestamp(seconds: 5) }
        case "gone": try fixture.backups.remove(stored)
        case "link":
            try fixture.backups.remove(stored)
            try fixture.backups.makeLink(stored, to: Array("/etc/passwd".utf8))
        default: try fixture.backups.remove(entry("one/d"))
        }
        let details = try fixture.create("two", after: "one").metadata.details
        #expect(details?.sharedFiles == (what == "folder gone" ? 0 : 1))
        #expect(try fixture.findings("two") == [])
        #expect(try fixture.backups.read("two/d/a") == "content of a")
    }

    @Test func hardLinksOfTheSourceStayInGroups() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("a", "shared")
        try fixture.source.makeHardLink(entry("d/b"), to: entry("a"))
        try fixture.source.makeHardLink(entry("e"), to: entry("a"))
        try fixture.source.write("other", "shared")
        for (name, parent) in [("one", nil), ("two", "one"), ("three", "two")] as [(String, String?)] {
            try fixture.create(name, after: parent)
            let inodes = try ["a", "d/b", "e", "other"].map { try inode(fixture, "\(name)/\($0)") }
            #expect(Set(inodes).count == 2)
            #expect(inodes[0] == inodes[1] && inodes[0] == inodes[2])
            #expect(try fixture.findings(name) == [])
        }
        // The group falls apart: no later backup may tie it again.
        try fixture.source.remove(entry("e"))
        try fixture.source.write("e", "shared")
        try fixture.create("four", after: "three")
        #expect(try inode(fixture, "four/e") != inode(fixture, "four/a"))
        let now = try TreeSnapshot(of: fixture.source.directory)
        #expect(try now.differences(from: fixture.restored("four")) == [])
    }
}

/// On file systems of their own.
@Suite(.serialized) struct SharingOnFileSystemsTests {
    private func check(_ kind: String, _ sharing: BackupMetadata.Sharing, sameInode: Bool) throws {
        guard let system = try LoopFileSystem(kind, megabytes: 320) else {
            return print("no \(kind) here: not tested")
        }
        try withExtendedLifetime(system) {
            let fixture = try BackupFixture(in: system.path)
            var generator = TreeGenerator(SeededRandom(seed: 3))
            try generator.fill(fixture.source, entries: 60)
            try fixture.source.write("big", String(repeating: "x", count: 100_000))
            let before = try TreeSnapshot(of: fixture.source.directory)
            try fixture.create("one")
            let details = try #require(try fixture.create("two", after: "one").metadata.details)
            #expect(details.sharing == sharing)
            // Some are from the future, hence racy.
            #expect(details.bytesWritten < 50_000)
            #expect(details.sharedFiles > 10)
            let inodes = try ["one/big", "two/big"].map { try #require(try fixture.backups.status(entry($0))).inode }
            #expect((inodes[0] == inodes[1]) == sameInode)
            #expect(try before.differences(from: fixture.stored("two")) == [])
            for name in ["one", "two"] { #expect(try fixture.findings(name) == []) }
            let sizes = try fixture.container.sizes(of: fixture.container.backups().backups)
            #expect(try #require(sizes.alone["two"]) < 100_000)
        }
    }

    @Test func ext4SharesByHardLinks() throws { try check("ext4", .hardLink, sameInode: true) }
    @Test func btrfsSharesByReflinks() throws { try check("btrfs", .reflink, sameInode: false) }
    @Test func xfsSharesByReflinks() throws { try check("xfs", .reflink, sameInode: false) }

    /// ext4 gives a file at most 65,000 names.
    @Test func aFileWithoutRoomForAnotherNameIsCopied() throws {
        guard let system = try LoopFileSystem("ext4", megabytes: 64) else { return print("no ext4: not tested") }
        try withExtendedLifetime(system) {
            let fixture = try BackupFixture(in: system.path)
            try fixture.source.write("a", "content")
            try fixture.source.write("b", "content")
            try fixture.create("one")
            let farm = try fixture.backups.parent(of: entry("farm/x"))
            let folder = try fixture.backups.directory.directory("one".utf8)
            for number in 1..<65_000 { try folder.link("a".utf8, to: farm, as: "\(number)".utf8) }
            let details = try #require(try fixture.create("two", after: "one").metadata.details)
            #expect(details.sharedFiles == 1)
            #expect(details.bytesWritten == 7)
            #expect(try fixture.backups.status(entry("two/a"))?.links == 1)
            #expect(try fixture.backups.status(entry("two/b"))?.links == 2)
            #expect(try fixture.findings("two") == [])
        }
    }
}
