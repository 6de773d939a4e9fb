import Containers
import Disk
import FolderFormat
import Glibc
import Model
import TestKit
import Testing

@Suite struct ListingTests {
    private func backup(_ fixture: BackupFixture, _ name: String) throws -> Backup {
        try #require(try fixture.container.backups().backups.first { $0.name.text == name })
    }

    @Test func aFreshDirectoryHoldsNothing() throws {
        let fixture = try BackupFixture()
        let listing = try fixture.container.backups()
        #expect(listing.backups.isEmpty)
        #expect(listing.foreign.isEmpty)
    }

    @Test func aBackupIsListedAsItWasMade() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("d/a", "12345")
        try fixture.source.write("b", "678")
        let created = try fixture.create("one")
        let listed = try backup(fixture, "one")
        #expect(listed.entries == 3)
        #expect(listed.bytes == 8)
        #expect(listed.time == created.backup.time)
        #expect(listed.seal == created.backup.seal)
        #expect(listed.items == created.backup.items && listed.excludedItems == created.backup.excludedItems)
        #expect(listed.origin == .ours)
        #expect(listed.state == .unverified)
        #expect(!listed.isIncomplete)
    }

    @Test func whatBelongsToTheKitIsNeitherABackupNorForeign() throws {
        let fixture = try BackupFixture()
        for name in ["bin", "__pycache__", "other"] { try fixture.backups.write("\(name)/file", "") }
        let listing = try fixture.container.backups()
        #expect(listing.backups.isEmpty)
        #expect(listing.foreign.map(\.name) == ["other"])
        // Who names a backup so has it listed.
        try fixture.source.write("a", "1")
        _ = try fixture.backups.remove(entry("__pycache__"))
        try fixture.create("__pycache__")
        #expect(try backup(fixture, "__pycache__").entries == 1)
    }

    @Test func whatAVerificationFoundIsTold() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("a", "12345")
        let seal = try #require(try fixture.create("one").backup.seal)
        let name = try BackupName("one")
        func verify(percent: Double = 100) throws {
            let verified = try fixture.verify("one", percent: percent)
            fixture.directory.remember(verified, of: name.text, seal: seal, percent: percent)
        }
        try verify(percent: 50)
        #expect(try backup(fixture, "one").state == .unverified)
        try verify()
        guard case .verified = try backup(fixture, "one").state else {
            Issue.record("not listed as verified")
            return
        }
        try fixture.backups.overwrite(entry("one/a"), at: 0, with: [0])
        try verify()
        #expect(try backup(fixture, "one").state == .damaged("a: its content is not what was backed up"))
        // A sample that happens to read something else does not heal it.
        try verify(percent: 0.0001)
        #expect(try backup(fixture, "one").state == .damaged("a: its content is not what was backed up"))
        // Bound to the seal: another backup of the same name is another matter.
        _ = try fixture.container.remove(name)
        try fixture.create("one")
        #expect(try backup(fixture, "one").state == .unverified)
    }

    @Test func whatIsNotOursIsNamedAndLeftAlone() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.makeDirectory(entry("just a folder"))
        try fixture.backups.makeDirectory(entry("empty"))
        try fixture.backups.write("backup.sh", "a file is no backup")
        try fixture.backups.makeLink(entry("link"), to: Array("one".utf8))
        let listing = try fixture.container.backups()
        #expect(listing.backups.map(\.name.text) == ["one"])
        #expect(Set(listing.foreign.map(\.name)) == ["just a folder", "empty"])
        #expect(throws: BackupError.self) { try fixture.contents("empty") }
        #expect(throws: BackupError.self) { try fixture.contents("link") }
        #expect(throws: BackupError.self) { try fixture.contents("nosuch") }
        #expect(throws: BackupError.self) { try fixture.container.remove(BackupName("link")) }
    }

    @Test func aNameComesFromTheFolderAndNotFromTheMetadata() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.directory.replace("two".utf8, by: Array("one".utf8))
        #expect(try fixture.container.backups().backups.map(\.name.text) == ["two"])
        #expect(try fixture.findings("two") == [])
    }

    @Test(
        arguments: [
            "", "no JSON", "[]", "{}", #"{"backup_name": 1}"#, #"{"backup_name": "x", "created_at": "yesterday"}"#,
            #"{"time": "2026-01-01T00:00:00Z"}"#,
        ])
    func metadataThatCannotBeUsedIsDamage(text: String) throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.write(entry("one/backup_metadata.json"), Array(text.utf8))
        guard case .damaged(let reason) = try backup(fixture, "one").state else {
            Issue.record("listed as whole")
            return
        }
        #expect(reason.hasPrefix("backup_metadata.json: "))
        #expect(try !fixture.damage("one").isEmpty)
    }

    @Test func hugeAndDeepMetadataIsRefusedQuickly() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.create("two")
        try fixture.backups.remove(entry("one/backup_metadata.json"))
        try fixture.backups.writeSparse(entry("one/backup_metadata.json"), head: [0x7b], hole: 1 << 30, tail: [])
        let deep = Array(String(repeating: "[", count: 100_000).utf8)
        try fixture.backups.write(entry("two/backup_metadata.json"), deep)
        let time = try ContinuousClock().measure {
            for name in ["one", "two"] {
                guard case .damaged = try backup(fixture, name).state else {
                    Issue.record("\(name) listed as whole")
                    return
                }
            }
        }
        #expect(time < .seconds(10))
    }

    @Test(arguments: ["backup_metadata.json", "MANIFEST.mtree"])
    func aFifoInPlaceOfAFileOfOursBlocksNobody(file: String) throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.remove(fixture.path("one", entry(file)))
        try fixture.backups.makeFifo(fixture.path("one", entry(file)))
        guard case .damaged = try backup(fixture, "one").state else {
            Issue.record("listed as whole")
            return
        }
        #expect(try !fixture.damage("one").isEmpty)
    }

    @Test func whatIsKnownOfSizesFollowsTheBackups() throws {
        let fixture = try BackupFixture()
        try fixture.source.write("kept", String(repeating: "k", count: 100_000))
        try fixture.source.write("first", String(repeating: "f", count: 50_000))
        try fixture.create("one")
        func sizes() throws -> BackupSizes {
            try fixture.container.sizes(of: fixture.container.backups().backups)
        }
        #expect(try 150_000..<200_000 ~= #require(sizes().alone["one"]))
        try fixture.source.remove(entry("first"))
        try fixture.create("two", after: "one")
        for _ in 0..<2 {
            let now = try sizes()
            #expect(try 50_000..<80_000 ~= #require(now.alone["one"]))
            #expect(try #require(now.alone["two"]) < 50_000)
            #expect(150_000..<230_000 ~= now.together)
        }
        try fixture.container.remove(BackupName("one"))
        #expect(try 100_000..<150_000 ~= #require(sizes().alone["two"]))
        // A cache that someone broke is none.
        try fixture.backups.write(entry(".state/sizes"), [1, 2, 3])
        #expect(try 100_000..<150_000 ~= #require(sizes().alone["two"]))
    }

    @Test func aReadOnlyMediumIsReadAsAnyOther() throws {
        guard let system = try LoopFileSystem("ext4", megabytes: 16) else { return print("no ext4: not tested") }
        try withExtendedLifetime(system) {
            let fixture = try BackupFixture(backupsIn: system.path)
            try fixture.source.write("a", "12345")
            let seal = try #require(try fixture.create("one").backup.seal)
            #expect(try ToolRun.run("mount", ["-o", "remount,ro", system.path]).status == 0)
            defer { _ = try? ToolRun.run("mount", ["-o", "remount,rw", system.path]) }
            #expect(try fixture.container.backups().backups.count == 1)
            #expect(try fixture.container.sizes(of: fixture.container.backups().backups).alone["one"] != nil)
            let verified = try fixture.verify("one")
            #expect(verified.findings == [])
            fixture.directory.remember(verified, of: "one", seal: seal, percent: 100)
            let before = try TreeSnapshot(of: fixture.source.directory)
            #expect(try before.differences(from: fixture.restored("one")) == [])
            #expect(throws: (any Error).self) { try fixture.create("two") }
        }
    }
}
