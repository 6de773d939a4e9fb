import Foundation
import Model
import TestKit
import Testing

/// Two runs at once (promise 15): one works, the other is told who holds the lock, and nothing is damaged.
@Suite struct ManyRunsTests {
    /// An app whose backup `one` takes a while.
    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.shell("head -c 200000000 /dev/zero | tr '\\0' x > data/large")
        try app.done("create", "--name", "one")
        return app
    }

    @Test func ofTwoCreatesAtOnceOneIsToldWhoHoldsTheLock() throws {
        let app = try makeApp()
        let first = try app.startHeldCreate("two")
        try app.run("create", "--name", "three").expectError(11, "locked", "pid ", "create", "since ")
        try app.run("auto").expectError(11, "locked")
        // Through another path it is the same place.
        let link = try TemporaryTree()
        try link.makeLink(entry("backups"), to: Array((app.path + "/backups").utf8))
        try app.run("create", "--backup-dir", link.path + "/backups").expectError(11, "locked")
        // Who only looks does not wait, and sees nothing half-made.
        #expect(try app.done("list").output.contains("two") == false)
        #expect(try app.run("show", "two").status == 10)
        first.goOn()
        let answer = try first.end()
        #expect(answer.status == 0, "\(answer)")
        try app.expectIntact(["one", "two"])
    }

    @Test func duringACreateNothingIsDeletedAndNothingRestored() throws {
        let app = try makeApp()
        let create = try app.startHeldCreate("two")
        try app.run("delete", "one", "--yes").expectError(11, "locked", "create")
        try app.tree.write("app.py", "changed")
        let before = try app.snapshot()
        for arguments in [["restore", "one"], ["undo", "--discard", "--yes"], ["recover"]] {
            try Program.run(arguments + ["--app", app.path]).expectError(11, "locked", "create")
        }
        try app.expect(before)
        create.goOn()
        let answer = try create.end()
        #expect(answer.status == 0 || answer.status == 3, "\(answer)")
        try app.expectIntact(["one", "two"])
    }

    @Test func aLargeBackupCanBeDeletedWhileAnotherIsMadeElsewhere() throws {
        let app = try makeApp()
        let other = try TemporaryTree()
        let create = try app.startHeldCreate("two")
        try app.done("create", "--name", "two", "--backup-dir", other.path)
        try app.done("delete", "two", "--yes", "--backup-dir", other.path)
        create.goOn()
        let answer = try create.end()
        #expect(answer.status == 0, "\(answer)")
        try app.expectIntact(["one", "two"])
        #expect(try app.backups(in: other.path).isEmpty)
    }

    @Test func ofTwoRestoresAtOnceOneIsToldWhoHoldsTheLock() throws {
        let app = try makeApp()
        let other = try TemporaryTree()
        try app.done("create", "--name", "one", "--backup-dir", other.path)
        let wanted = try app.snapshot()
        try app.shell("echo changed >> data/large; echo changed > app.py")
        let before = try app.snapshot()
        let restore = try app.startHeldRestore("one")
        for arguments in [
            ["restore", "one"], ["restore", "one", "--backup-dir", other.path], ["restore", other.path + "/one"],
            ["undo"], ["recover"], ["create"], ["create", "--backup-dir", other.path],
        ] {
            try Program.run(arguments + ["--app", app.path]).expectError(11, "locked", "restore")
        }
        try app.expect(before)
        restore.goOn()
        let answer = try restore.end()
        #expect(answer.status == 0, "\(answer)")
        try app.expect(wanted, but: ".: time")
        try app.expectIntact(["one"])
        #expect(try app.backups(in: other.path) == ["one"])
    }

    /// No lock outlives its owner.
    @Test func aKilledRunBlocksNobody() throws {
        let app = try makeApp()
        let create = try app.startHeldCreate("two")
        create.send(SIGKILL)
        #expect(try create.end().status == 137)
        #expect(try app.done("list").output.contains("two") == false)
        try app.done("create", "--name", "two")
        try app.expectIntact(["one", "two"])
        try app.shell("echo changed >> data/large")
        let before = try app.snapshot()
        let restore = try app.startHeldRestore("one")
        restore.send(SIGKILL)
        #expect(try restore.end().status == 137)
        try app.expect(before)
        try app.done("restore", "one")
        #expect(try app.tree.status(entry("data/large"))?.size == 200_000_000)
    }

    /// Eight at once, without anybody holding them.
    @Test func manyCreatesAndDeletesAtOnceLeaveWholeBackupsOnly() throws {
        let app = try TestApp()
        try app.done("create", "--name", "first")
        var made: Set<String> = ["first"]
        for round in 1...4 {
            let creates = try (1...5).map { try app.start("create", "--name", "b\(round)-\($0)") }
            let delete = try app.start("delete", "b\(round - 1)-1", "--yes")
            for (number, create) in creates.enumerated() {
                let answer = try create.end()
                #expect(answer.status == 0 || answer.status == 11, "\(answer)")
                if answer.status == 0 { made.insert("b\(round)-\(number + 1)") }
            }
            let answer = try delete.end()
            #expect([0, 10, 11].contains(answer.status), "\(answer)")
            if answer.status == 0 { made.remove("b\(round - 1)-1") }
        }
        try app.expectIntact(Array(made))
    }
}

