import Foundation
import Model
import TestKit
import Testing

/// `prune`: what is kept and why, and that nothing goes before what replaces it is proven (promise 12).
@Suite struct PruneTests {
    /// The names of backups that are made one after the other, oldest first; the program could have chosen them.
    static func name(_ number: Int) -> String { "chastipi_backup_20260\(number)01_033000" }

    /// An app with `count` backups, made just now.
    static func app(_ count: Int) throws -> TestApp {
        let app = try TestApp()
        for number in 1...count { try app.done("create", "--name", name(number)) }
        return app
    }

    private func run(_ app: TestApp, at time: String, _ arguments: String...) throws {
        let run = try ToolRun.run("faketime", [time, Program.path] + arguments + ["--app", app.path], in: app.path)
        #expect(run.status == 0, "\(String(decoding: run.errors, as: UTF8.self))")
    }

    /// Another content of the same size, in that backup alone.
    private func damage(_ app: TestApp, _ name: String) throws {
        try app.tree.write("backups/\(name)/app.py", "THE APP")
    }

    private func state(_ app: TestApp, _ name: String) throws -> String {
        try #require(app.done("list").output.split(separator: "\n").first { $0.contains(name) }).description
    }

    @Test func eachBackupStandsInThePlanWithItsReasons() throws {
        let app = try TestApp()
        for day in ["20", "21", "22", "23"] { try run(app, at: "2026-03-\(day) 03:30:00", "auto", "--tag", "d\(day)") }
        try run(app, at: "2026-03-23 05:00:00", "create", "--name", "before-the-move")
        let before = try TreeSnapshot(of: app.tree.directory, ignoring: [entry("backups/.state")])
        let plan = try app.done("prune", "--keep-last", "1", "--keep-daily", "2", "--keep-tag", "d21", "--dry-run")
        let lines = plan.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 9, "\(plan)")
        for (line, words) in zip(
            lines,
            [
                ["policy: last 1, daily 2, tagged d21"], ["NAME", "WHY"],
                ["keep", "before-the-move", "named by hand, newest complete, not verified yet"],
                ["keep", "auto_backup_20260323", "last 1 of 1, daily 1 of 2"],
                ["keep", "auto_backup_20260322", "daily 2 of 2"], ["keep", "auto_backup_20260321", "tagged d21"],
                ["remove", "auto_backup_20260320", "no rule keeps it"], ["before-the-move is read back first"],
                ["to remove: 1 of 5 backups, which frees at least "],
            ])
        {
            for word in words { #expect(line.contains(word), "\(plan)") }
        }
        #expect(try TreeSnapshot(of: app.tree.directory, ignoring: [entry("backups/.state")]) == before)
        #expect(try state(app, "before-the-move").contains("not verified"))

        let done = try app.done("prune", "--keep-last", "1", "--keep-daily", "2", "--keep-tag", "d21", "--yes")
        #expect(done.errors == plan.output)
        #expect(done.output.contains(/^removed auto_backup_20260320_03300\d\n1 backup removed, .* freed\n$/), "\(done)")
        #expect(try state(app, "before-the-move").contains("verified"))
        #expect(try app.backups().count == 4)
        #expect(try app.run("verify", "--all").status == 0)
        let again = try app.done("prune", "--keep-last", "1", "--keep-daily", "2", "--keep-tag", "d21")
        #expect(again.output == "nothing to remove\n")
    }

    @Test func aCurrentRecordOfTheNewestIsEnough() throws {
        let app = try Self.app(4)
        try app.done("verify", Self.name(4))
        // What is read would be seen: it cannot be, and nothing of it is.
        let answer = try app.done("prune", "--keep-last", "3", "--yes", "--verbose")
        #expect(!answer.errors.contains("reading "), "\(answer)")
        #expect(try app.backups() == [2, 3, 4].map(Self.name))
        try app.done("create", "--name", Self.name(5))
        let second = try app.done("prune", "--keep-last", "3", "--yes", "--verbose")
        #expect(second.errors.contains("reading \(Self.name(5)) back before anything is removed"), "\(second)")
        #expect(try state(app, Self.name(5)).contains("verified"))
    }

