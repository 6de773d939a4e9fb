import Foundation
import Model
import TestKit
import Testing

/// Databases are saved while the app writes, and the app's directory is left as it was.
@Suite struct LiveDatabaseTests {
    private static func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.remove(entry("data/app.db"))
        return app
    }

    private func sql(_ app: TestApp, _ statements: String, in database: String = "data/app.db") throws {
        let script =
            "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.executescript(sys.argv[2]); "
        let run = try ToolRun.run("python3", ["-c", script + "db.close()", "\(app.path)/\(database)", statements])
        #expect(run.status == 0, "\(String(decoding: run.errors, as: UTF8.self))")
    }

    private func databases(of backup: String, _ app: TestApp) throws -> [[String: Any]] {
        let answer = try app.done("show", backup, "--json")
        let document = try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any]
        return document?["databases"] as? [[String: Any]] ?? []
    }

    struct Case: CustomStringConvertible {
        let journal: String
        let checkpoint: Int
        let writers: Int

        var description: String { "\(journal), checkpoint after \(checkpoint), \(writers) writers" }
    }

    static let cases = [
        Case(journal: "wal", checkpoint: 1000, writers: 1), Case(journal: "wal", checkpoint: 5, writers: 2),
        Case(journal: "wal", checkpoint: 0, writers: 1), Case(journal: "delete", checkpoint: 0, writers: 2),
        Case(journal: "truncate", checkpoint: 0, writers: 1), Case(journal: "persist", checkpoint: 0, writers: 1),
    ]

    /// Every backup holds exactly the transactions up to some moment, and all that were committed when it began.
    @Test(arguments: cases)
    func aBackupWhileAnAppWritesHoldsAPrefix(_ this: Case) throws {
        try Self.back(this, up: 6)
    }

    /// Makes so many backups while writers write, and reads the database of each.
    static func back(_ this: Case, up count: Int) throws {
        let app = try Self.makeApp()
        let path = app.path + "/data/app.db"
        let writers = try (1...this.writers).map {
            try DatabaseWriter(
                to: path, writer: $0, journal: this.journal, checkpoint: this.checkpoint,
                pause: count > 50 ? 0.02 : 0.002)
        }
        for number in 1...count {
            let before = try writers.map { try $0.committed() }
            try app.done("create", "--name", "b\(number)")
            let stored = "\(app.path)/backups/b\(number)/data"
            #expect(try FileManager.default.contentsOfDirectory(atPath: stored).sorted() == ["app.db", "deep"])
            let copy = try TemporaryTree()
            #expect(try ToolRun.run("cp", ["\(stored)/app.db", copy.path + "/app.db"]).status == 0)
            let held = try DatabaseWriter.read(copy.path + "/app.db", writers: this.writers)
            for (held, before) in zip(held, before) { #expect(held >= before, "\(this), backup \(number)") }
        }
        let verified = try app.run("verify", "--all")
        #expect(verified.status == 0, "\(verified)")
        for writer in writers { writer.stop() }
    }

    /// An app that nobody uses is, name for name and byte for byte, the same after a backup: at rest, and as a crash left it.
    @Test(arguments: ["rest", "rest, rollback", "crash", "crash without index", "hot journal"])
    func theSourceIsNeverChanged(state: String) throws {
        let app = try Self.makeApp()
        let path = app.path + "/data/app.db"
        let isWAL = !["rest, rollback", "hot journal"].contains(state)
        let writer = try DatabaseWriter(to: path, journal: isWAL ? "wal" : "delete")
        if state == "hot journal" {
            // Killed in the middle of a transaction that had begun to write: the cache is too small for it.
            writer.stop(SIGTERM)
            let script = """
                import os, signal, sqlite3, sys
                db = sqlite3.connect(sys.argv[1], isolation_level=None)
                db.execute("PRAGMA cache_size=5")
                db.execute("BEGIN IMMEDIATE")
                db.execute("UPDATE t SET text = 'torn', sum = 'torn'")
                os.kill(os.getpid(), signal.SIGKILL)
                """
            #expect(try ToolRun.run("python3", ["-c", script, path]).status == 128 + SIGKILL)
            #expect(try app.tree.status(entry("data/app.db-journal")) != nil)
        } else {
            writer.stop(state.hasPrefix("rest") ? SIGTERM : SIGKILL)
        }
        let committed = try writer.committed()
        if state == "crash without index" { try app.tree.remove(entry("data/app.db-shm")) }
        let before = try app.snapshot()
        for name in ["one", "two"] {
            try app.done("create", "--name", name)
            try app.expect(before, but: ".: time")
            let copy = try TemporaryTree()
            #expect(try ToolRun.run("cp", ["\(app.path)/backups/\(name)/data/app.db", copy.path]).status == 0)
            #expect(try DatabaseWriter.read(copy.path + "/app.db")[0] >= committed)
        }
        try app.done("restore", "one", "--to", app.path + "/elsewhere")
        #expect(try DatabaseWriter.read(app.path + "/elsewhere/data/app.db")[0] >= committed)
        #expect(try databases(of: "one", app).first?["journal_mode"] as? String == (isWAL ? "wal" : "rollback"))
    }

    /// Decided from the database and its log together.
    @Test func anUnchangedDatabaseIsSharedAndAChangedLogIsSeen() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        writer.stop()
        try app.shell("touch -d '1 hour ago' data/*; sleep 2.1")
        try app.done("create", "--name", "one")
        let shared = try app.done("create", "--name", "two")
        #expect(shared.output.contains("6 files shared, 0 B written"), "\(shared)")
        // A transaction that goes to the log alone.
        let more = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: 0)
        more.stop()
        try app.done("create", "--name", "three")
        let copy = try TemporaryTree()
        #expect(try ToolRun.run("cp", ["\(app.path)/backups/three/data/app.db", copy.path]).status == 0)
        let held = try DatabaseWriter.read(copy.path + "/app.db")[0]
        #expect(try held >= writer.committed() + more.committed())
        try app.expectIntact(["one", "two", "three"])
    }

    /// What cannot be copied by SQLite is saved as it is, with its log, and named.
    @Test(arguments: ["no database", "encrypted", "newer", "damaged", "locked", "raw"])
    func whatCannotBeCopiedIsSavedAsItIs(kind: String) throws {
        let app = try Self.makeApp()
        try sql(app, "PRAGMA journal_mode=DELETE; CREATE TABLE t (x); INSERT INTO t VALUES (randomblob(100000));")
        var status: Int32 = 3
        var reason = "data/app.db: live database: "
        var locker: Process?
        switch kind {
        case "no database":
            try app.shell(
                "(printf 'SQLite format 3\\0'; head -c 4080 /dev/zero) > data/app.db; echo log > data/app.db-wal")
        case "encrypted":
            // What SQLCipher leaves: pages without a header, and a log with one.
            try app.shell(
                "head -c 8192 /dev/urandom > data/app.db; (printf '7\\177\\006\\202'; head -c 4124 /dev/urandom) > data/app.db-wal"
            )
            reason += "it is encrypted"
        case "newer":
            try app.shell("printf '\\003\\003' | dd of=data/app.db bs=1 seek=18 conv=notrunc 2>/dev/null")
            reason += "it is of a newer format"
        case "damaged":
            try app.shell("printf garbage | dd of=data/app.db bs=1 seek=4200 conv=notrunc 2>/dev/null")
            try app.shell("dd if=/dev/urandom of=data/app.db bs=1 seek=4096 count=4096 conv=notrunc 2>/dev/null")
        case "locked":
            let process = Process()
            process.executableURL = URL(filePath: "/usr/bin/env")
            let script = """
                import sqlite3, sys, time
                db = sqlite3.connect(sys.argv[1])
                db.execute("BEGIN EXCLUSIVE")
                open(sys.argv[2], "w").close()
                time.sleep(60)
                """
            process.arguments = ["python3", "-c", script, app.path + "/data/app.db", app.path + "/uploads/locked"]
            try process.run()
            locker = process
            while try app.tree.status(entry("uploads/locked")) == nil { usleep(1000) }
            reason += "a writer has locked it for 10 s"
        default:
            try app.tree.write("backups/backup.yaml", "sqlite:\n  data/app.db: raw\n")
            status = 0
        }
        let before = try app.snapshot()
        let answer = try app.run("create", "--name", "one")
        locker?.terminate()
        #expect(answer.status == status, "\(answer)")
        if status == 3 {
            #expect(answer.errors.contains(reason), "\(answer)")
            let shown = try app.done("show", "one", "--json").output
            #expect(shown.contains(#""code": "live_database""#), "\(shown)")
            #expect(try app.tree.read("backups/one/backup_metadata.json").contains(#""code": "live_database""#))
        }
        #expect(try databases(of: "one", app).first?["copied"] as? String == "raw")
        try app.expect(before, but: ".: time")
        let stored = try TreeSnapshot(of: app.tree.directory.directory(at: entry("backups/one/data")))
        let live = try TreeSnapshot(of: app.tree.directory.directory(at: entry("data")))
        #expect(live.differences(from: stored).filter { !$0.hasPrefix(".: time") } == [])
    }

    @Test func oddNamesLinksAndLonelyLogsAreNoProblem() throws {
        let app = try Self.makeApp()
        try app.shell("mkdir -p 'data/odd %3f#?name' data/locked")
        for name in ["data/odd %3f#?name/a b%?#.db", "data/plain.txt", "data/locked/x.db"] {
            try sql(app, "CREATE TABLE t (x); INSERT INTO t VALUES (1);", in: name)
        }
        try app.shell(
            """
            ln -s plain.txt data/link.db; echo alone > data/gone.db-wal; head -c 512 /dev/zero > data/zeros
            chmod 0555 data/locked
            """)
        try app.done("create", "--name", "one")
        let found = try databases(of: "one", app).compactMap { $0["path"] as? String }
        #expect(found == ["data/locked/x.db", "data/odd %3f#?name/a b%?#.db", "data/plain.txt"])
        #expect(try app.tree.read("backups/one/data/gone.db-wal") == "alone\n")
        #expect(try app.tree.status(entry("backups/one/data/link.db"))?.kind == .link)
        try app.expectIntact(["one"])
    }

    /// Whoever is killed, and in whatever order: the app's database and all backups are whole.
    @Test func killsOfWriterAndBackupHarmNeither() throws {
        let app = try Self.makeApp()
        let path = app.path + "/data/app.db"
        var total = 0
        for number in 1...(runsLongTests ? 60 : 12) {
            let writer = try DatabaseWriter(to: path, checkpoint: number % 2 == 0 ? 5 : 1000)
            let answer = try app.run(
                "create", "--name", "b\(number)", environment: ["CHASTIPI_FAULT": "\(number * 3):kill"])
            #expect([0, 137].contains(answer.status), "\(answer)")
            writer.stop()
            total += try writer.committed()
            try app.done("create", "--name", "after\(number)")
            let copy = try TemporaryTree()
            #expect(try ToolRun.run("cp", ["\(app.path)/backups/after\(number)/data/app.db", copy.path]).status == 0)
            #expect(try DatabaseWriter.read(copy.path + "/app.db")[0] >= total)
        }
        #expect(try DatabaseWriter.read(path)[0] >= total)
        let verified = try app.run("verify", "--all")
        #expect(verified.status == 0, "\(verified)")
        #expect(try app.backups().allSatisfy { !$0.hasPrefix(".partial-") })
    }

    /// Every byte may be right and the database of no use all the same: only SQLite can tell.
    @Test func aDeepVerificationOpensTheDatabases() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        writer.stop()
        try app.done("create", "--name", "one")
        let scratch = try TemporaryTree()
        let before = try TreeSnapshot(of: app.tree.directory.directory(at: entry("backups/one")))
        try app.done("verify", "one", "--deep", environment: ["TMPDIR": scratch.path])
        #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.path).isEmpty)
        #expect(try TreeSnapshot(of: app.tree.directory.directory(at: entry("backups/one"))) == before)
        // Damaged, and the manifest written anew as if that had been backed up.
        let script = """
            import hashlib, re, sys
            folder = sys.argv[1]
            path = folder + "/data/app.db"
            data = bytearray(open(path, "rb").read())
            data[4096:8192] = bytes(4096)
            open(path, "wb").write(data)
            lines = open(folder + "/MANIFEST.mtree", "rb").read().split(b"\\n")
            sha = hashlib.sha256(data).hexdigest().encode()
            for n, line in enumerate(lines):
                if line.startswith(b"./data/app.db "):
                    lines[n] = re.sub(rb"sha256=[0-9a-f]+", b"sha256=" + sha, line)
            body = b"\\n".join(lines[:-2]) + b"\\n"
            open(folder + "/MANIFEST.mtree", "wb").write(body + b"# sha256 " + hashlib.sha256(body).hexdigest().encode() + b"\\n")
            """
        #expect(try ToolRun.run("python3", ["-c", script, app.path + "/backups/one"]).status == 0)
        #expect(try app.run("verify", "one").status == 0)
        let deep = try app.run("verify", "one", "--deep")
        #expect(deep.status == 20 && deep.output.contains("data/app.db: the database fails its check"), "\(deep)")
    }
}
