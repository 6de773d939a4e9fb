import Model
import TestKit
import Testing

/// Promises 1, 2 and 13: whatever happens at whatever instant of a create or a delete, what is listed is whole, the older
/// backups are untouched, and nothing half-made stays.
@Suite struct BackupFaultTests {
    static let errors = ["EIO", "late-EIO", "ENOSPC"]
    /// Those that ``BackupFaultLongTests`` tries.
    static let otherErrors = ["EACCES", "EROFS", "EMFILE"]
    static let formats = ["folder", "zip"]

    /// An app with the backup `one`, half of which has changed since.
    private func app(_ format: String = "folder") throws -> TemporaryTree {
        let tree = try TemporaryTree()
        try tree.write("app.py", "the app")
        try tree.write("data/a", "a")
        try tree.write("data/b", "b")
        try tree.makeHardLink(entry("data/c"), to: entry("data/b"))
        try tree.makeLink(entry("static/link"), to: Array("nowhere".utf8))
        try tree.change(entry("app.py")) { $0.modified = Timestamp(seconds: 1_600_000_000) }
        try tree.change(entry("data/a")) { $0.extended = [.init(name: Array("user.note".utf8), value: [1, 2])] }
        let made = try Program(in: tree).run("create", "--name", "one", "--format", format)
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        try tree.write("data/a", "changed")
        return tree
    }

    private func names(in app: TemporaryTree) throws -> [String] {
        try app.directory.directory(at: entry("backups")).items().map { item in
            let name = String(decoding: item.name, as: UTF8.self)
            return name.hasSuffix(".zip") ? String(name.dropLast(4)) : name
        }
    }

    private func expectWhole(_ name: String, in app: TemporaryTree, _ where: String) throws {
        let verified = try Program(in: app).run("verify", name)
        #expect(verified.status == 0, "\(`where`): \(verified)")
    }

    /// Kills before the fault's call, then looks at what is left, then lets the next run clear up.
    @Test(arguments: formats)
    func aKillAtEachCallOfACreateLeavesNothingHalf(format: String) throws {
        let start = try app(format)
        let count = try Program(in: try start.copied()).countCalls("create", ["--name", "two", "--format", format])
        #expect(count > 10)
        var published = 0
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run(
                "create", "--name", "two", "--format", format, fault: "\(number):kill")
            #expect(answer.status == 137)
            let listed = try Program(in: app).run("list")
            #expect(listed.status == 0 && !listed.output.contains("partial"), "call \(number): \(listed)")
            try expectWhole("one", in: app, "call \(number)")
            if listed.output.contains("two ") {
                published += 1
                try expectWhole("two", in: app, "call \(number)")
            }
            let next = try Program(in: app).run("create", "--name", "three")
            #expect(next.status == 0, "call \(number): \(next)")
            try expectWhole("three", in: app, "call \(number)")
            #expect(try !names(in: app).contains { $0.hasPrefix(".partial-") }, "call \(number)")
        }
        #expect(published > 0 && published < count * 2 / 3)
    }

    @Test(arguments: errors + ["short"], formats)
    func anErrorAtEachCallOfACreateLeavesNothingBehind(fault: String, format: String) throws {
        let start = try app(format)
        let count = try Program(in: try start.copied()).countCalls("create", ["--name", "two", "--format", format])
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run(
                "create", "--name", "two", "--format", format, fault: "\(number):\(fault)")
            let names = try names(in: app)
            switch answer.status {
            case 0: try expectWhole("two", in: app, "call \(number)")
            case 1:
                #expect(!names.contains("two"), "call \(number): \(answer)")
                #expect(answer.errors.contains("error: "), "\(answer)")
            default: Issue.record("call \(number): \(answer)")
            }
            #expect(!names.contains { $0.hasPrefix(".partial-") }, "call \(number): \(answer)")
            try expectWhole("one", in: app, "call \(number)")
        }
    }

    @Test(arguments: formats)
    func aKillAtEachCallOfADeleteLeavesABackupWholeOrGone(format: String) throws {
        let start = try app(format)
        let count = try Program(in: try start.copied()).countCalls("delete", ["one", "--yes"])
        for number in 1...count {
            let app = try start.copied()
            #expect(try Program(in: app).run("delete", "one", "--yes", fault: "\(number):kill").status == 137)
            let listed = try Program(in: app).run("list")
            if listed.output.contains("one ") { try expectWhole("one", in: app, "call \(number)") }
            let next = try Program(in: app).run("create", "--name", "three")
            #expect(next.status == 0, "call \(number): \(next)")
            #expect(try !names(in: app).contains { $0.hasPrefix(".partial-") }, "call \(number)")
        }
    }

    @Test(arguments: errors, formats)
    func anErrorAtEachCallOfADeleteLeavesABackupWholeOrGone(fault: String, format: String) throws {
        let start = try app(format)
        let count = try Program(in: try start.copied()).countCalls("delete", ["one", "--yes"])
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run("delete", "one", "--yes", fault: "\(number):\(fault)")
            let isThere = try names(in: app).contains("one")
            switch answer.status {
            case 0: #expect(!isThere, "call \(number): \(answer)")
            case 1: #expect(answer.errors.contains("error: "), "\(answer)")
            default: Issue.record("call \(number): \(answer)")
            }
            if isThere { try expectWhole("one", in: app, "call \(number)") }
        }
    }

    /// The safety backup, too, is part of a restore: if it fails, nothing is restored (promise 9).
    @Test func aRestoreStopsWhereItsSafetyBackupFails() throws {
        let start = try app()
        let before = try TreeSnapshot(of: start.directory, ignoring: SmallApp.ours)
        let count = try Program(in: try start.copied()).countCalls("restore", ["one"])
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run("restore", "one", fault: "\(number):EIO")
            #expect(answer.status == 0 || answer.status == 1, "call \(number): \(answer)")
            if answer.status == 1 {
                let now = try TreeSnapshot(of: app.directory, ignoring: SmallApp.ours)
                #expect(before.differences(from: now) == [], "call \(number): \(answer)")
            }
        }
    }
}

@Suite(.enabled(if: runsLongTests, "make test-long runs it"))
struct BackupFaultLongTests {
    @Test(arguments: BackupFaultTests.otherErrors, BackupFaultTests.formats)
    func anErrorAtEachCallOfACreateLeavesNothingBehind(fault: String, format: String) throws {
        try BackupFaultTests().anErrorAtEachCallOfACreateLeavesNothingBehind(fault: fault, format: format)
    }

    @Test(arguments: BackupFaultTests.otherErrors, BackupFaultTests.formats)
    func anErrorAtEachCallOfADeleteLeavesABackupWholeOrGone(fault: String, format: String) throws {
        try BackupFaultTests().anErrorAtEachCallOfADeleteLeavesABackupWholeOrGone(fault: fault, format: format)
    }
}
