import Containers
import Disk
import FolderFormat
import Foundation
import Model
import Synchronization
import TestKit
import Testing

/// A source that changes under the backup, and a target without room.
@Suite struct TroubleTests {
    /// Plans, lets `change` happen, then writes.
    private func backup(
        _ fixture: BackupFixture, _ change: () throws -> Void
    ) throws -> BackupMetadata.Details {
        let plan = try fixture.plan()
        try change()
        let lock = try fixture.lock()
        let created = try fixture.write(plan, as: "one")
        _ = consume lock
        #expect(try fixture.findings("one") == [])
        return try #require(created.metadata.details)
    }

    private func fixture() throws -> BackupFixture {
        let fixture = try BackupFixture()
        try fixture.source.write("a", "first")
        try fixture.source.write("d/b", "second")
        return fixture
    }

    @Test func whatVanishesIsNamed() throws {
        let fixture = try fixture()
        let details = try backup(fixture) { try fixture.source.remove(entry("a")) }
        #expect(details.skipped == [Skipped(path: entry("a"), reason: "it vanished while the backup was made")])
        #expect(details.isIncomplete)
        #expect(details.files == 1)
        #expect(try fixture.backups.status(entry("one/a")) == nil)
        #expect(try fixture.backups.read("one/d/b") == "second")
    }

    @Test func aVanishedDirectoryIsNamedWithWhatWasInIt() throws {
        let fixture = try fixture()
        let details = try backup(fixture) { try fixture.source.remove(entry("d")) }
        #expect(details.skipped.contains { $0.path == entry("d/b") })
        #expect(try fixture.backups.read("one/a") == "first")
    }

    @Test func aLinkInPlaceOfAFileIsNotFollowed() throws {
        let fixture = try fixture()
        let details = try backup(fixture) {
            try fixture.source.remove(entry("a"))
            try fixture.source.makeLink(entry("a"), to: Array("/etc/passwd".utf8))
        }
        #expect(details.skipped.map(\.path) == [entry("a")])
        #expect(details.skipped.first?.reason == "it became a symbolic link while it was backed up")
    }

    @Test func aLinkInPlaceOfADirectoryIsNotFollowed() throws {
        let fixture = try fixture()
        let details = try backup(fixture) {
            try fixture.source.directory.move("d".utf8, to: fixture.source.directory, as: "elsewhere".utf8)
            try fixture.source.makeLink(entry("d"), to: Array("elsewhere".utf8))
        }
        #expect(details.skipped.map(\.path).contains(entry("d/b")))
    }

    @Test(arguments: ["directory", "fifo"])
    func somethingElseInPlaceOfAFileIsNamed(what: String) throws {
        let fixture = try fixture()
        let details = try backup(fixture) {
            try fixture.source.remove(entry("a"))
            if what == "fifo" {
                try fixture.source.makeFifo(entry("a"))
            } else {
                try fixture.source.makeDirectory(entry("a"))
            }
        }
        #expect(details.skipped.map(\.path) == [entry("a")])
        #expect(try #require(details.skipped.first).reason.contains(what))
    }

    @Test func whatGrewBeforeItIsReadIsSavedAsItIsThen() throws {
        let fixture = try fixture()
        let details = try backup(fixture) { try fixture.source.write("a", "first and more") }
        #expect(details.skipped == [])
        #expect(details.bytes == 20)
        #expect(try fixture.backups.read("one/a") == "first and more")
    }