    /// The record says what was, and who changes a backup does not ask.
    @Test(arguments: ["content", "manifest", "metadata", "extra", "missing"])
    func aBackupThatChangedSinceItWasVerifiedIsNotKnownAsVerified(change: String) throws {
        let app = try Self.app(4)
        let newest = Self.name(4)
        try app.done("verify", newest)
        switch change {
        case "content": try damage(app, newest)
        case "manifest": try app.shell("echo '# more' >> backups/\(newest)/MANIFEST.mtree")
        case "metadata": try app.shell("sed -i s/manual/munual/ backups/\(newest)/backup_metadata.json")
        case "extra": try app.tree.write("backups/\(newest)/data/extra", "extra")
        default: try app.tree.remove(entry("backups/\(newest)/templates"))
        }
        let answer = try app.run("prune", "--keep-last", "3", "--yes")
        #expect(answer.status == 20 || answer.status == 0 && change == "manifest", "\(answer)")
        if answer.status == 20 { #expect(try app.backups() == (1...4).map(Self.name)) }
        // Where the listing saw it, it is the one before it that must be proven, and was.
        #expect(try answer.status == 20 || state(app, Self.name(3)).contains("verified"))
        #expect(try app.backups().contains(newest))
    }

    @Test func damageOfTheNewestStopsItAndRemovesNothing() throws {
        let app = try Self.app(5)
        try damage(app, Self.name(5))
        try app.run("prune", "--keep-last", "3", "--yes")
            .expectError(20, "'\(Self.name(5))' is damaged, and nothing was removed: app.py", "'create'")
        #expect(try app.backups() == (1...5).map(Self.name))
        // Now it is known: the one before it takes its place, is proven, and the damaged one fills no slot.
        let second = try app.done("prune", "--keep-last", "3", "--yes")
        #expect(second.errors.contains("last 1 of 3 damaged"), "\(second)")
        #expect(try app.backups() == (2...5).map(Self.name))
        #expect(try state(app, Self.name(4)).contains("verified"))
    }

    @Test func whereNothingIsUndamagedNothingGoes() throws {
        let app = try Self.app(4)
        for number in 1...4 { try damage(app, Self.name(number)) }
        #expect(try app.run("verify", "--all").status == 20)
        try app.run("prune", "--keep-last", "2", "--yes").expectError(20, "no undamaged backup", "nothing was removed")
        #expect(try app.backups() == (1...4).map(Self.name))
    }

    @Test func moreThanHalfMustBeAskedFor() throws {
        let app = try Self.app(5)
        try app.run("prune", "--keep-last", "2", "--yes").expectError(1, "3 of 5 backups", "--yes-remove-many")
        let plan = try app.done("prune", "--keep-last", "2", "--dry-run")
        #expect(plan.errors.contains("--yes-remove-many"), "\(plan)")
        try app.run("prune", "--keep-last", "2").expectError(1, "--yes-remove-many")
        try app.run("prune", "--keep-last", "2", "--yes-remove-many").expectError(2, "--yes")
        try app.expectIntact((1...5).map(Self.name))
        try app.done("prune", "--keep-last", "2", "--yes-remove-many", "--yes")
        try app.expectIntact([4, 5].map(Self.name))
        // Half is not more than half.
        try app.done("prune", "--keep-last", "1", "--yes")
        try app.expectIntact([Self.name(5)])
    }

    @Test func safetyBackupsHaveARuleOfTheirOwn() throws {
        let app = try TestApp()
        for day in ["01", "02", "20", "21"] {
            try run(app, at: "2026-03-\(day) 12:00:00", "create", "--name", "pre_restore_backup_202603\(day)_120000")
        }
        for day in ["19", "20", "21"] { try run(app, at: "2026-03-\(day) 03:30:00", "auto") }
        try app.tree.write("app.py", "changed")
        try run(app, at: "2026-03-21 13:00:00", "restore", "pre_restore_backup_20260302_120000")
        let safety = try #require(try app.backups().first { $0.hasPrefix("pre_restore_backup_20260321_13") })
        let done = try app.done("prune", "--keep-last", "3", "--yes")
        #expect(
            try app.backups().filter { $0.hasPrefix("pre_restore") }
                == ["pre_restore_backup_20260320_120000", "pre_restore_backup_20260321_120000", safety])
        #expect(try app.backups().filter { $0.hasPrefix("auto_backup") }.count == 3)
        #expect(done.errors.contains("safety: within 7d, safety: last 1 of 2"), "\(done)")
        #expect(done.errors.contains("a safety backup of long ago"), "\(done)")
    }

    @Test func aBackupFromTheFutureIsKeptAndFillsNoSlot() throws {
        let app = try Self.app(2)
        try run(app, at: "2099-12-31 23:59:59", "auto")
        let plan = try app.done("prune", "--keep-last", "2", "--dry-run")
        #expect(plan.output.contains("from the future") && !plan.output.contains("to remove:"), "\(plan)")
        // A small computer that wakes up in 1970 removes nothing.
        let asleep = try ToolRun.run(
            "faketime", ["1970-01-02 00:00:00", Program.path, "prune", "--keep-last", "1", "--yes", "--app", app.path])
        #expect(asleep.status == 0)
        #expect(String(decoding: asleep.output, as: UTF8.self) == "nothing to remove\n")
        #expect(try app.backups().count == 3)
    }

