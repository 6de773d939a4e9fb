import Foundation
import Model
import TestKit
import Testing

/// `status`: how an app stands with its backups, and what none of them covers.
@Suite struct StatusTests {
    private func run(_ app: TestApp, at time: String, _ arguments: String...) throws -> Program.Answer {
        let run = try ToolRun.run("faketime", [time, Program.path] + arguments + ["--app", app.path], in: app.path)
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    /// What stands in the line that begins with `label`; all lines if there are several.
    private func told(_ label: String, in answer: Program.Answer) -> String {
        answer.output.split(separator: "\n").filter { $0.hasPrefix(label + ":") }
            .map { $0.dropFirst(label.count + 1).drop { $0 == " " } }.joined(separator: "\n")
    }

    private func document(_ app: TestApp, _ arguments: String...) throws -> [String: Any] {
        let answer = try Program.run(["status", "--json", "--app", app.path] + arguments)
        return try #require(try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any])
    }

    // MARK: Age

    @Test func theStatusTellsWhetherTheNewestIsTooOld() throws {
        let app = try TestApp()
        #expect(try run(app, at: "2026-03-20 03:30:00", "create", "--name", "old").status == 0)
        let fresh = try run(app, at: "2026-03-21 04:30:00", "status", "--max-age", "26h")
        #expect(fresh.status == 0 && fresh.errors.isEmpty, "\(fresh)")
        #expect(
            told("newest", in: fresh).contains(/^old, 2026-03-20 03:30:0\d, 2[45] hours ago, not verified$/), "\(fresh)"
        )
        let late = try run(app, at: "2026-03-21 05:31:00", "status", "--max-age", "26h")
        #expect(late.status == 4, "\(late)")
        #expect(late.errors == "too old: old is not from the last 26h; run 'create'\n")
        #expect(try run(app, at: "2026-03-21 05:31:00", "status").status == 0)
        for age in ["1w", "2d", "1d3h", "3000m"] {
            #expect(try run(app, at: "2026-03-21 05:31:00", "status", "--max-age", age).status == 0, "\(age)")
        }
        #expect(try run(app, at: "2026-03-21 05:31:00", "status", "--max-age", "1h", "--json", "--quiet").status == 4)
    }

    @Test func withoutABackupItIsTooOld() throws {
        let app = try TestApp()
        let none = try app.run("status", "--max-age", "99w")
        #expect(none.status == 4 && none.errors == "too old: there is no complete backup; run 'create'\n", "\(none)")
        #expect(try app.run("status").status == 0)
        #expect(try app.tree.status(entry("backups")) == nil && app.tree.status(entry(".chastipi")) == nil)
    }

    @Test func onlyACompleteUndamagedBackupCounts() throws {
        let app = try TestApp()
        #expect(try run(app, at: "2026-03-20 03:30:00", "create", "--name", "old").status == 0)
        try app.tree.makeFifo(entry("data/pipe"))
        let incomplete = try run(app, at: "2026-03-21 03:30:00", "create", "--name", "incomplete")
        try app.tree.remove(entry("data/pipe"))
        #expect(try run(app, at: "2026-03-21 03:40:00", "create", "--name", "damaged").status == 0)
        try app.shell("echo x >> backups/damaged/backup_metadata.json")
        try app.tree.write("app.py", "changed")
        #expect(try run(app, at: "2026-03-21 03:50:00", "restore", "old", "--yes").status == 0)
        let status = try run(app, at: "2026-03-21 04:00:00", "status", "--max-age", "12h")
        #expect(status.status == 4, "\(incomplete) \(status)")
        #expect(told("newest", in: status).hasPrefix("old, "), "\(status)")
        #expect(told("backups", in: status).hasPrefix("4 (1 damaged, 1 incomplete, 1 before a restore), "), "\(status)")
    }

    @Test func aBackupFromTheFutureIsNotFresh() throws {
        let app = try TestApp()
        #expect(try run(app, at: "2030-01-01 00:00:00", "create", "--name", "future").status == 0)
        let status = try run(app, at: "2026-03-21 04:00:00", "status", "--max-age", "99w")
        #expect(status.status == 4 && told("newest", in: status).contains(" days in the future"), "\(status)")
        // The clock may have been put back a little.
        #expect(try run(app, at: "2029-12-31 12:00:00", "status", "--max-age", "1h").status == 0)
    }

    @Test(arguments: ["5y", "", "26", "soon", "0h"])
    func whatIsNoAgeIsWrongUsage(age: String) throws {
        try TestApp().run("status", "--max-age", age).expectError(2, "--max-age: '\(age)' is no length of time")
    }

    // MARK: Sizes

