import Disk
import Foundation
import Model
import TestKit
import Testing

/// Promises 1, 2 and 13 for repositories: whatever happens at whatever instant, the backups of before are whole, and what is
/// listed can be restored. What a kill leaves may take room, and the next prune frees it.
@Suite struct RepositoryFaultTests {
    /// An app with the backup `one`, half of which has changed since.
    private func start() throws -> RepositoryApp {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.tree.makeLink(entry("static/link"), to: Array("nowhere".utf8))
        try kept.done("create", "--name", "one")
        try kept.app.tree.write("data/deep/one", "changed")
        try kept.app.tree.write("data/new/two", "new")
        return kept
    }

    /// All backups that are there.
    private func expectWhole(_ kept: RepositoryApp, _ where: String) throws {
        let verified = try kept.run("verify", "--all")
        #expect(verified.status == 0, "\(`where`): \(verified)")
    }

    @Test func aKillAtEachCallOfACreateLeavesWhatWasThere() throws {
        let start = try start()
        let count = try start.copied().countCalls("create", "--name", "two")
        #expect(count > 10)
        var published = 0
        for number in 1...count {
            let kept = try start.copied()
            #expect(try kept.run("create", "--name", "two", fault: "\(number):kill").status == 137)
            let names = try kept.names()
            #expect(names == ["one"] || names == ["one", "two"], "call \(number): \(names)")
            if names.count == 2 { published += 1 }
            try expectWhole(kept, "call \(number)")
            // Real restic takes its time.
            if number % 4 == 0 { try kept.expectSound() }
            try kept.done("create", "--name", "three")
            try expectWhole(kept, "call \(number)")
        }
        #expect(published > 0 && published < count / 2)
    }

    /// A few of the errors: each run waits after locking.
    @Test(arguments: ["EIO", "late-EIO", "ENOSPC"])
    func anErrorAtEachCallOfACreateIsTold(fault: String) throws {
        let start = try start()
        let count = try start.copied().countCalls("create", "--name", "two")
        for number in 1...count {
            let kept = try start.copied()
            let answer = try kept.run("create", "--name", "two", fault: "\(number):\(fault)")
            let names = try kept.names()
            switch answer.status {
            case 0: #expect(names == ["one", "two"], "call \(number): \(answer)")
            case 1: #expect(names == ["one"] && answer.errors.contains("error: "), "call \(number): \(answer)")
            default: Issue.record("call \(number): \(answer)")
            }
            try expectWhole(kept, "call \(number)")
            // Nothing that only takes room stays after an error.
            let left = try kept.home.directory.directory(at: entry("repository/data")).items().count
            #expect(left == 256, "call \(number)")
        }
    }

    @Test(arguments: ["kill", "EIO", "late-EIO"])
    func aDeleteDoesAllOrNothing(fault: String) throws {
        let start = try start()
        try start.done("create", "--name", "two")
        let count = try start.copied().countCalls("delete", "one", "--yes")
        for number in 1...count {
            let kept = try start.copied()
            let answer = try kept.run("delete", "one", "--yes", fault: "\(number):\(fault)")
            let names = try kept.names()
            if answer.status == 0 { #expect(names == ["two"], "call \(number): \(answer)") }
            // What failed after it is no reason to think that it is still there.
            if answer.status == 1, names == ["two"] {
                let isTold = ["deleted: one; space was not freed: ", "cannot remove the snapshot"].contains {
                    answer.errors.contains($0)
                }
                #expect(isTold, "call \(number): \(answer)")
            }
            try expectWhole(kept, "call \(number)")
        }
    }

    /// A prune removes backups and then what they alone needed; the next one finishes what was cut off.
    @Test(arguments: ["kill", "EIO", "late-EIO"])
    func aPruneLosesNothing(fault: String) throws {
        let start = try start()
        try start.app.tree.write("data/deep/one", "again")
        try start.done("create", "--name", "two")
        try start.app.tree.remove(entry("data/new"))
        try start.done("create", "--name", "three")
        let verb = ["prune", "--keep-last", "1", "--include-named", "--yes", "--yes-remove-many"]
        let count = try start.copied().countCalls(
            verb[0], verb[1], verb[2], verb[3], verb[4], verb[5])
        #expect(count > 10)
        for number in 1...count where fault == "kill" || number % 2 == 0 {
            let kept = try start.copied()
            let answer = try kept.run(verb[0], verb[1], verb[2], verb[3], verb[4], verb[5], fault: "\(number):\(fault)")
            let names = try kept.names()
            #expect(names.contains("three"), "call \(number): \(answer)")
            if answer.status == 0 { #expect(names == ["three"], "call \(number): \(answer)") }
            try expectWhole(kept, "call \(number)")
            if number % 6 == 0 { try kept.expectSound() }
            try kept.done("delete", names[0], "--yes")
            if names.count > 1 { try expectWhole(kept, "call \(number)") }
        }
    }

    /// Whatever byte of whatever file is wrong: what is restored with status 0 is right, and everything else is told.
    @Test func noDamageIsRestoredAsIfNothingWere() throws {
        let kept = try start()
        let app = kept.app
        let before = try TreeSnapshot(of: app.tree.directory, ignoring: SmallApp.ours)
        try kept.done("create", "--name", "two")
        var files: [String] = []
        for case let file as String in FileManager.default.enumerator(atPath: kept.path) ?? .init() {
            let path = entry("repository/" + file)
            if try kept.home.status(path)?.kind == .file { files.append(file) }
        }
        #expect(files.count >= 8)
        var found = 0
        for file in files.sorted() {
            let size = try #require(try kept.home.status(entry("repository/" + file))?.size)
            for offset in stride(from: UInt64(0), to: size, by: max(1, Int(size) / 24)) {
                let damaged = try kept.copied()
                let path = entry("repository/" + file)
                let byte = try damaged.home.read(path)[Int(offset)]
                try damaged.home.change(path) { $0.mode = 0o600 }
                try damaged.home.overwrite(path, at: Int(offset), with: [byte ^ 0x10])
                found += try expectNoWrongRestore(damaged, before, "\(file) at \(offset)") ? 0 : 1
            }
        }
        #expect(found > 20)
    }

    /// Restores `two`. Whether it could.
    private func expectNoWrongRestore(_ kept: RepositoryApp, _ before: TreeSnapshot, _ place: String) throws -> Bool {
        let to = kept.home.path + "/to"
        let answer = try kept.run("restore", "two", "--to", to)
        switch answer.status {
        case 0:
            let restored = try TreeSnapshot(of: Directory(path: to))
            let differences = before.differences(from: restored).filter { !$0.hasPrefix(".:") }
            #expect(differences == [], "\(place): \(answer)")
            return true
        case 1, 10, 12, 20:
            #expect(answer.errors.contains("error: "), "\(place): \(answer)")
            #expect(try kept.home.status(entry("to")) == nil, "\(place): \(answer)")
            return false
        default:
            Issue.record("\(place): \(answer)")
            return false
        }
    }
}
