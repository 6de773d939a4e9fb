import Foundation
import Model
import TestKit
import Testing

/// What happens to a database while it is copied: it is replaced, rewritten, deleted. What a backup holds is one of the states
/// that the database had, or the backup says that it is not.
@Suite struct ChangingDatabaseTests {
    /// Does the same to `data/app.db` again and again. Every state of the database holds rows with one number only.
    private static let script = """
        import os, sqlite3, sys, time
        folder, what = sys.argv[1:]
        path = folder + "/data/app.db"
        def fill(path, number):
            db = sqlite3.connect(path, isolation_level=None, timeout=60)
            db.execute("PRAGMA journal_mode=" + ("wal" if what == "vacuumed" else "delete"))
            db.execute("CREATE TABLE IF NOT EXISTS t (n, text)")
            db.execute("BEGIN")
            db.execute("DELETE FROM t")
            db.executemany("INSERT INTO t VALUES (?, ?)", [(number, "x" * 1000)] * (500 + number % 7 * 300))
            db.execute("COMMIT")
            return db
        fill(path, 0).close()
        open(folder + "/uploads/ready", "w").close()
        end = time.monotonic() + 120
        number = 0
        while time.monotonic() < end:
            number += 1
            if what == "replaced":
                fill(folder + "/uploads/next", number).close()
                os.rename(folder + "/uploads/next", path)
            elif what == "vacuumed":
                db = fill(path, number)
                db.execute("VACUUM")
                db.close()
            else:
                for name in (path, path + "-journal"):
                    if os.path.exists(name): os.unlink(name)
                time.sleep(0.003)
                fill(path, number).close()
                time.sleep(0.003)
        """

    /// One line: whether the database is whole, and how many distinct numbers it holds. A new one has no table yet.
    private static let check = """
        import sqlite3, sys
        db = sqlite3.connect(sys.argv[1])
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        count = db.execute("SELECT count(DISTINCT n) FROM t").fetchone()[0] if tables else 0
        print(db.execute("PRAGMA integrity_check").fetchone()[0], count)
        """

    @Test(arguments: ["replaced", "vacuumed", "deleted"])
    func aDatabaseThatIsNotLeftAlone(what: String) throws {
        let app = try TestApp()
        try app.tree.remove(entry("data/app.db"))
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", Self.script, app.path, what]
        try process.run()
        defer {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        while try app.tree.status(entry("uploads/ready")) == nil { usleep(1000) }
        var whole = 0
        for number in 1...12 {
            let answer = try app.run("create", "--name", "b\(number)", "--item", "data")
            #expect([0, 3].contains(answer.status), "\(answer)")
            let stored = app.path + "/backups/b\(number)/data/app.db"
            guard answer.status == 0 else {
                // Whatever it is: it is named.
                #expect(answer.errors.contains("data/app.db"), "\(answer)")
                continue
            }
            guard FileManager.default.fileExists(atPath: stored) else {
                // The walk came when there was none.
                #expect(what == "deleted", "\(answer)")
                continue
            }
            let copy = try TemporaryTree()
            #expect(try ToolRun.run("cp", [stored, copy.path + "/app.db"]).status == 0)
            let found = try ToolRun.run("python3", ["-c", Self.check, copy.path + "/app.db"])
            // One that has just been made anew has no rows yet.
            let states = what == "deleted" ? ["ok 1\n", "ok 0\n"] : ["ok 1\n"]
            let state = String(decoding: found.output, as: UTF8.self)
            #expect(states.contains(state), "\(what), backup \(number): \(state)")
            whole += 1
        }
        #expect(what == "deleted" || whole > 0)
        let verified = try app.run("verify", "--all")
        #expect(verified.status == 0, "\(verified)")
    }

    /// The app's directory may be one that we can only read, and the database in use there.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText), arguments: ["wal", "delete"])
    func aDirectoryThatMayOnlyBeRead(journal: String) throws {
        let app = try TestApp()
        try app.tree.remove(entry("data/app.db"))
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", journal: journal)
        try app.shell(
            "chmod 0755 . data; chmod 0644 data/app.db*; chmod -R a+rX .; install -d -o 65534 -g 65534 elsewhere")
        let before = try writer.committed()
        let run = try ToolRun.run(
            "setpriv",
            [
                "--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "create", "--name", "one", "--item",
                "data", "--backup-dir", app.path + "/elsewhere", "--app", app.path,
            ], in: app.path)
        #expect(run.status == 0, "\(String(decoding: run.errors, as: UTF8.self))")
        let copy = try TemporaryTree()
        #expect(try ToolRun.run("cp", [app.path + "/elsewhere/one/data/app.db", copy.path]).status == 0)
        #expect(try DatabaseWriter.read(copy.path + "/app.db")[0] >= before)
    }
}

@Suite(.serialized, .enabled(if: runsLongTests, "make test-long runs it"))
struct LiveDatabaseLongTests {
    /// 200 backups while the app goes on, each of them read.
    @Test(arguments: [
        LiveDatabaseTests.Case(journal: "wal", checkpoint: 20, writers: 2),
        LiveDatabaseTests.Case(journal: "delete", checkpoint: 0, writers: 1),
    ])
    func twoHundredBackups(_ this: LiveDatabaseTests.Case) throws {
        try LiveDatabaseTests.back(this, up: 200)
    }

    /// Memory does not grow with the database.
    @Test func aDatabaseOfAGigabyte() throws {
        let app = try TestApp()
        let script = """
            import sqlite3, sys
            db = sqlite3.connect(sys.argv[1], isolation_level=None)
            db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; CREATE TABLE big (x)")
            for _ in range(250):
                db.execute("INSERT INTO big WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 4) "
                           "SELECT zeroblob(1048576) FROM c")
            db.close()
            """
        try app.tree.remove(entry("data/app.db"))
        let path = app.path + "/data/app.db"
        #expect(try ToolRun.run("python3", ["-c", script, path]).status == 0)
        let writer = try DatabaseWriter(to: path, pause: 0.02)
        let before = try writer.committed()
        let measured = try ToolRun.run(
            "python3",
            [
                "-c",
                """
                import resource, subprocess, sys
                status = subprocess.run(sys.argv[1:]).returncode
                print("memory", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
                sys.exit(status)
                """, Program.path, "create", "--name", "one", "--app", app.path,
            ])
        writer.stop()
        let output = String(decoding: measured.output, as: UTF8.self)
        #expect(measured.status == 0, "\(output) \(String(decoding: measured.errors, as: UTF8.self))")
        let megabytes = try #require(
            output.split(separator: " ").last.flatMap { Int($0.trimmingCharacters(in: .newlines)) })
        #expect(megabytes < 100, "\(megabytes) MB")
        let copy = try TemporaryTree()
        #expect(try ToolRun.run("ln", [app.path + "/backups/one/data/app.db", copy.path + "/app.db"]).status == 0)
        #expect(try DatabaseWriter.read(copy.path + "/app.db")[0] >= before)
    }
}
