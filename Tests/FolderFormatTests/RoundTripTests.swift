import Containers
import Disk
import FolderFormat
import Model
import TestKit
import Testing

@Suite struct RoundTripTests {
    @Test func whatIsRestoredIsWhatWasSaved() throws {
        var random = SeededRandom.printed(for: "whatIsRestoredIsWhatWasSaved")
        for round in 0..<12 {
            let fixture = try BackupFixture(threads: 1 + round % 3)
            var generator = TreeGenerator(SeededRandom(seed: random.next()))
            try generator.fill(fixture.source, entries: 10 * round)
            if round == 6 { try generator.addDeepPath(to: fixture.source) }
            let before = try TreeSnapshot(of: fixture.source.directory)
            let created = try fixture.create("one")
            #expect(created.metadata.details?.skipped == [])
            #expect(try before.differences(from: TreeSnapshot(of: fixture.source.directory)) == [])
            #expect(try before.differences(from: fixture.stored("one")) == [])
            #expect(try before.differences(from: fixture.restored("one")) == [])
            #expect(try fixture.findings("one") == [])
        }
    }

    /// Three generations, each sharing with the one before, all remain what they were.
    @Test func laterBackupsLeaveEarlierOnesAsTheyWere() throws {
        var random = SeededRandom.printed(for: "laterBackupsLeaveEarlierOnesAsTheyWere")
        for _ in 0..<6 {
            let fixture = try BackupFixture()
            var generator = TreeGenerator(SeededRandom(seed: random.next()))
            try generator.fill(fixture.source, entries: 60)
            var snapshots: [TreeSnapshot] = []
            for number in 0..<3 {
                snapshots.append(try TreeSnapshot(of: fixture.source.directory))
                try fixture.create("b\(number)", after: number == 0 ? nil : "b\(number - 1)")
                for _ in 0..<8 { try generator.disturb(fixture.source) }
            }
            for number in 0..<3 {
                #expect(try snapshots[number].differences(from: fixture.restored("b\(number)")) == [])
                #expect(try fixture.findings("b\(number)") == [])
            }
        }
    }

    @Test func mtreePassesOnWhatWasWritten() throws {
        var random = SeededRandom.printed(for: "mtreePassesOnWhatWasWritten")
        let fixture = try BackupFixture()
        var generator = TreeGenerator(SeededRandom(seed: random.next()))
        try generator.fill(fixture.source, entries: 150)
        try fixture.create("one")
        let folder = fixture.backups.path + "/one"
        let result = try ToolRun.run("mtree", ["-p", folder, "-f", folder + "/MANIFEST.mtree"])
        #expect(result.status == 0)
        #expect(String(decoding: result.output + result.errors, as: UTF8.self) == "")
        // And it would have told.
        try fixture.backups.write(entry("one/extra"), [1])
        #expect(try ToolRun.run("mtree", ["-p", folder, "-f", folder + "/MANIFEST.mtree"]).status == 2)
    }

    @Test func aFileBeyondFourGigabytesKeepsItsHole() throws {
        let fixture = try BackupFixture()
        try fixture.source.writeSparse(entry("disk.img"), head: [1, 2, 3], hole: 5 << 30, tail: [4])
        try fixture.create("one")
        let stored = try #require(try fixture.backups.status(entry("one/disk.img")))
        #expect(stored.size == 5 << 30 + 4)
        #expect(stored.allocated < 1 << 20)
        #expect(try fixture.findings("one") == [])
    }

    @Test func whatBackupsDoNotHoldIsNamed() throws {
        let fixture = try BackupFixture()
        try fixture.source.makeFifo(entry("d/pipe"))
        try fixture.source.write("backup_metadata.json", "the app's own")
        try fixture.source.write("MANIFEST.mtree", "the app's own")
        try fixture.source.write("d/MANIFEST.mtree", "deeper is another matter")
        let skipped = try #require(try fixture.create("one").metadata.details?.skipped)
        #expect(
            skipped.map { "\($0.path): \($0.reason)" } == [
                "MANIFEST.mtree: backups have a file of their own under this name",
                "backup_metadata.json: backups have a file of their own under this name",
                "d/pipe: a fifo is not saved",
            ])
        #expect(try fixture.container.backups().backups.first?.isIncomplete == true)
        #expect(try fixture.findings("one") == [])
        #expect(try fixture.restore("one").read("d/MANIFEST.mtree") == "deeper is another matter")
    }

    @Test func nothingToSaveIsABackupToo() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        #expect(try fixture.findings("one") == [])
        #expect(try fixture.restored("one").entries.count == 1)
    }
}
