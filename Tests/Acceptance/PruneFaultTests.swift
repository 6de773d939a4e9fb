import Model
import TestKit
import Testing

/// Promises 12 and 13 at every changing call of a prune: what is listed is whole, and what is to be kept is there.
@Suite struct PruneFaultTests {
    private let kept = [3, 4].map(PruneTests.name)
    private let removed = [1, 2].map(PruneTests.name)
    private let arguments = ["--keep-last", "2", "--yes"]

    private func app() throws -> TemporaryTree {
        let tree = try TemporaryTree()
        try tree.write("app.py", "the app")
        try tree.write("data/a", "a")
        try tree.write("data/deep/b", "b")
        for number in 1...4 {
            try tree.write("data/a", "a\(number)")
            let made = try Program(in: tree).run("create", "--name", PruneTests.name(number))
            guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        }
        return tree
    }

    private func names(in app: TemporaryTree) throws -> [String] {
        try app.directory.directory(at: entry("backups")).items().map { String(decoding: $0.name, as: UTF8.self) }
    }

    /// Every listed backup is whole, and none is missing that should be there.
    private func expectSound(_ app: TemporaryTree, _ place: String) throws {
        let names = try names(in: app)
        for name in kept { #expect(names.contains(name), "\(place)") }
        let listed = try Program(in: app).run("list")
        #expect(listed.status == 0 && !listed.output.contains("partial") && !listed.output.contains("not ours"))
        let verified = try Program(in: app).run("verify", "--all")
        #expect(verified.status == 0, "\(place): \(verified)")
    }

    @Test func aKillAtEachCallLeavesEveryBackupWholeOrGone() throws {
        let start = try app()
        let count = try Program(in: try start.copied()).countCalls("prune", arguments)
        #expect(count > 20)
        var states: Set<Int> = []
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run("prune", "--keep-last", "2", "--yes", fault: "\(number):kill")
            #expect(answer.status == 137)
            states.insert(try names(in: app).count { removed.contains($0) })
            try expectSound(app, "call \(number)")
            let next = try Program(in: app).run("prune", "--keep-last", "2", "--yes")
            #expect(next.status == 0, "call \(number): \(next)")
            if next.output == "nothing to remove\n" { try Program(in: app).run("create", "--name", "next") }
            let names = try names(in: app)
            #expect(!names.contains { $0.hasPrefix(".partial-") || removed.contains($0) }, "call \(number): \(names)")
        }
        #expect(states == [0, 1, 2])
    }

    @Test(arguments: BackupFaultTests.errors)
    func anErrorAtEachCallLeavesEveryBackupWholeOrGone(fault: String) throws {
        let start = try app()
        let count = try Program(in: try start.copied()).countCalls("prune", arguments)
        var isToldWhatWasDone = false
        for number in 1...count {
            let app = try start.copied()
            let answer = try Program(in: app).run("prune", "--keep-last", "2", "--yes", fault: "\(number):\(fault)")
            let left = try names(in: app).filter { removed.contains($0) }
            switch answer.status {
            case 0: #expect(left.isEmpty, "call \(number): \(answer)")
            case 1:
                #expect(answer.errors.contains("error: "), "\(answer)")
                // Which one is gone stands in the message: removed before the failure, or by the call that failed late.
                guard left == [removed[1]] else { break }
                let line = answer.errors.split(separator: "\n").last ?? ""
                #expect(line.hasPrefix("error: ") && line.contains(removed[0]), "call \(number): \(answer)")
                if line.contains("deleted before it: \(removed[0])") { isToldWhatWasDone = true }
            default: Issue.record("call \(number): \(answer)")
            }
            try expectSound(app, "call \(number), \(fault)")
        }
        #expect(isToldWhatWasDone)
    }
}
