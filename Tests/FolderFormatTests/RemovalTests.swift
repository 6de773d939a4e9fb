import Disk
import FolderFormat
import Model
import TestKit
import Testing

@Suite struct RemovalTests {
    private func names(_ fixture: BackupFixture) throws -> [String] {
        try fixture.backups.directory.items().map { String(decoding: $0.name, as: UTF8.self) }.sorted()
    }

    @Test func whatIsRemovedIsGoneAndTheOthersStay() throws {
        let fixture = try BackupFixture()
        var generator = TreeGenerator(SeededRandom(seed: 5))
        try generator.fill(fixture.source, entries: 60)
        try generator.addDeepPath(to: fixture.source)
        let before = try TreeSnapshot(of: fixture.source.directory)
        try fixture.create("one")
        try fixture.create("two", after: "one")
        try fixture.container.remove(BackupName("one"))
        #expect(try names(fixture) == [".chastipi-backups", ".state", "RESTORE-BY-HAND.txt", "two"])
        let state = try fixture.backups.directory.directory(".state".utf8).items()
        #expect(state.map { String(decoding: $0.name, as: UTF8.self) }.sorted() == ["lock", "two.seen"])
        #expect(try before.differences(from: fixture.restored("two")) == [])
        let error = #expect(throws: BackupError.self) { try fixture.container.remove(BackupName("one")) }
        #expect(error?.code == .notFound)
    }

    @Test func whatADeadRunLeftGoesWhenTheLockIsTaken() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.write(".partial-two.abcd/d/file", "half a backup")
        try fixture.backups.write(".partial-x", "a file even")
        #expect(try fixture.container.backups().backups.map(\.name.text) == ["one"])
        let lock = try fixture.lock()
        _ = consume lock
        #expect(try names(fixture) == [".chastipi-backups", ".state", "RESTORE-BY-HAND.txt", "one"])
    }

    @Test func aLeftoverThatIsALinkIsRemovedAndNotFollowed() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("precious", "x")
        try fixture.backups.makeLink(entry(".partial-one.ab"), to: Array(fixture.source.path.utf8))
        let lock = try fixture.lock()
        _ = consume lock
        #expect(try fixture.source.read("precious") == "x")
        #expect(try fixture.backups.status(entry(".partial-one.ab")) == nil)
    }

    @Test func theSecondRunIsToldWhoHoldsTheLock() throws {
        let fixture = try BackupFixture()
        let lock = try fixture.directory.lock(holder: "pid 7, create, since 12:00")
        let error = #expect(throws: DiskError.self) {
            let second = try fixture.directory.lock(holder: "another")
            _ = consume second
        }
        #expect(error?.code == .locked)
        #expect(error?.reason == "held by pid 7, create, since 12:00")
        _ = consume lock
        let third = try fixture.lock()
        _ = consume third
    }

    @Test func aTakenNameIsAnErrorAndNothingElse() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("a", "1")
        try fixture.create("one")
        try fixture.backups.write("file", "x")
        try fixture.backups.write("packed.zip", "x")
        try fixture.backups.makeLink(entry("link"), to: Array("nowhere".utf8))
        let before = try TreeSnapshot(of: fixture.backups.directory, ignoring: [entry(".state/lock")])
        for name in ["one", "file", "packed", "link"] {
            let error = #expect(throws: BackupError.self) { try fixture.create(name) }
            #expect(error?.code == .nameTaken)
        }
        let after = try TreeSnapshot(of: fixture.backups.directory, ignoring: [entry(".state/lock")])
        #expect(before.differences(from: after).filter { !$0.hasPrefix(".state") } == [])
    }

    @Test func whatIsOnlyKnownBesideABackupNeverFailsIt() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("a", "1")
        try fixture.backups.makeDirectory(entry(".state/one.seen/full"))
        try fixture.create("one")
        #expect(try fixture.findings("one") == [])
        #expect(fixture.testRun.warnings.count == 1)
        #expect(try fixture.create("two", after: "one").metadata.details?.sharedFiles == 0)
    }
}
