import Foundation
import Model
import TestKit
import Testing

/// Small computers without a battery wake up in 1970, and a wrong date is set now and then.
@Suite struct ClockTests {
    private func run(_ app: TestApp, at time: String, _ arguments: String...) throws -> Program.Answer {
        let run = try ToolRun.run("faketime", [time, Program.path] + arguments + ["--app", app.path], in: app.path)
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    private static let odd = ["1970-01-01 00:00:01", "2099-12-31 23:59:59", "1970-01-02 00:00:00"]

    @Test func everyVerbWorksWhateverTheClockSays() throws {
        let app = try TestApp()
        try app.done("create", "--name", "today")
        let saved = try app.snapshot()
        for (number, time) in Self.odd.enumerated() {
            let created = try run(app, at: time, "create", "--name", "odd\(number)")
            #expect(created.status == 0, "\(created)")
            // The racy rule must not take what changed just now for unchanged.
            try app.tree.write("app.py", "changed \(number)")
            let again = try run(app, at: time, "create", "--name", "changed\(number)")
            #expect(again.status == 0, "\(again)")
            let stored = app.path + "/backups/changed\(number)/app.py"
            #expect(try String(contentsOfFile: stored, encoding: .utf8) == "changed \(number)")
            let restored = try run(app, at: time, "restore", "odd\(number)")
            #expect(restored.status == 0, "\(restored)")
            try app.expect(saved, but: ".: time")
            let undone = try run(app, at: time, "undo")
            #expect(undone.status == 0, "\(undone)")
            #expect(try app.tree.read("app.py") == "changed \(number)")
            try app.done("restore", "today")
        }
        let verified = try run(app, at: Self.odd[0], "verify", "--all")
        #expect(verified.status == 0, "\(verified)")
    }

    /// One run with a wrong date must not make its backup the newest for ever.
    @Test func aBackupFromTheFutureIsNotTheLatest() throws {
        let app = try TestApp()
        #expect(try run(app, at: "2099-12-31 23:59:59", "create", "--name", "future").status == 0)
        #expect(try app.done("show", "latest").output.hasPrefix("future: "))
        try app.done("create", "--name", "now")
        #expect(try app.done("show", "latest").output.hasPrefix("now: "))
        // Without a battery all that was saved before lies in the future: what was saved since is newer.
        let asleep = "1970-01-01 00:10:00"
        #expect(try run(app, at: asleep, "show", "latest").output.hasPrefix("future: "))
        #expect(try run(app, at: asleep, "create", "--name", "awake").status == 0)
        #expect(try run(app, at: "1970-01-01 00:00:30", "show", "latest").output.hasPrefix("awake: "))
    }
}

/// The same with a repository, whose locks and order of backups have times in them.
@Suite struct RepositoryClockTests {
    private func run(_ kept: RepositoryApp, at time: String, _ arguments: String...) throws -> Program.Answer {
        let run = try ToolRun.run(
            "faketime", [time, Program.path] + arguments + ["--repository", kept.path], environment: kept.environment)
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    @Test func nothingIsLostWhateverTheClockSays() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "today")
        // A minute later each backup is of the past for the run that prunes, however fast it starts.
        let times = [
            (create: "1970-01-01 00:00:05", prune: "1970-01-01 00:01:05"),
            (create: "2099-12-31 23:58:59", prune: "2099-12-31 23:59:59"),
        ]
        for (number, time) in times.enumerated() {
            try kept.app.tree.write("app.py", "changed \(number)")
            let created = try run(
                kept, at: time.create, "create", "--name", "odd\(number)", "--app", kept.app.path)
            #expect(created.status == 0, "\(created)")
            #expect(try kept.done("show", "latest").output.hasPrefix("today: "))
            let pruned = try run(
                kept, at: time.prune, "prune", "--keep-last", "1", "--include-named", "--yes", "--app", kept.app.path)
            // What is from the future stays; of a clock that is ahead all others are too many at once.
            #expect(pruned.status == (number == 0 ? 0 : 1), "\(pruned)")
        }
        #expect(try Set(kept.names()) == ["today", "odd0", "odd1"])
        for name in try kept.names() { try kept.done("verify", name) }
        try kept.expectSound()
    }

    /// A clock that is set while a backup is made does not make its lock one that was left behind.
    @Test func theLockOfARunningBackupStays() throws {
        let kept = try RepositoryApp(isCheap: true)
        let process = try kept.startCreate(named: "one")
        for _ in 0..<20_000 where try process.isRunning && kept.locks() == 0 { usleep(500) }
        kill(process.processIdentifier, SIGSTOP)
        #expect(try kept.locks() == 1)
        for time in ["2099-12-31 23:59:59", "1970-01-01 00:00:05"] {
            let unlocked = try run(kept, at: time, "repository", "unlock")
            #expect(try unlocked.status == 0 && kept.locks() == 1, "\(unlocked)")
            let pruned = try run(kept, at: time, "repository", "prune")
            #expect(pruned.status == 11 && !pruned.errors.contains("'repository unlock'"), "\(pruned)")
        }
        kill(process.processIdentifier, SIGCONT)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(try kept.locks() == 0)
    }
}
