import Foundation
import Model
import TestKit
import Testing

/// Everything works for the app's owner, who is not root.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct NotRootTests {
    /// An app of user 65534, with directories and files that he may only read, and its backup `one`.
    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.write("data/locked/inner/file", "in a directory that may not be written")
        try app.tree.write("data/locked/other", "other")
        try app.tree.write("data/private/file", "private")
        try app.tree.write("data/readonly", "a file that may only be read")
        try app.tree.makeHardLink(entry("data/second name"), to: entry("data/readonly"))
        try app.tree.makeLink(entry("static/link"), to: Array("nowhere".utf8))
        try app.shell(
            """
            setfattr -n user.note -v kept data/app.db
            chown -hR 65534:65534 .
            chmod 0440 data/readonly; chmod 0400 data/private/file
            touch -d '2021-02-03 04:05:06.123456789Z' data/locked/inner/file data/readonly app.py data/locked/other
            touch -h -d '2021-02-03 04:05:06.987654321Z' static/link
            touch -d '2020-01-01 00:00:00.5Z' data/locked/inner data/locked data/private data templates
            chmod 0555 data/locked/inner data/locked; chmod 0500 data/private
            """)
        let made = try run(["create", "--name", "one"], in: app)
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        return app
    }

    private func run(
        _ arguments: [String], in app: TestApp, environment: [String: String] = [:]
    ) throws -> Program.Answer {
        let run = try ToolRun.run(
            "setpriv",
            ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path] + arguments + ["--app", app.path],
            in: app.path, environment: environment)
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    private func change(_ app: TestApp) throws {
        try app.shell(
            """
            rm -rf data/locked/inner; echo new > data/locked/other; echo more > data/locked/more
            chmod 0700 data/private; echo changed > data/private/new
            rm data/readonly; echo changed > data/readonly; chmod 0444 data/readonly
            mkdir data/fresh; echo x > data/fresh/x; chmod 0555 data/fresh
            echo changed > app.py; rm -rf templates; rm static/link
            chown -hR 65534:65534 .; chmod 0555 data/locked
            """)
    }

    /// The app is owned by the user, and the program may not be hidden from him.
    @Test func aRestoreAndItsUndoAreExactBothWays() throws {
        let app = try makeApp()
        let saved = try app.snapshot()
        try change(app)
        let old = try app.snapshot()
        let restored = try run(["restore", "one"], in: app)
        #expect(restored.status == 0, "\(restored)")
        try app.expect(saved, but: ".: time")
        for _ in 1...2 {
            let undone = try run(["undo"], in: app)
            #expect(undone.status == 0, "\(undone)")
            try app.expect(old, but: ".: time")
            let redone = try run(["undo"], in: app)
            #expect(redone.status == 0, "\(redone)")
            try app.expect(saved, but: ".: time")
        }
        let discarded = try run(["undo", "--discard", "--yes"], in: app)
        #expect(discarded.status == 0, "\(discarded)")
        try app.expect(saved, but: ".: time")
        let verified = try run(["verify", "--all"], in: app)
        #expect(verified.status == 0, "\(verified)")
        for name in try app.backups() {
            let deleted = try run(["delete", name, "--yes"], in: app)
            #expect(deleted.status == 0, "\(deleted)")
        }
        #expect(try app.backups().isEmpty)
    }

    @Test func aRestoreElsewhereIsExact() throws {
        let app = try makeApp()
        let saved = try app.snapshot()
        let place = try TemporaryTree()
        #expect(try ToolRun.run("chmod", ["777", place.path]).status == 0)
        let restored = try run(["restore", "one", "--to", place.path + "/copy"], in: app)
        #expect(restored.status == 0, "\(restored)")
        let copy = try TreeSnapshot(of: place.directory.directory(at: entry("copy")))
        #expect(saved.differences(from: copy).filter { !$0.hasPrefix(".: ") } == [])
    }

    @Test func aKillAtAnyCallEndsInTheOldOrTheNewTree() throws {
        let app = try makeApp()
        let saved = try app.snapshot()
        try change(app)
        let old = try app.snapshot()
        var ends: Set<Bool> = []
        for number in 1...1000 {
            let answer = try run(
                ["restore", "one", "--skip-safety-backup"], in: app,
                environment: ["CHASTIPI_FAULT": "\(number):kill"])
            if answer.status == 0 { break }
            #expect(answer.status == 137, "call \(number): \(answer)")
            let recovered = try run(["recover"], in: app)
            #expect(recovered.status == 0, "call \(number): \(recovered)")
            let isNew = try app.tree.read("app.py") == "the app"
            ends.insert(isNew)
            try app.expect(isNew ? saved : old, but: ".: time")
            guard isNew else { continue }
            let undone = try run(["undo"], in: app)
            #expect(undone.status == 0, "call \(number): \(undone)")
            try app.expect(old, but: ".: time")
        }
        #expect(ends.count == 2)
    }

    /// Where the user may not write he is told so, and nothing changes.
    @Test func somebodyElsesAppIsNotChanged() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        let before = try app.snapshot()
        for verb in [["create"], ["restore", "one"], ["undo"], ["delete", "one", "--yes"]] {
            let answer = try run(verb, in: app)
            #expect(answer.status != 0 && answer.status < 20, "\(answer)")
            answer.expectError(answer.status)
        }
        try app.expect(before)
        try app.expectIntact(["one"])
    }

    /// A directory of root in which everyone may write, as services make them.
    private func makeShared(mode: String) throws -> TestApp {
        let app = try TestApp()
        try app.shell(
            "touch -d 2020-01-01 data; chown -hR 65534:65534 .; chown 0:0 data data/app.db; chmod \(mode) data")
        let made = try run(["create", "--name", "one"], in: app)
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        return app
    }

    @Test func directoriesOfOthersAreRestoredAsFarAsTheyMayBe() throws {
        let app = try makeShared(mode: "0777")
        try app.shell("rm data/app.db; echo changed > data/app.db; chown 65534 data/app.db")
        let restored = try run(["restore", "one"], in: app)
        #expect(restored.status == 3, "\(restored)")
        let told = restored.errors.split(separator: "\n").filter { $0.contains("only its owner may set") }
        #expect(told == ["not kept: data: only its owner may set its attributes"], "\(restored)")
        #expect(restored.errors.contains("not kept: data/app.db: owner 0:0"), "\(restored)")
        #expect(try app.tree.read("data/app.db") == "database")
        let recovered = try run(["recover"], in: app)
        #expect(recovered.status == 0 && recovered.output == "nothing to do\n", "\(recovered)")
        let undone = try run(["undo"], in: app)
        #expect(undone.status == 3, "\(undone)")
        #expect(try app.tree.read("data/app.db") == "changed\n")
    }

    @Test(arguments: [
        ("0755", "entries of data cannot be changed: permission denied"),
        ("1777", "data/app.db cannot be moved: it belongs to someone else, and its directory is sticky"),
    ])
    func whatCannotBeChangedIsRefusedBeforeAnythingBegins(mode: String, reason: String) throws {
        let app = try makeShared(mode: mode)
        try app.shell("echo changed > data/app.db; echo changed > app.py")
        let before = try app.snapshot()
        for arguments in [["restore", "one"], ["restore", "one", "--dry-run"]] {
            try run(arguments, in: app).expectError(1, reason, "Nothing was changed")
        }
        try app.expect(before)
        try app.expectIntact(["one"])
        let restored = try run(["restore", "one", "--only", "app.py"], in: app)
        #expect(restored.status == 0, "\(restored)")
    }

    /// A set-id bit comes back with the owner that it was set for, or not at all.
    @Test func setIDBitsComeBackWhereTheyMay() throws {
        let app = try TestApp()
        try app.shell(
            "chown -hR 65534:65534 .; chmod 2775 data/deep; chmod 6755 app.py; chown :7 uploads; chmod 2770 uploads")
        #expect(try run(["create", "--name", "one"], in: app).status == 0)
        let same = try run(["restore", "one"], in: app)
        #expect(same.status == 0 && same.output == "nothing to do\n", "\(same)")
        try app.shell("rm -rf data/deep app.py uploads")
        let restored = try run(["restore", "one"], in: app)
        #expect(restored.status == 3, "\(restored)")
        #expect(try app.tree.status(entry("data/deep"))?.mode == 0o2775)
        #expect(try app.tree.status(entry("app.py"))?.mode == 0o6755)
        #expect(try app.tree.status(entry("uploads"))?.mode == 0o770)
        #expect(restored.errors.contains("not kept: uploads: owner 65534:7"), "\(restored)")
        #expect(restored.errors.contains("not kept: uploads: set-id bits of mode 2770"), "\(restored)")
        // What cannot be had is no reason to begin again and again.
        let again = try run(["restore", "one"], in: app)
        #expect(again.output == "nothing to do\n", "\(again)")
    }

    /// Someone who may only look is not stopped by what restores keep.
    @Test func whoMayOnlyLookMayLook() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one")
        try app.shell("chmod -R a+rX app.py config.json data templates uploads backups")
        for verb in [["list"], ["show", "one"], ["verify", "one"], ["restore", "one", "--dry-run"]] {
            let answer = try run(verb, in: app)
            #expect(answer.status == 0, "\(verb): \(answer)")
        }
    }

    /// What cannot be read is not empty.
    @Test func anUnreadablePartOfAnOriginalsBackupIsDamageAndRemovesNothing() throws {
        let app = try TestApp()
        try app.tree.write(
            "backups/old/backup_metadata.json",
            """
            {"backup_name": "old", "created_at": "2025-08-01T10:11:12.345678", "version": "1.0",
             "items_backed_up": ["app.py", "data"], "excluded_items": ["__pycache__", "*.pyc", "venv"]}
            """)
        try app.tree.write("backups/old/app.py", "original")
        try app.tree.write("backups/old/data/deep/one", "original")
        try app.shell("chown -hR 65534:65534 .; chown 0:0 backups/old/data/deep; chmod 700 backups/old/data/deep")
        let before = try app.snapshot()
        for more in [[], ["--delete-extra"], ["--to", app.path + "/elsewhere"]] {
            try run(["restore", "old", "--skip-safety-backup"] + more, in: app)
                .expectError(20, "data/deep cannot be read: permission denied")
        }
        try app.expect(before)
        let verified = try run(["verify", "old"], in: app)
        #expect(verified.status == 20, "\(verified)")
    }

    /// What only root may set is told once, and is no reason to restore again and again.
    @Test func capabilitiesAreNotKeptAndNotComparedEither() throws {
        let app = try TestApp()
        try app.shell("setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 app.py")
        try app.done("create", "--name", "one")
        try app.shell("chown -hR 65534:65534 .; rm app.py; setfattr -x security.capability app.py 2>/dev/null || true")
        let restored = try run(["restore", "one"], in: app)
        #expect(restored.status == 3, "\(restored)")
        #expect(restored.errors.contains("not kept: app.py: security.capability"), "\(restored)")
        let again = try run(["restore", "one"], in: app)
        #expect(again.output == "nothing to do\n", "\(again)")
    }
}