    @Test func aFileThatNeverRestsIsKeptAndNamed() throws {
        let fixture = try fixture()
        // Large, so that the writer has its turn while it is read, however busy the machine is.
        try fixture.source.write(entry("busy"), Array(repeating: 0x78, count: 96 << 20))
        let writer = Writer(fixture.source.path + "/busy")
        let details = try backup(fixture) { writer.start() }
        writer.stop()
        #expect(
            details.skipped
                == [Skipped(path: entry("busy"), reason: "it changed each time it was read", isKept: true)])
        #expect(details.isIncomplete)
        #expect(try fixture.backups.status(entry("one/busy")) != nil)
        // Never taken for unchanged.
        #expect(try fixture.create("two", after: "one").metadata.details?.sharedFiles == 2)
    }

    @Test func aNameThatVanishesDoesNotTakeTheOtherNamesAlong() throws {
        let fixture = try fixture()
        try fixture.source.makeHardLink(entry("d/c"), to: entry("a"))
        try fixture.source.makeHardLink(entry("e"), to: entry("a"))
        let details = try backup(fixture) { try fixture.source.remove(entry("a")) }
        #expect(details.skipped.map(\.path) == [entry("a")])
        #expect(try fixture.backups.read("one/d/c") == "first")
        #expect(try fixture.backups.status(entry("one/d/c"))?.inode == fixture.backups.status(entry("one/e"))?.inode)
    }

    @Test func aStopLeavesNothing() throws {
        let fixture = try fixture()
        let plan = try fixture.plan()
        fixture.testRun.stop.stop(signal: SIGINT)
        #expect(throws: Stopped.self) { try fixture.write(plan, as: "one") }
        #expect(try fixture.backups.directory.items().isEmpty)
    }

    // MARK: No room (promise 5)

    @Test func whatCannotFitIsRefusedBeforeItBegins() throws {
        try onSmallFileSystem { fixture in
            try fixture.source.write("big", String(repeating: "x", count: 20 << 20))
            let error = #expect(throws: BackupError.self) { try fixture.create("one") }
            #expect(error?.code == .noSpace)
            #expect(error?.message.hasPrefix("no space: the backup needs 21 MB") == true)
        }
    }

    /// Many small files occupy more than their bytes.
    @Test func blocksCountAndNotBytes() throws {
        try onSmallFileSystem(["-b", "4096", "-N", "8000"]) { fixture in
            for number in 0..<3_000 { try fixture.source.write("f\(number)", "x") }
            let error = #expect(throws: BackupError.self) { try fixture.create("one") }
            #expect(error?.code == .noSpace)
            #expect(error?.message.hasPrefix("no space: ") == true)
            #expect(error?.message.contains("is full") == false)
        }
    }

    @Test func aFullFileSystemFailsCleanly() throws {
        try onSmallFileSystem { fixture in
            // Nobody can tell before how much a sparse file needs.
            try fixture.source.writeSparse(
                entry("sparse"), head: Array(repeating: 1, count: 20 << 20), hole: 1 << 20, tail: [1])
            try fixture.source.write("small", "x")
            let error = #expect(throws: BackupError.self) { try fixture.create("one") }
            #expect(error?.code == .noSpace)
        }
    }

    @Test func inodesCountToo() throws {
        try onSmallFileSystem(["-N", "64"]) { fixture in
            for number in 0..<100 { try fixture.source.write("f\(number)", "") }
            let error = #expect(throws: BackupError.self) { try fixture.create("one") }
            #expect(error?.code == .noSpace)
            #expect(error?.message.hasPrefix("no space: the backup needs 110 inodes") == true)
        }
    }

    /// The source is on tmpfs, the backups on a file system of 10 MB that holds one already.
    private func onSmallFileSystem(
        _ options: [String] = [], _ body: (BackupFixture) throws -> Void
    ) throws {
        guard let system = try LoopFileSystem("ext4", megabytes: 10, options: options) else {
            return print("no ext4: not tested")
        }
        try withExtendedLifetime(system) {
            let fixture = try BackupFixture(backupsIn: system.path)
            try fixture.source.write("a", "first")
            try fixture.create("before")
            try body(fixture)
            #expect(try fixture.container.backups().backups.map(\.name.text) == ["before"])
            let names = try fixture.backups.directory.items().map { String(decoding: $0.name, as: UTF8.self) }
            #expect(names.sorted() == [".chastipi-backups", ".state", "RESTORE-BY-HAND.txt", "before"])
            #expect(try fixture.findings("before") == [])
        }
    }
}

/// Changes a file all the time.
private final class Writer: Sendable {
    private let path: String
    private let isOn = Atomic<Bool>(true)
    private let hasBegun = Atomic<Bool>(false)
    private let hasEnded = Atomic<Bool>(false)

    init(_ path: String) { self.path = path }

    func start() {
        Thread.detachNewThread { [self] in
            let descriptor = open(path, O_WRONLY)
            var byte: UInt8 = 0
            while isOn.load(ordering: .relaxed) {
                pwrite(descriptor, &byte, 1, off_t(byte))
                byte &+= 1
                hasBegun.store(true, ordering: .relaxed)
            }
            close(descriptor)
            hasEnded.store(true, ordering: .relaxed)
        }
        while !hasBegun.load(ordering: .relaxed) { usleep(100) }
    }

    func stop() {
        isOn.store(false, ordering: .relaxed)
        while !hasEnded.load(ordering: .relaxed) { usleep(100) }
    }
}
