import Foundation
import Model
import TestKit
import Testing

/// Databases as they are found in the wild: with several names, with logs of others, with an app's own functions.
@Suite struct OddDatabaseTests {
    private static func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.remove(entry("data/app.db"))
        return app
    }

    private func python(_ app: TestApp, _ script: String, _ arguments: String...) throws {
        let run = try ToolRun.run("python3", ["-c", script] + arguments, in: app.path)
        guard run.status == 0 else {
            throw TemporaryTree.ToolFailed(text: String(decoding: run.errors, as: UTF8.self))
        }
    }

    /// How many transactions the copy of a database in a backup holds; read in a place of its own.
    private func held(_ app: TestApp, _ stored: String, logs: Bool = false) throws -> Int {
        let copy = try TemporaryTree()
        try app.shell("cp backups/\(stored)\(logs ? "*" : "") '\(copy.path)/'")
        let name = stored.split(separator: "/").last.map(String.init) ?? ""
        return try DatabaseWriter.read("\(copy.path)/\(name)")[0]
    }

    private func databases(of backup: String, _ app: TestApp) throws -> [String: [String: Any]] {
        let answer = try app.done("show", backup, "--json")
        let document = try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any]
        var found: [String: [String: Any]] = [:]
        for database in document?["databases"] as? [[String: Any]] ?? [] {
            found[database["path"] as? String ?? ""] = database
        }
        return found
    }

    // MARK: Names

    /// The log belongs to one of two names: the app opens the database by that.
    @Test(arguments: ["folder", "zip"])
    func aDatabaseWithTwoNamesIsSavedWithItsLog(format: String) throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/z.db", checkpoint: 0)
        defer { writer.stop() }
        try app.shell("ln data/z.db data/a.db")
        let before = try writer.committed()
        try app.done("create", "--name", "one", "--format", format)
        writer.stop()
        if format == "zip" { try app.shell("mkdir backups/out; unzip -q backups/one.zip -d backups/out") }
        let place = format == "zip" ? "out" : "one"
        for name in ["a.db", "z.db"] { #expect(try held(app, "\(place)/data/\(name)") >= before) }
        #expect(
            try databases(of: "one", app).mapValues { $0["copied"] as? String } == [
                "data/a.db": "online", "data/z.db": "online",
            ])
        guard format == "folder" else { return }
        try app.shell("sleep 2.1")
        try app.done("create", "--name", "two")
        let shared = try app.done("create", "--name", "three")
        #expect(shared.output.contains("6 files shared, 0 B written"), "\(shared)")
        #expect(try held(app, "three/data/a.db") == writer.committed())
        #expect(
            try app.tree.status(entry("backups/three/data/a.db"))?.identity
                == app.tree.status(entry("backups/three/data/z.db"))?.identity)
        try app.expectIntact(["one", "three", "two"])
    }

    /// Two programs that use it by different names: SQLite does not know of both, so no copy can be right.
    @Test func aDatabaseWithLogsAtTwoNamesIsSavedAsItIs() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/z.db", checkpoint: 0)
        writer.stop()
        try app.shell("ln data/z.db data/a.db; cp data/z.db-wal data/a.db-wal")
        let answer = try app.run("create", "--name", "one")
        #expect(answer.status == 3 && answer.errors.contains("a log at more than one of them"), "\(answer)")
        #expect(try databases(of: "one", app)["data/z.db"]?["copied"] as? String == "raw")
        try app.shell("for file in data/*.db data/*-wal; do cmp $file backups/one/$file; done")
    }

    /// Their names are those of companions, and they are databases.
    @Test func databasesThatAreNamedAsLogs() throws {
        let app = try Self.makeApp()
        let other = try DatabaseWriter(to: app.path + "/data/trip", journal: "delete")
        other.stop(SIGTERM)
        try app.shell("head -c 4096 /dev/zero > data/travel")
        let writers = try ["travel-journal", "trip-wal"].map {
            try DatabaseWriter(to: "\(app.path)/data/\($0)", checkpoint: 0)
        }
        defer { for writer in writers { writer.stop() } }
        let before = try writers.map { try $0.committed() }
        try app.done("create", "--name", "one")
        #expect(try held(app, "one/data/travel-journal") >= before[0])
        #expect(try held(app, "one/data/trip-wal") >= before[1])
        #expect(try held(app, "one/data/trip") == other.committed())
        #expect(try databases(of: "one", app)["data/travel-journal"]?["copied"] as? String == "online")
        try app.shell("cmp data/travel backups/one/data/travel")
    }

    // MARK: Unchanged

    /// A log that could not be read has not been saved: the next backup must not take the database for known.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func aDatabaseWhoseLogCouldNotBeRead() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: 0)
        writer.stop()
        try app.shell(
            """
            chmod 0755 . data; chmod 0644 data/app.db; chmod 0600 data/app.db-wal data/app.db-shm; chmod -R a+rX .
            chmod 0600 data/app.db-wal; install -d -o 65534 -g 65534 elsewhere; mkdir backups; sleep 2.1
            """)
        func create(_ name: String) throws -> Program.Answer {
            let run = try ToolRun.run(
                "setpriv",
                [
                    "--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "create", "--name", name,
                    "--item",
                    "data", "--backup-dir", app.path + "/elsewhere", "--app", app.path, "--yes",
                ], in: app.path)
            return .init(
                status: run.status, output: String(decoding: run.output, as: UTF8.self),
                errors: String(decoding: run.errors, as: UTF8.self))
        }
        let first = try create("one")
        #expect(first.status == 3, "\(first)")
        #expect(
            first.errors.contains("data/app.db: live database: its log cannot be read: permission denied"), "\(first)")
        try app.shell("chmod 0644 data/app.db-wal; sleep 2.1")
        let second = try create("two")
        #expect(second.status == 0, "\(second)")
        #expect(try held(app, "../elsewhere/two/data/app.db") == writer.committed())
    }

    /// An app with a database that nobody writes to, and the backup `one` of it.
    private static func makeSavedApp() throws -> TestApp {
        let app = try makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", journal: "delete")
        writer.stop(SIGTERM)
        try app.shell("sleep 2.1")
        try app.done("create", "--name", "one")
        return app
    }

    /// A database is known by what it holds, also where nothing is known any more of which files the last backup saw.
    @Test func anUnchangedDatabaseIsSharedWithoutWhatWasSeen() throws {
        let app = try Self.makeSavedApp()
        try app.shell("rm backups/.state/one.seen")
        try app.done("create", "--name", "two")
        let inodes = try ["one", "two"].map { name in
            try #require(try app.tree.status(entry("backups/\(name)/data/app.db"))).inode
        }
        #expect(inodes[0] == inodes[1])
        try app.expectIntact(["one", "two"])
    }

    /// Without what the last backup knew of its databases, none is taken for unchanged.
    @Test func aBackupThatKnewNothingOfDatabases() throws {
        let app = try Self.makeSavedApp()
        // As if it had been made by a program that knows no databases.
        let script = """
            import hashlib, json, re, sys
            folder = sys.argv[1] + "/backups/one"
            path = folder + "/backup_metadata.json"
            data = json.load(open(path))
            data["databases"] = []
            text = json.dumps(data).encode()
            open(path, "wb").write(text)
            lines = open(folder + "/MANIFEST.mtree", "rb").read().split(b"\\n")
            for n, line in enumerate(lines):
                if line.startswith(b"./backup_metadata.json "):
                    line = re.sub(rb"sha256=[0-9a-f]+", b"sha256=" + hashlib.sha256(text).hexdigest().encode(), line)
                    lines[n] = re.sub(rb"size=[0-9]+", b"size=%d" % len(text), line)
            body = b"\\n".join(lines[:-2]) + b"\\n"
            seal = hashlib.sha256(body).hexdigest()
            old = re.search(rb"# sha256 ([0-9a-f]+)", open(folder + "/MANIFEST.mtree", "rb").read()).group(1)
            open(folder + "/MANIFEST.mtree", "wb").write(body + b"# sha256 " + seal.encode() + b"\\n")
            seen = sys.argv[1] + "/backups/.state/one.seen"
            data = open(seen, "rb").read()
            print(old in data, bytes.fromhex(old.decode()) in data)
            open(seen, "wb").write(data.replace(bytes.fromhex(old.decode()), bytes.fromhex(seal)).replace(old, seal.encode()))
            """
        try python(app, script, app.path)
        try app.shell("rm -f backups/.state/one.databases")
        try app.done("create", "--name", "two")
        #expect(try databases(of: "two", app)["data/app.db"]?["copied"] as? String == "online")
        try app.expectIntact(["one", "two"])
    }

    /// What only has the names of a database and its log is shared as any file is.
    @Test func unchangedFilesThatAreNamedSoAreShared() throws {
        let app = try Self.makeApp()
        try app.shell("head -c 4096 /dev/zero > data/notes; echo more > data/notes-journal; sleep 2.1")
        try app.done("create", "--name", "one")
        let second = try app.done("create", "--name", "two")
        #expect(second.output.contains("7 files shared, 0 B written"), "\(second)")
        try app.shell("rm backups/.state/two.databases")
        let third = try app.done("create", "--name", "three")
        #expect(third.output.contains("7 files shared, 0 B written"), "\(third)")
        try app.expectIntact(["one", "three", "two"])
    }

    /// What else a database has stays with it when it is shared.
    @Test func extendedAttributesOfASharedDatabase() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: 0)
        writer.stop()
        try app.shell("setfattr -n user.note -v kept data/app.db; sleep 2.1")
        for name in ["one", "two", "three"] { try app.done("create", "--name", name) }
        try app.done("restore", "three", "--to", app.path + "/elsewhere")
        for place in ["backups/three", "elsewhere"] {
            #expect(try app.shell("getfattr --only-values -n user.note \(place)/data/app.db") == "kept")
        }
    }

    // MARK: What only the app understands

    /// Its functions and collations are the app's, and so are values that its schema forbids: no damage, and no reason to
    /// copy a database as a file.
    @Test func whatOnlyTheAppCanCheck() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        defer { writer.stop() }
        let script = """
            import sqlite3, sys
            db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
            db.create_function("shout", 1, lambda text: text.upper(), deterministic=True)
            db.create_collation("backwards", lambda a, b: (a < b) - (a > b))
            db.execute("CREATE TABLE odd (a TEXT, b TEXT CHECK (shout(b) = b), c TEXT COLLATE backwards)")
            db.execute("CREATE INDEX shouted ON odd (shout(a))")
            db.execute("CREATE INDEX turned ON odd (c)")
            db.execute("INSERT INTO odd VALUES ('a', 'B', 'c'), ('b', 'C', 'd')")
            db.execute("CREATE TABLE filled (x)")
            db.execute("INSERT INTO filled VALUES (NULL), (1)")
            db.execute("PRAGMA writable_schema = ON")
            db.execute("UPDATE sqlite_master SET sql = 'CREATE TABLE filled (x NOT NULL)' WHERE name = 'filled'")
            """
        try python(app, script, app.path + "/data/app.db")
        let before = try writer.committed()
        let answer = try app.done("create", "--name", "one")
        #expect(
            answer.errors.contains("data/app.db: saved as it is, but its check says: NULL value in filled.x"),
            "\(answer)")
        #expect(try databases(of: "one", app)["data/app.db"]?["copied"] as? String == "online")
        writer.stop()
        let verified = try app.done("verify", "one", "--deep")
        #expect(verified.output.contains("data/app.db: in the database: NULL value in filled.x"), "\(verified)")
        #expect(verified.output.contains("table odd cannot be checked without its app"), "\(verified)")
        let copy = try TemporaryTree()
        try app.shell("cp backups/one/data/app.db '\(copy.path)'")
        let count = """
            import sqlite3, sys
            db = sqlite3.connect(sys.argv[1])
            assert db.execute("SELECT count(*) FROM t NOT INDEXED").fetchone()[0] >= 3 * int(sys.argv[2])
            """
        try python(app, count, copy.path + "/app.db", String(before))
    }

    // MARK: Transactions over several databases

    /// Leaves a database in the middle of a transaction, and a journal that names `super` as the file that decides.
    private func makeHotJournal(_ app: TestApp, namedBy superJournal: String) throws {
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", journal: "delete")
        writer.stop(SIGTERM)
        let script = """
            import os, signal, sqlite3, sys
            path = sys.argv[1]
            if os.fork() == 0:
                db = sqlite3.connect(path, isolation_level=None)
                db.execute("PRAGMA cache_size=5")
                db.execute("BEGIN IMMEDIATE")
                db.execute("UPDATE t SET text = 'torn', sum = 'torn'")
                os.kill(os.getpid(), signal.SIGKILL)
            os.wait()
            name = sys.argv[2].encode()
            with open(path + "-journal", "ab") as journal:
                journal.write((0x40000000 // 4096 + 1).to_bytes(4, "big") + name + len(name).to_bytes(4, "big")
                              + sum(name).to_bytes(4, "big") + bytes.fromhex("d9d505f920a163d7"))
            """
        try python(app, script, app.path + "/data/app.db", superJournal)
    }

    /// The app sees it in another place than we do, as an app in a container does.
    @Test(arguments: ["/nowhere/data/app.db-mj0123456789", "%/data/app.db-mj0123456789"])
    func aTransactionThatWasNotCompletedIsRolledBack(superJournal: String) throws {
        let app = try Self.makeApp()
        let path = superJournal.replacing("%", with: app.path)
        try makeHotJournal(app, namedBy: path)
        // Nobody else's journal names it, so that SQLite would delete it.
        try app.tree.write("data/app.db-mj0123456789", path + "\0")
        let before = try app.snapshot()
        try app.done("create", "--name", "one")
        try app.expect(before, but: ".: time")
        #expect(try held(app, "one/data/app.db") > 0)
    }

    @Test func aTransactionThatWasCompletedStays() throws {
        let app = try Self.makeApp()
        try makeHotJournal(app, namedBy: app.path + "/data/app.db-mj0123456789")
        let before = try app.snapshot()
        let answer = try app.run("create", "--name", "one")
        try app.expect(before, but: ".: time")
        // Without the journal it is what the file holds, whole or not.
        #expect([0, 3].contains(answer.status), "\(answer)")
        try app.shell("cmp data/app.db backups/one/data/app.db")
    }

    @Test func aTransactionOfWhichNothingIsKnownIsSavedAsItIs() throws {
        let app = try Self.makeApp()
        try makeHotJournal(app, namedBy: "/nowhere/data/other.db-mj0123456789")
        let answer = try app.run("create", "--name", "one")
        #expect(answer.status == 3, "\(answer)")
        #expect(answer.errors.contains("stands in /nowhere/data/other.db-mj0123456789, which is not here"), "\(answer)")
        try app.shell("for file in data/app.db*; do cmp $file backups/one/$file; done")
    }

    /// The header is that of the new state already, and the journal that of the old.
    @Test func aHotJournalBesideADatabaseThatWasToUseALog() throws {
        let app = try Self.makeApp()
        try makeHotJournal(app, namedBy: app.path + "/data/app.db-mj0123456789")
        try app.tree.write("data/app.db-mj0123456789", "there")
        try app.shell("printf '\\002\\002' | dd of=data/app.db bs=1 seek=18 conv=notrunc 2>/dev/null")
        let before = try app.snapshot()
        try app.done("create", "--name", "one")
        try app.expect(before, but: ".: time")
        #expect(try held(app, "one/data/app.db") > 0)
    }

    // MARK: As they are

    /// A database that is cut off has no whole number of pages; one that was empty when the backup began is told by what is
    /// read then. Neither passes in silence.
    @Test(arguments: ["folder", "zip"], [5000, 9_000_001])
    func aDatabaseThatIsNotWhole(format: String, size: Int) throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/whole", journal: "delete")
        writer.stop(SIGTERM)
        try app.shell("cp data/whole data/app.db; truncate -s \(size) data/app.db")
        let answer = try app.run("create", "--name", "one", "--format", format)
        #expect(answer.status == 3, "\(answer)")
        #expect(
            answer.errors.contains("data/app.db: live database: it was none when the backup began, or is cut off"),
            "\(answer)")
        #expect(!answer.errors.contains("data/whole"), "\(answer)")
        let shown = try app.done("show", "one", "--json").output
        #expect(shown.contains(#""code": "live_database""#), "\(shown)")
        try app.done("restore", "one", "--to", app.path + "/elsewhere")
        try app.shell("cmp data/app.db elsewhere/data/app.db")
    }

    /// The log belongs to the database, whatever else is an item, and comes back with it.
    @Test(arguments: ["item", "excluded", "zip"])
    func aDatabaseThatIsSavedAsItIsHasItsLog(what: String) throws {
        let app = try Self.makeApp()
        try app.tree.write("backups/backup.yaml", "sqlite:\n  data/app.db: raw\n")
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: 0)
        writer.stop()
        switch what {
        case "item": try app.done("create", "--name", "one", "--item", "data/app.db")
        case "excluded": try app.done("create", "--name", "one", "--exclude", "*.db-wal")
        default: try app.done("create", "--name", "one", "--item", "data/app.db", "--format", "zip")
        }
        try app.expectIntact([what == "zip" ? "one.zip" : "one"])
        try app.shell("rm -f data/app.db*")
        try app.done("restore", "one", "--only", "data/app.db", "--yes")
        #expect(try DatabaseWriter.read(app.path + "/data/app.db")[0] == writer.committed())
    }

    // MARK: Nothing of the app changes

    /// What others left beside a database stays as it is: an index without a log, a version that only readers go by, owners.
    @Test(
        .enabled(if: Needs.isRoot, Needs.isRootText),
        arguments: ["lonely index", "stray log", "version for readers", "owners"])
    func theSourceStaysAsItIs(what: String) throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        defer { writer.stop() }
        switch what {
        case "lonely index":
            writer.stop(SIGTERM)
            try app.shell("head -c 32768 /dev/zero > data/app.db-shm")
        case "stray log":
            writer.stop(SIGTERM)
            try python(app, "import sqlite3; sqlite3.connect('data/app.db').execute('PRAGMA journal_mode=DELETE')")
            try app.shell("head -c 5000 /dev/urandom > data/app.db-wal")
        case "version for readers":
            writer.stop(SIGTERM)
            try app.shell("printf '\\001' | dd of=data/app.db bs=1 seek=18 conv=notrunc 2>/dev/null")
        default:
            writer.stop()
            try app.shell("chown 1234:1234 data/app.db-wal data/app.db-shm; chown 4321:4321 data/app.db")
        }
        let before = try app.snapshot()
        for name in ["one", "two"] {
            try app.done("create", "--name", name)
            try app.expect(before, but: ".: time")
            #expect(try held(app, "\(name)/data/app.db") >= writer.committed())
        }
    }

    // MARK: Nobody waits

    @Test func aLogThatIsAFifo() throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", journal: "delete")
        writer.stop(SIGTERM)
        try app.shell("mkfifo data/app.db-journal")
        let run = try ToolRun.run(
            "timeout", ["-s", "KILL", "60", Program.path, "create", "--name", "one", "--app", app.path])
        let errors = String(decoding: run.errors, as: UTF8.self)
        #expect(run.status == 3, "\(errors)")
        #expect(errors.contains("data/app.db: live database: app.db-journal is no regular file"), "\(errors)")
        #expect(try held(app, "one/data/app.db") == writer.committed())
    }

    /// Whoever waits behind a writer hears a signal at once, and not after the 10 seconds that he would wait.
    @Test(arguments: ["wal", "delete"])
    func aSignalWhileADatabaseIsLocked(journal: String) throws {
        let app = try Self.makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", journal: journal)
        writer.stop(SIGTERM)
        let script = """
            import sqlite3, subprocess, sys, time
            db = sqlite3.connect(sys.argv[2] + "/data/app.db", isolation_level=None)
            db.execute("PRAGMA locking_mode = EXCLUSIVE")
            db.execute("BEGIN EXCLUSIVE")
            db.execute("DELETE FROM t")
            run = subprocess.Popen([sys.argv[1], "create", "--app", sys.argv[2]])
            time.sleep(1.5)
            assert run.poll() is None, "it did not wait"
            began = time.monotonic()
            run.terminate()
            assert run.wait(60) == 143, run.returncode
            assert time.monotonic() - began < 8, "it waited"
            """
        try python(app, script, Program.path, app.path)
        #expect(try app.backups() == [])
    }
}
