import Foundation
import TestKit
import Testing

/// A process of its own that commits numbered, checksummed transactions to a database until it is stopped, and an oracle for
/// what it wrote. Both are Python's sqlite3: what an app would use.
final class DatabaseWriter {
    private let process = Process()
    private let counter: URL

    /// `writer`: its number, each with rows of its own. `journal`: the journal mode; `checkpoint`: pages after which the log
    /// is checkpointed, 0 for never; `pause`: seconds between two transactions.
    init(
        to database: String, writer: Int = 1, journal: String = "wal", checkpoint: Int = 1000, pause: Double = 0.002
    ) throws {
        counter = FileManager.default.temporaryDirectory.appending(path: "chastipi-writer-\(UUID().uuidString)")
        try Data().write(to: counter)
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [
            "python3", "-c", Self.script, database, String(writer), journal, String(checkpoint), counter.path,
            String(pause),
        ]
        process.standardInput = FileHandle.nullDevice
        try process.run()
        // It is an app that runs: its first rows are there.
        for _ in 0..<30_000 where try committed() < 5 {
            guard process.isRunning else { break }
            usleep(1000)
        }
        #expect(try committed() >= 5, "the writer does not write")
    }

    deinit {
        stop()
        try? FileManager.default.removeItem(at: counter)
    }

    /// The number of the last transaction that is known to be committed.
    func committed() throws -> Int {
        let text = try String(contentsOf: counter, encoding: .utf8)
        return text.count
    }

    func stop(_ signal: Int32 = SIGKILL) {
        guard process.isRunning else { return }
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
    }

    /// One byte goes to the counter after each commit.
    private static let script = """
        import hashlib, os, signal, sqlite3, sys, time
        path, writer, journal, checkpoint, counter, pause = sys.argv[1:]
        stopping = []
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
        done = os.open(counter, os.O_WRONLY | os.O_APPEND)
        db = sqlite3.connect(path, timeout=60, isolation_level=None)
        db.execute("PRAGMA journal_mode=" + journal)
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA wal_autocheckpoint=" + checkpoint)
        db.execute("CREATE TABLE IF NOT EXISTS t (writer, n, part, text, sum, PRIMARY KEY (writer, n, part))")
        db.execute("CREATE TABLE IF NOT EXISTS last (writer PRIMARY KEY, n)")
        n = (db.execute("SELECT max(n) FROM t WHERE writer = ?", (writer,)).fetchone()[0] or 0)
        while not stopping and n < 3000:
            time.sleep(float(pause))
            n += 1
            db.execute("BEGIN IMMEDIATE")
            for part in range(3):
                text = (f"{writer} {n} {part} " * 20)
                db.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?)",
                           (writer, n, part, text, hashlib.sha256(text.encode()).hexdigest()))
            db.execute("INSERT OR REPLACE INTO last VALUES (?, ?)", (writer, n))
            db.execute("COMMIT")
            os.write(done, b".")
        db.close()
        while not stopping: time.sleep(0.01)
        """

    /// What is in a database: the number of transactions of each writer. Throws if they are no prefix of what was
    /// committed, or if the database is damaged.
    static func read(_ database: String, writers: Int = 1) throws -> [Int] {
        let script = """
            import hashlib, sqlite3, sys
            db = sqlite3.connect(sys.argv[1])
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "integrity_check"
            for writer in range(1, int(sys.argv[2]) + 1):
                rows = db.execute("SELECT n, part, text, sum FROM t WHERE writer = ? ORDER BY n, part", (str(writer),)).fetchall()
                last = db.execute("SELECT n FROM last WHERE writer = ?", (str(writer),)).fetchone()
                count = last[0] if last else 0
                assert [(n, part) for n, part, _, _ in rows] == [(n, p) for n in range(1, count + 1) for p in range(3)], "prefix"
                assert all(hashlib.sha256(text.encode()).hexdigest() == sum for _, _, text, sum in rows), "checksum"
                print(count)
            db.close()
            """
        let run = try ToolRun.run("python3", ["-c", script, database, String(writers)])
        guard run.status == 0 else {
            throw TemporaryTree.ToolFailed(text: "\(database): \(String(decoding: run.errors, as: UTF8.self))")
        }
        return String(decoding: run.output, as: UTF8.self).split(separator: "\n").compactMap { Int($0) }
    }
}