    @Test func growthIsWhatTheLastBackupsAdded() throws {
        let app = try TestApp()
        try app.shell(
            "head -c 3000000 /dev/zero | tr '\\0' x > uploads/large; touch -d 2020-01-01 uploads/large; sleep 2.1")
        for number in 1...6 {
            try app.done("create", "--name", "b\(number)")
        }
        let grown = try document(app)
        let each = try #require(grown["bytes_per_backup"] as? Int)
        #expect(each > 0 && each < 1_000_000, "the first, which is not among the last five, had it all: \(each)")
        #expect(grown["backups_sharing_one_copy"] as? Int == 6)
        let (free, fit) = try (#require(grown["free_bytes"] as? Int), #require(grown["backups_that_fit"] as? Int))
        #expect(abs(free / each - fit) <= 1)
        try app.done("create", "--name", "full", "--full")
        #expect(try document(app)["backups_sharing_one_copy"] as? Int == 6)
        #expect(try #require(document(app)["bytes_per_backup"] as? Int) > 600_000)
        // A chain is known by when all was last read, whatever is gone of it.
        try app.done("delete", "b1", "b3", "--yes")
        let status = try app.done("status")
        #expect(told("sharing", in: status).hasPrefix("one stored copy serves up to 4 backups; "), "\(status)")
        #expect(told("growth", in: status).hasSuffix(" a backup, by the last 5"), "\(status)")
    }

    @Test func aZipSharesNothing() throws {
        let app = try TestApp()
        try app.done("zip", "--name", "one")
        try app.done("zip", "--name", "two")
        let document = try document(app)
        #expect(document["backups_sharing_one_copy"] as? Int == 0)
        #expect(document["backups"] as? Int == 2 && document["bytes_per_backup"] as? Int ?? 0 > 0)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func anotherDiskIsAnotherDisk() throws {
        let app = try TestApp()
        #expect(try document(app)["same_disk"] is NSNull)
        try app.done("create", "--name", "one")
        #expect(try document(app)["same_disk"] as? Bool == true)
        try app.mount(at: "other")
        #expect(try document(app, "--backup-dir", app.path + "/other")["same_disk"] as? Bool == false)
    }

    // MARK: What is covered

    @Test func whatNoBackupCoversIsNamed() throws {
        let app = try TestApp()
        try app.tree.write("notes.txt", "covered by nothing")
        try app.tree.write("odd\n name", "x")
        try app.tree.write(".git/config", "x")
        try app.tree.write("venv/lib", "x")
        try app.tree.write("app.log", "x")
        try app.tree.makeLink(entry("static"), to: Array("/srv/elsewhere".utf8))
        try app.tree.makeLink(entry("run.py"), to: Array("app.py".utf8))
        try app.tree.makeLink(entry("more.ini"), to: Array("../\u{1b}x".utf8))
        try app.done("create", "--name", "one")
        try app.tree.write("plugins/new.py", "came since")
        let status = try app.done("status")
        let uncovered = told("not covered", in: status)
        #expect(uncovered.contains("notes.txt (18 B), by no item"), "\(status)")
        #expect(uncovered.contains("odd\\012 name (1 B)"), "\(status)")
        #expect(
            uncovered.contains("what static points to: it is a link to /srv/elsewhere, out of the app"), "\(status)")
        #expect(uncovered.contains("what more.ini points to: it is a link to ../\\033x, out of the app"), "\(status)")
        #expect(told("not saved yet", in: status) == "plugins is not in the newest backup", "\(status)")
        #expect(told("excluded", in: status).contains(".git, by '.git' (default)"), "\(status)")
        #expect(told("excluded", in: status).contains("venv, by 'venv' (default)"), "\(status)")
        for ours in ["backups", ".chastipi", "app.log", "run.py"] {
            #expect(!uncovered.contains(ours + " "), "\(status)")
        }
        let document = try document(app)
        let paths = (document["not_covered"] as? [[String: Any]] ?? []).compactMap { $0["path"] as? String }
        #expect(paths == ["notes.txt", "odd\n name"])
        let links = document["linked_items"] as? [[String: Any]] ?? []
        #expect(links.compactMap { $0["path"] as? String }.sorted() == ["more.ini", "run.py", "static"])
        #expect(links.first { $0["path"] as? String == "run.py" }?["leads_out"] as? Bool == false)
    }

    /// Nested items are no noise, and what is configured and not there is named.
    @Test func configuredItemsAreLookedUp() throws {
        let app = try TestApp()
        try app.tree.write("lib/deep/kept", "x")
        try app.tree.write(
            "backups/backup.yaml", "items: [data, data/deep, lib/deep, lib/nowhere]\nexclude: [/uploads]\n")
        let status = try app.done("status")
        #expect(told("missing", in: status) == "the app has no 'lib/nowhere'", "\(status)")
        #expect(told("excluded", in: status) == "uploads, by '/uploads' (backup.yaml:2)", "\(status)")
        #expect(!told("not covered", in: status).contains("lib"), "\(status)")
        #expect(told("not covered", in: status).contains("app.py"), "\(status)")
    }