/// Signals (design section 8): before the point of no return a run takes everything back, after it it ends what it began.
@Suite struct SignalTests {
    static let signals: [(Int32, Int32)] = [(SIGINT, 130), (SIGTERM, 143), (SIGHUP, 129)]

    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.shell("head -c 200000000 /dev/zero | tr '\\0' x > data/large")
        try app.done("create", "--name", "one")
        return app
    }

    @Test(arguments: signals)
    func aCreateThatIsInterruptedLeavesNothing(signal: Int32, status: Int32) throws {
        let app = try makeApp()
        let before = try app.snapshot()
        let create = try app.startHeldCreate("two")
        create.send(signal)
        create.goOn()
        let answer = try create.end()
        answer.expectError(status, "interrupted")
        try app.expect(before)
        try app.expectIntact(["one"])
    }

    @Test(arguments: signals)
    func aRestoreThatIsInterruptedWhileItStagesChangesNothing(signal: Int32, status: Int32) throws {
        let app = try makeApp()
        try app.shell("echo changed >> data/large; echo changed > app.py")
        let before = try app.snapshot()
        let restore = try app.startHeldRestore("one")
        restore.send(signal)
        restore.goOn()
        try restore.end().expectError(status, "interrupted")
        try app.expect(before)
        try app.expectIntact(["one"])
        #expect(try app.run("list", "--json").output.contains("\"recovery_pending\": false"))
        #expect(try app.shell("ls -A .chastipi/restores").isEmpty)
    }

    /// At any time, in small steps: exactly the old or exactly the new app, and the status says which.
    @Test(arguments: signals)
    func aRestoreInterruptedAtAnyTimeIsWholeOrDidNotHappen(signal: Int32, status: Int32) throws {
        let small = try SmallApp()
        for verb in [["restore", "one", "--skip-safety-backup"], ["restore", "one"]] {
            for delay in stride(from: 4, through: 100, by: 6) {
                let app = try small.tree.copied()
                let run = try RunningProgram(verb, app: app.path)
                usleep(UInt32(delay) * 1000)
                run.send(signal)
                let answer = try run.end()
                let side = try small.side(of: app)
                switch answer.status {
                case 0: #expect(side == .new, "after \(delay) ms: \(answer)")
                // Before the handlers stand the signal itself ends the program.
                case status: #expect(side == .old, "after \(delay) ms: \(answer)")
                default: Issue.record("after \(delay) ms: \(answer)")
                }
                #expect(try Program(in: app).run("recover").output.contains("nothing to do"))
                let names = try FileManager.default.contentsOfDirectory(atPath: app.path + "/backups")
                #expect(!names.contains { $0.hasPrefix(".partial-") }, "\(names)")
            }
        }
    }

    /// The first waits until the exchange is done; the second, a second later, does not.
    @Test func aSecondSignalEndsTheExchangeAtOnceAndRecoverFinishesIt() throws {
        let app = try TestApp()
        try app.shell("mkdir data/many; cd data/many; seq 12000 | xargs touch; seq 12000 | sed 's/^/x/' | xargs touch")
        try app.done("create", "--name", "one")
        try app.shell("cd data/many; for i in $(seq 12000); do echo $i > $i; done; rm x*")
        let old = try app.snapshot()
        let restore = try app.start("restore", "one", "--skip-safety-backup")
        let state = app.path + "/.chastipi/state"
        let isForward = try restore.wait {
            guard FileManager.default.fileExists(atPath: state) else { return false }
            return try String(contentsOfFile: state, encoding: .utf8).contains("forward")
        }
        #expect(isForward)
        restore.send(SIGINT)
        usleep(1_100_000)
        restore.send(SIGINT)
        let answer = try restore.end()
        #expect(answer.status == 130 || answer.status == 0, "\(answer)")
        let recovered = try app.done("recover")
        #expect(recovered.output.contains(answer.status == 0 ? "nothing to do" : "finished"), "\(recovered)")
        let new = try app.snapshot()
        #expect(new[entry("data/many/7")]?.content == [] && new[entry("data/many/x7")] != nil)
        try app.done("undo")
        try app.expect(old)
    }

    /// As nohup does it.
    @Test func aHangupThatIsIgnoredStaysSo() throws {
        let app = try TestApp()
        let script =
            "trap '' HUP; '\(Program.path)' create --name one --app '\(app.path)' & sleep 0.1; kill -HUP $!; wait $!"
        #expect(try ToolRun.run("bash", ["-c", script]).status == 0)
        try app.expectIntact(["one"])
    }

    @Test func aReaderThatGoesAwayIsNoError() throws {
        let app = try TestApp()
        try app.shell(
            "mkdir data/many; cd data/many; seq -f 'a file with quite a long name %g' 5000 | xargs -d '\\n' touch")
        try app.done("create", "--name", "one")
        for verb in ["list", "list --json", "show one --files", "show one --files --json", "--help"] {
            let options = verb == "--help" ? "" : "--app '\(app.path)'"
            let script = "set -o pipefail; '\(Program.path)' \(verb) \(options) | head -1"
            let result = try ToolRun.run("bash", ["-c", script])
            #expect(result.errors.isEmpty, "\(verb): \(String(decoding: result.errors, as: UTF8.self))")
            #expect(result.status == 0 && !result.output.isEmpty, "\(verb): \(result.status)")
        }
        let closed = try ToolRun.run("sh", ["-c", "'\(Program.path)' create --name two --app '\(app.path)' >&-"])
        #expect(closed.status == 0)
        try app.expectIntact(["one", "two"])
    }

    /// Who reads a backup that someone deletes is not alarmed.
    @Test func aBackupThatIsDeletedWhileItIsReadIsNoDamage() throws {
        let app = try TestApp()
        try app.shell("for n in $(seq 3000); do echo $n > uploads/$n; done")
        for verb in [["verify", "one"], ["restore", "one", "--to", app.path + "/elsewhere"]] {
            try app.done("create", "--name", "one")
            let name = verb[0]
            let reader = try RunningProgram(verb, app: app.path)
            usleep(60_000)
            reader.hold()
            try app.done("delete", "one", "--yes")
            reader.goOn()
            let answer = try reader.end()
            #expect([0, 10].contains(answer.status), "\(name): \(answer)")
            if answer.status == 10 { answer.expectError(10, "'one'") }
            try app.shell("rm -rf elsewhere; ls")
        }
    }
}
