import Foundation
import Model
import TestKit
import Testing

/// A log of another state never stands beside a restored database, and nobody has open what is replaced.
@Suite struct DatabaseRestoreTests {
    private func write(_ app: TestApp, checkpoint: Int = 1000, then signal: Int32 = SIGKILL) throws -> Int {
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: checkpoint)
        writer.stop(signal)
        return try writer.committed()
    }

    /// Reading takes the log over, so it is done in a copy.
    private func count(_ app: TestApp) throws -> Int {
        let copy = try TemporaryTree()
        #expect(try ToolRun.run("sh", ["-c", "cp '\(app.path)'/data/app.db* '\(copy.path)'"]).status == 0)
        return try DatabaseWriter.read(copy.path + "/app.db")[0]
    }

    private func names(_ app: TestApp) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: app.path + "/data").filter { $0.hasPrefix("app.db") }
            .sorted()
    }

    private func makeApp() throws -> (app: TestApp, saved: Int) {
        let app = try TestApp()
        try app.tree.remove(entry("data/app.db"))
        _ = try write(app)
        try app.done("create", "--name", "one")
        return (app, try count(app))
    }

    @Test(arguments: [[], ["--only", "data/app.db"]], [true, false])
    func theLogOfALaterStateGoesWithItAndComesBack(only: [String], isExcluded: Bool) throws {
        let (app, saved) = try makeApp()
        if isExcluded { try app.tree.write(".backupignore", "*.db-wal\n*.db-shm\n") }
        _ = try write(app, checkpoint: 0)
        let later = try count(app)
        #expect(later > saved)
        #expect(try names(app) == ["app.db", "app.db-shm", "app.db-wal"])
        let restored = try Program.run(["restore", "one", "--skip-safety-backup", "--app", app.path] + only)
        #expect(restored.status == 0, "\(restored)")
        #expect(try names(app) == ["app.db"])
        #expect(try count(app) == saved)
        try app.done("undo")
        #expect(try names(app) == ["app.db", "app.db-shm", "app.db-wal"])
        #expect(try count(app) == later)
        try app.done("undo")
        #expect(try names(app) == ["app.db"])
        #expect(try count(app) == saved)
    }

    /// Only the log differs, and the database goes with it all the same: else the log would be brought back to what the app
    /// has made of the database meanwhile.
    @Test func whatTheAppDoesBetweenRestoreAndUndo() throws {
        let (app, saved) = try makeApp()
        try app.done("restore", "one", "--skip-safety-backup")
        _ = try write(app, checkpoint: 0)
        let later = try count(app)
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try count(app) == saved)
        let script = """
            import sqlite3
            db = sqlite3.connect("data/app.db", isolation_level=None)
            db.executescript("DELETE FROM t; DELETE FROM last; VACUUM; CREATE TABLE more (x)")
            db.executemany("INSERT INTO more VALUES (?)", [("x" * 1000,)] * 500)
            db.close()
            """
        #expect(try ToolRun.run("python3", ["-c", script], in: app.path).status == 0)
        try app.done("undo")
        #expect(try count(app) == later)
        try app.done("undo")
        #expect(try count(app) == 0)
    }

    /// Whoever goes on with the old file does not get the restored one by it.
    @Test func aDatabaseThatIsOpenIsReplacedTogetherWithItsLog() throws {
        let (app, saved) = try makeApp()
        try app.done("restore", "one", "--skip-safety-backup")
        let before = try app.tree.status(entry("data/app.db"))?.identity
        let writer = try DatabaseWriter(to: app.path + "/data/app.db", checkpoint: 0)
        try app.done("restore", "one", "--only", "data/app.db", "--skip-safety-backup", "--live")
        #expect(try app.tree.status(entry("data/app.db"))?.identity != before)
        writer.stop(SIGTERM)
        #expect(try count(app) == saved)
    }

    /// The database is as the backup has it, and a log beside it holds more: it is not as the backup has it.
    @Test func aLogBesideARightDatabaseIsDisplaced() throws {
        let (app, saved) = try makeApp()
        try app.done("restore", "one", "--skip-safety-backup")
        try app.shell("cp -p data/app.db kept; ls")
        _ = try write(app, checkpoint: 0)
        try app.shell("cp -p kept data/app.db; rm kept data/app.db-shm; ls")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try names(app) == ["app.db"])
        #expect(try count(app) == saved)
    }

    /// What the app wrote after the restore goes with an undo, log and all, and comes back with the next.
    @Test func aLogMadeAfterTheRestoreTravelsWithItsDatabase() throws {
        let (app, saved) = try makeApp()
        _ = try write(app, then: SIGTERM)
        let old = try count(app)
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try count(app) == saved)
        _ = try write(app, checkpoint: 0)
        let since = try count(app)
        #expect(try names(app).count == 3)
        try app.done("undo")
        #expect(try names(app) == ["app.db"])
        #expect(try count(app) == old)
        try app.done("undo")
        #expect(try names(app).count == 3)
        #expect(try count(app) == since)
    }

    @Test func whoHasADatabaseOpenStopsARestore() throws {
        let (app, _) = try makeApp()
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        try app.run("restore", "one").expectError(1, "(pid ", "has data/app.db", "Nothing was changed", "--live")
        try app.expectIntact(["one"])
        writer.stop()
        try app.done("restore", "one", "--skip-safety-backup")
        let again = try DatabaseWriter(to: app.path + "/data/app.db")
        try app.run("undo").expectError(1, "(pid ", "has data/app.db", "--live")
        try app.done("restore", "one", "--skip-safety-backup", "--live")
        again.stop()
    }

    @Test func whoWritesIntoAFileStopsARestoreAndAReaderDoesNot() throws {
        let (app, _) = try makeApp()
        for (mode, status) in [(">>", Int32(1)), ("<", 0)] {
            let holder = Process()
            holder.executableURL = URL(filePath: "/bin/sh")
            holder.arguments = [
                "-c", "exec 3\(mode) '\(app.path)/uploads/picture'; touch '\(app.path)/uploads/held'; exec sleep 30",
            ]
            try app.shell("echo changed >> uploads/picture; rm -f uploads/held; ls")
            try holder.run()
            while try app.tree.status(entry("uploads/held")) == nil { usleep(1000) }
            let answer = try app.run("restore", "one", "--skip-safety-backup")
            holder.terminate()
            #expect(answer.status == status, "\(answer)")
            if status == 1 { answer.expectError(1, "has uploads/picture open for writing") }
        }
    }

    /// A recovery goes to its end whoever is there, and names who works on with what stood there before.
    @Test func aRecoveryNamesWhoHasTheOldFilesOpen() throws {
        let (app, _) = try makeApp()
        _ = try write(app, then: SIGTERM)
        let count = try Program(app: app.path).countCalls("restore", ["one", "--skip-safety-backup"])
        try app.done("undo")
        let holder = Process()
        holder.executableURL = URL(filePath: "/bin/sh")
        holder.arguments = ["-c", "exec 3<'\(app.path)/data/app.db'; touch '\(app.path)/held'; exec sleep 60"]
        try holder.run()
        defer { holder.terminate() }
        while try app.tree.status(entry("held")) == nil { usleep(1000) }
        // The last calls: the new state is durable, and not everything is in its place.
        var isTold = false
        for number in (1...count).reversed() where !isTold {
            let killed = try app.run(
                "restore", "one", "--skip-safety-backup", "--live", environment: ["CHASTIPI_FAULT": "\(number):kill"])
            #expect([0, 137].contains(killed.status), "\(killed)")
            let recovered = try app.run("recover")
            #expect(recovered.status == 0, "\(recovered)")
            isTold = recovered.errors.contains(
                "(pid \(holder.processIdentifier)) still has open what stood at data/app.db before: restart it")
            if recovered.output.contains("finished") || killed.status == 0 { try app.done("undo", "--live") }
        }
        #expect(isTold)
    }

    /// Whenever it is killed, and whatever log the app makes until it is recovered: no database meets the log of another.
    @Test func aLogMadeBetweenCrashAndRecoveryIsSetAside() throws {
        let (app, saved) = try makeApp()
        _ = try write(app, then: SIGTERM)
        let later = try count(app)
        let count = try Program(app: app.path).countCalls("restore", ["one", "--skip-safety-backup"])
        try app.done("undo")
        var ends: Set<Int> = []
        for number in 1...count {
            let answer = try app.run(
                "restore", "one", "--skip-safety-backup", environment: ["CHASTIPI_FAULT": "\(number):kill"])
            #expect([0, 137].contains(answer.status))
            let isPending = try app.run("list", "--json").output.contains("\"recovery_pending\": true")
            if isPending { try app.tree.write("data/app.db-wal", "the log of whatever stood there, number \(number)") }
            let recovered = try app.run("recover")
            #expect([0, 3].contains(recovered.status), "call \(number): \(recovered)")
            let now = try self.count(app)
            #expect(now == saved || now == later, "call \(number)")
            ends.insert(now)
            // A log that was made when all was in place stays; it is nobody's here.
            try app.shell("rm -f data/app.db-wal")
            if now == saved { try app.done("undo") }
            #expect(try self.count(app) == later, "call \(number)")
        }
        #expect(ends == [saved, later])
    }
}
