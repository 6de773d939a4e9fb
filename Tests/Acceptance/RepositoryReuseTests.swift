import Disk
import Foundation
import Model
import Synchronization
import TestKit
import Testing

/// A restore in place reads only those parts of a file from the repository that differ from what stands there.
@Suite struct RepositoryReuseTests {
    /// More than the largest chunk: one that is cut where nobody knows never holds both ends.
    private static let size = 12 << 20

    /// Backups `one` and `two`, between which one byte of a large file has changed. The app has `one` again, and the packs that hold
    /// its parts are away: only what is new in `two` can be read.
    private struct Prepared {
        let kept: RepositoryApp
        let one: [UInt8]
        let two: [UInt8]

        init() throws {
            kept = try RepositoryApp(isCheap: true)
            var random = SeededRandom.printed(for: "RepositoryReuseTests")
            one = random.bytes(RepositoryReuseTests.size)
            var changed = one
            changed[RepositoryReuseTests.size / 2] ^= 1
            two = changed
            try kept.app.tree.write(entry("data/large"), one)
            try kept.done("create", "--name", "one")
            let packs = try packs()
            try kept.app.tree.write(entry("data/large"), two)
            try kept.done("create", "--name", "two")
            try kept.app.tree.write(entry("data/large"), one)
            // Those of trees are small.
            for pack in packs where try size(of: pack) > 100_000 { try move(pack, to: pack + ".away") }
        }

        func packs() throws -> [String] {
            let data = kept.path + "/data"
            return try FileManager.default.subpathsOfDirectory(atPath: data).map { data + "/" + $0 }
                .filter { ($0 as NSString).lastPathComponent.count == 64 }
        }

        private func size(of path: String) throws -> Int {
            try #require(try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int)
        }

        private func move(_ path: String, to other: String) throws {
            try FileManager.default.moveItem(atPath: path, toPath: other)
        }

        func large() throws -> [UInt8] { try kept.app.tree.read(entry("data/large")) }
    }

    @Test func onlyTheChangedPartIsRead() throws {
        let prepared = try Prepared()
        try prepared.kept.done("restore", "two", "--skip-safety-backup")
        #expect(try prepared.large() == prepared.two)
        try prepared.kept.app.done("undo")
        #expect(try prepared.large() == prepared.one)
    }

    @Test func attributesAloneNeedNoPart() throws {
        let prepared = try Prepared()
        try prepared.kept.app.shell("chmod 0600 data/large")
        try prepared.kept.done("restore", "one", "--skip-safety-backup")
        #expect(try prepared.large() == prepared.one)
        #expect(try prepared.kept.app.tree.status(entry("data/large"))?.mode == 0o644)
    }

    /// What is right already is told from the hashes of its parts, too.
    @Test func whatIsRightIsNotRead() throws {
        let prepared = try Prepared()
        let before = try #require(try prepared.kept.app.tree.status(entry("data/large")))
        let diff = try prepared.kept.run("diff", "one")
        #expect(diff.output.contains("data/large") && !diff.output.contains("content"), "\(diff)")
        try prepared.kept.app.tree.write("config.json", "changed")
        // Its own pack is away.
        let answer = try prepared.kept.run("restore", "one", "--only", "data", "--skip-safety-backup", "--dry-run")
        #expect(answer.status == 0, "\(answer)")
        let after = try #require(try prepared.kept.app.tree.status(entry("data/large")))
        #expect(before.inode == after.inode)
    }

    /// What two backups share needs no reading either.
    @Test func backupsAreComparedByTheirParts() throws {
        let prepared = try Prepared()
        try prepared.kept.app.tree.write("data/deep/one", "changed")
        try prepared.kept.done("create", "--name", "three")
        let diff = try prepared.kept.run("diff", "one", "three")
        #expect(diff.status == 0 || diff.status == 1, "\(diff)")
        #expect(diff.output.contains("data/deep/one") && !diff.output.contains("large: content"), "\(diff)")
    }

    @Test func aPartThatIsNowhereIsDamage() throws {
        let prepared = try Prepared()
        for place in [100, Self.size - 100] {
            try prepared.kept.app.tree.overwrite(entry("data/large"), at: place, with: [1, 2, 3])
        }
        let before = try prepared.kept.app.snapshot()
        let answer = try prepared.kept.run("restore", "two", "--skip-safety-backup")
        #expect(answer.status == 20 && answer.errors.contains("data/large"), "\(answer)")
        try prepared.kept.app.expect(before)
    }

    /// Shorter, longer, empty, or no file at all: what does not fit is read from the repository.
    @Test(arguments: [
        "truncate -s 5000000 data/large", "cat app.py >> data/large", ": > data/large",
        "rm data/large", "rm data/large && mkdir data/large", "rm data/large && ln -s deep/one data/large",
        "rm data/large && mkfifo data/large", "mv data/large data/other && ln -s other data/large",
    ])
    func whateverStandsThere(change: String) throws {
        let kept = try RepositoryApp(isCheap: true)
        var random = SeededRandom.printed(for: "whateverStandsThere")
        let content = random.bytes(3 << 20)
        try kept.app.tree.write(entry("data/large"), content)
        try kept.done("create", "--name", "one")
        try kept.app.shell(change)
        let answer = try kept.run("restore", "one", "--skip-safety-backup")
        #expect(answer.status == 0, "\(answer)")
        #expect(try kept.app.tree.read(entry("data/large")) == content)
    }

    /// What another program writes into the old file meanwhile never gets into the restored one.
    @Test func aFileThatIsBeingWrittenIsRestoredRight() throws {
        let kept = try RepositoryApp(isCheap: true)
        var random = SeededRandom.printed(for: "aFileThatIsBeingWrittenIsRestoredRight")
        let content = random.bytes(4 << 20)
        try kept.app.tree.write(entry("data/large"), content)
        try kept.done("create", "--name", "one")
        let isOver = Mutex(false)
        let path = kept.app.path + "/data/large"
        for round in 0..<2 {
            isOver.withLock { $0 = false }
            let file = try #require(FileHandle(forUpdatingAtPath: path))
            let writer = Thread {
                var place = UInt64(round)
                while !isOver.withLock({ $0 }) {
                    place = (place &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407)
                    file.seek(toFileOffset: place % UInt64(4_194_296))
                    file.write(Data([UInt8(truncatingIfNeeded: place >> 32), 2, 3]))
                    Thread.sleep(forTimeInterval: 0.0001)
                }
            }
            writer.start()
            let answer = try kept.run("restore", "one", "--live", "--skip-safety-backup")
            isOver.withLock { $0 = true }
            // The file that was displaced before has changed since: it is kept aside.
            #expect(answer.status == 0 || answer.status == 3 && "\(answer)".contains("kept aside"), "\(answer)")
            #expect(try kept.app.tree.read(entry("data/large")) == content)
        }
    }
}