    @Test func whatSomebodyNamedIsKeptUnlessAskedFor() throws {
        let app = try TestApp()
        for name in ["first", "second", "third", Self.name(1), Self.name(2)] { try app.done("create", "--name", name) }
        try app.done("prune", "--keep-last", "1", "--yes")
        try app.expectIntact(["first", "second", "third", Self.name(2)])
        try app.done("prune", "--keep-last", "2", "--include-named", "--yes")
        try app.expectIntact(["third", Self.name(2)])
    }

    @Test func backupsOfTheOriginalToolGoToo() throws {
        let app = try Self.app(2)
        for day in ["01", "02", "03"] {
            let name = "chastipi_backup_202508\(day)_101112"
            try app.tree.write("backups/\(name)/app.py", "old")
            try app.tree.write(
                "backups/\(name)/backup_metadata.json",
                """
                {"backup_name": "\(name)", "created_at": "2025-08-\(day)T10:11:12.345678", "version": "1.0",
                 "items_backed_up": ["app.py"], "excluded_items": []}
                """)
        }
        try app.done("prune", "--keep-last", "1", "--keep-daily", "3", "--yes")
        #expect(
            try app.backups() == ["chastipi_backup_20250802_101112", "chastipi_backup_20250803_101112", Self.name(2)])
        // Where there is no other, the newest of them is read as far as that goes.
        try app.done("delete", Self.name(2), "--yes")
        let last = try app.done("prune", "--keep-last", "1", "--yes", "--verbose")
        #expect(last.errors.contains("reading chastipi_backup_20250803_101112 back"), "\(last)")
        #expect(try app.backups() == ["chastipi_backup_20250803_101112"])
    }

    @Test func theConfigurationsPolicyIsUsedUnlessOptionsNameOne() throws {
        let app = try Self.app(4)
        try app.run("prune").expectError(2, "there is no policy", "--keep-last 3")
        try app.tree.write("backups/backup.yaml", "retention:\n  last: 3\n  daily: 0\n  tags: [\"a,b\"]\n")
        #expect(try app.done("config", "show").output.contains("retention (backup.yaml:2): last 3, tagged a,b"))
        #expect(try app.done("prune", "--dry-run").output.contains("policy: last 3, tagged a,b\n"))
        #expect(try app.done("prune", "--dry-run", "--keep-last", "4").output.contains("policy: last 4\n"))
        try app.done("prune", "--yes")
        try app.expectIntact((2...4).map(Self.name))
        try app.tree.write("backups/backup.yaml", "retention:\n  last: 3\n  weekl: 2\n")
        try app.run("prune").expectError(1, "backup.yaml:3:3", "did you mean 'weekly'?")
    }

    @Test(arguments: [
        (["--keep-last", "x"], "--keep-last: 'x'"), (["--keep-last=-2"], "--keep-last: '-2'"),
        (["--keep-within", "7"], "--keep-within: '7'"), (["--keep-within-hourly", "1w"], "--keep-within-hourly: '1w'"),
        (["--keep-last", "0"], "keeps nothing"), (["--keep-last"], "--keep-last"), (["--include-named"], "no policy"),
    ])
    func whatIsNoRuleIsWrongUsage(options: [String], words: String) throws {
        let app = try TestApp()
        try Program.run(["prune"] + options + ["--app", app.path]).expectError(2, words)
        #expect(try app.tree.status(entry("backups")) == nil)
    }

    @Test func whereNothingIsNothingIsMade() throws {
        let app = try TestApp()
        #expect(try app.done("prune", "--keep-last", "3", "--yes").output == "nothing to remove\n")
        #expect(try app.tree.status(entry("backups")) == nil)
        try app.done("create", "--name", Self.name(1), "--tag", "nightly")
        try app.done("create", "--name", Self.name(2))
        try app.run("prune", "--keep-tag", "nihgtly", "--yes").expectError(1, "tags", "misspelt")
        try app.expectIntact([1, 2].map(Self.name))
    }

    @Test func anotherRunHoldsTheLock() throws {
        let app = try TestApp()
        try app.tree.write(entry("data/large"), [UInt8](repeating: 7, count: 60_000_000))
        try app.done("create", "--name", Self.name(1))
        try app.done("create", "--name", Self.name(2))
        let create = try app.startHeldCreate(Self.name(3))
        try app.run("prune", "--keep-last", "1", "--yes").expectError(11, "locked", "create")
        // Who only looks does not wait.
        #expect(try app.done("prune", "--keep-last", "1", "--dry-run").output.contains("to remove: 1 of 2"))
        create.goOn()
        #expect(try create.end().status == 0)
        try app.expectIntact((1...3).map(Self.name))
    }
}