    /// With the whole app as an item it is the entries that count.
    @Test func whatCameUnderANewConfigurationIsNotSavedYet() throws {
        let app = try TestApp()
        try app.tree.write("notes.txt", "x")
        try app.done("create", "--name", "one")
        try app.tree.write("backups/backup.yaml", "items: ['.']\nexclude: [/uploads]\n")
        try #expect(told("not saved yet", in: app.done("status")) == "notes.txt is not in the newest backup")
        try app.done("create", "--name", "two")
        try #expect(told("not saved yet", in: app.done("status")).isEmpty)
    }

    /// A small file takes up a block.
    @Test func manySmallFilesCountAsBlocks() throws {
        let app = try TestApp()
        for number in 0..<200 { try app.tree.write("data/small/\(number)", "x") }
        try app.done("create", "--name", "one")
        #expect(try #require(document(app)["bytes_per_backup"] as? Int) > 200 * 4096)
    }

    // MARK: What lies about

    @Test func whatUndoKeepsIsTold() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        #expect(try document(app)["undo_keeps"] is NSNull)
        try app.shell("head -c 100000 /dev/urandom > data/app.db")
        try app.done("restore", "one", "--skip-safety-backup")
        let kept = try #require(try document(app)["undo_keeps"] as? [String: Any])
        #expect(kept["bytes"] as? Int ?? 0 >= 100_000 && kept["since"] is String, "\(kept)")
        let status = try app.done("status")
        #expect(
            told("undo", in: status).contains(/^keeps 1\d\d kB since \d{4}-.*; 'undo --discard' gives it up$/),
            "\(status)")
        try app.done("undo", "--discard", "--yes")
        #expect(try document(app)["undo_keeps"] is NSNull)
    }

    @Test func theLastVerificationAndLeftoversAreTold() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.done("create", "--name", "two")
        #expect(try told("verified", in: app.done("status")).hasPrefix("none of them"))
        try app.done("verify", "one")
        try app.tree.write("backups/.partial-three.00112233/file", "half of it")
        try app.tree.write("backups/unknown/file", "x")
        let status = try app.done("status")
        #expect(told("verified", in: status).hasPrefix("one, 20"), "\(status)")
        #expect(told("leftover", in: status).hasPrefix(".partial-three.00112233 ("), "\(status)")
        #expect(told("not ours", in: status) == "unknown: neither metadata nor manifest", "\(status)")
        let document = try document(app)
        #expect((document["verified"] as? [String: Any])?["backup"] as? String == "one")
        #expect((document["leftovers"] as? [[String: Any]])?.count == 1)
    }

    @Test func anInterruptedRestoreIsToldAndLeftAlone() throws {
        let small = try SmallApp()
        let program = Program(in: small.tree)
        var interrupted = false
        for number in stride(from: 40, to: 400, by: 10) where !interrupted {
            let killed = try program.run("restore", "one", "--skip-safety-backup", fault: "\(number):kill")
            #expect(killed.status == 137, "\(killed)")
            let before = try TreeSnapshot(of: small.tree.directory, ignoring: [entry("backups/.state")])
            let status = try program.run("status", "--json")
            interrupted = status.output.contains("\"recovery_pending\": true")
            #expect(status.status == 0, "\(status)")
            #expect(try TreeSnapshot(of: small.tree.directory, ignoring: [entry("backups/.state")]) == before)
            if interrupted {
                let text = try program.run("status")
                #expect(
                    text.status == 0 && text.errors == "warning: a restore was interrupted: run 'recover'\n", "\(text)")
                let doctor = try program.run("doctor")
                #expect(doctor.status == 1, "\(doctor)")
                #expect(
                    doctor.output.contains(/problem +recovery +a restore was interrupted. Run 'recover'/), "\(doctor)")
            } else {
                try program.run("recover")
            }
        }
        #expect(interrupted)
    }

    @Test func nothingChanges() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one")
        try app.tree.write("backups/.partial-x/file", "half")
        // What backups occupy is remembered by whoever measures it first.
        try app.done("list")
        let before = try TreeSnapshot(of: app.tree.directory)
        for arguments in [
            ["status"], ["status", "--json"], ["status", "--max-age", "1s"], ["doctor"], ["doctor", "--json"],
        ] {
            _ = try Program.run(arguments + ["--app", app.path])
            #expect(try TreeSnapshot(of: app.tree.directory).differences(from: before).isEmpty, "\(arguments)")
        }
    }

    /// Locks are for those who change something.
    @Test func noLockIsWaitedFor() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let answer = try ToolRun.run(
            "flock", [app.path + "/backups/.state/lock", Program.path, "status", "--max-age", "1d", "--app", app.path])
        #expect(answer.status == 0)
    }
}
