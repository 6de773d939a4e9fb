import Disk
import Foundation
import Model
import TestKit
import Testing

/// Backups in a repository do what folders and zips do, and real restic finds them its own.
@Suite struct RepositoryTests {
    private func fill(_ app: TestApp) throws {
        try app.tree.makeHardLink(entry("data/second"), to: entry("data/deep/one"))
        try app.tree.makeLink(entry("uploads/link"), to: Array("../data/app.db".utf8))
        try app.shell(
            """
            mkdir data/empty; : > data/nothing; chmod 0640 config.json; printf 'a b' > "data/odd
            name"; touch -d '2021-02-03 04:05:06.123456789Z' data/deep/one uploads data/empty
            truncate -s 9M data/sparse; printf x | dd of=data/sparse bs=1 seek=9500000 conv=notrunc 2>/dev/null
            setfattr -n user.note -v kept config.json; seq 1 900000 > data/large
            """)
    }

    private func make() throws -> RepositoryApp {
        let app = try RepositoryApp()
        try fill(app.app)
        return app
    }

    @Test func anAppIsDestroyedRestoredAndUndone() throws {
        let kept = try make()
        let app = kept.app
        let before = try app.snapshot()
        let made = try kept.done("create", "--name", "one", "--verify")
        #expect(made.output.contains("created one: "), "\(made)")
        #expect(try app.backups() == [])
        #expect(try kept.done("list").output.contains("repository"))
        try kept.done("verify", "one")
        try app.shell("rm -rf data uploads; echo broken > app.py; mkdir -p templates/new")
        let broken = try app.snapshot()
        try kept.done("restore", "one", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        try app.done("undo")
        try app.expect(broken, but: ".: time")
        try app.done("undo")
        try app.expect(before, but: ".: time")
        #expect(try kept.done("diff", "one").output == "one and the app are equal\n")
        try kept.done("restore", "one", "--to", app.path + "/elsewhere")
        let elsewhere = try TreeSnapshot(of: app.tree.directory.directory(at: entry("elsewhere")))
        #expect(before.differences(from: elsewhere).filter { !$0.hasPrefix(".:") } == [])
        try kept.expectSound()
        try kept.done("delete", "one", "--yes")
        #expect(try kept.names() == [])
        try kept.expectSound()
    }

    /// The safety backup of a restore lies where it can always be read: beside the app.
    @Test func theSafetyBackupIsAFolder() throws {
        let kept = try make()
        try kept.done("create", "--name", "one")
        try kept.app.tree.write("app.py", "changed")
        try kept.done("restore", "one")
        let names = try kept.app.backups()
        #expect(names.count == 1 && names[0].hasPrefix("pre_restore_backup_"), "\(names)")
        #expect(try kept.app.tree.read("app.py") == "the app")
    }

    /// What one of the two has stored the other finds, to the last tree.
    @Test func resticAndWeWorkInTurns() throws {
        let kept = try make()
        let app = kept.app
        try app.shell("mkdir holding; mv data uploads holding/")
        try app.tree.write("backups/backup.yaml", "items: [holding]\n")
        // What changes within two seconds of a backup is read again by the next.
        try app.shell("sleep 2.2")
        try kept.restic("backup", app.path + "/holding")
        let ours = try kept.done("create", "--name", "one", "--json").output
        #expect(ours.contains(#""shared_files": 8"#), "\(ours)")
        let again = try kept.restic("backup", "--json", app.path + "/holding")
        #expect(again.contains(#""data_blobs":0"#), "\(again)")
        // Others work in /dev/shm: the trees of the directories above the item may have changed, and no other.
        let trees = again.firstMatch(of: /"tree_blobs":([0-9]+)/).flatMap { Int($0.1) }
        #expect(try #require(trees) <= 4, "\(again)")
        try app.tree.write("holding/data/new", "new")
        try kept.restic("backup", app.path + "/holding", "--tag", "later")
        try kept.done("create", "--name", "two")
        try kept.expectSound()
        let scratch = try TemporaryTree()
        try kept.restic("restore", "latest", "--target", scratch.path)
        let restored = try TreeSnapshot(of: Directory(path: scratch.path + app.path + "/holding"))
        let there = try TreeSnapshot(of: Directory(path: app.path + "/holding"))
        // Restic 0.14 makes no holes.
        #expect(there.differences(from: restored).filter { !$0.hasSuffix(": holes") } == [])
        let names = try kept.names()
        #expect(names.count == 5 && names[1] == "one" && names[4] == "two", "\(names)")
        for name in names { try kept.done("verify", name) }
        try app.shell("rm -r holding")
        try kept.done("restore", names[3], "--skip-safety-backup")
        #expect(there.differences(from: try TreeSnapshot(of: Directory(path: app.path + "/holding"))) == [])
        try kept.restic("forget", "latest", "--prune")
        try kept.done("verify", "one")
    }

    /// Promise 11: what nobody recorded brings no owners and set-id bits, unless it is trusted. And a backup that restic has marked is
    /// still the app's newest.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func whatResticMadeIsNotTrusted() throws {
        let kept = try RepositoryApp()
        let app = kept.app
        try app.shell("chown 1234:1234 data/deep/one; chmod 4755 data/deep/one")
        try kept.restic("backup", app.path + "/data")
        let id = try #require(try kept.names().first)
        func mode(_ options: String...) throws -> String {
            try app.shell("rm -rf to")
            let run = try Program.run(
                ["restore", id, "--to", app.path + "/to", "--repository", kept.path, "--app", app.path] + options,
                environment: kept.environment)
            #expect(run.status == 0 || run.status == 3, "\(run)")
            return try app.shell("stat -c '%u %a' to/data/deep/one")
        }
        #expect(try mode() == "0 755\n")
        #expect(try mode("--trust") == "1234 4755\n")
        try kept.done("create", "--name", "chastipi_backup_20200101_000000", "--item", "app.py", "--item", "data")
        try kept.restic("tag", "--add", "kept", "--tag", "name=chastipi_backup_20200101_000000")
        #expect(try kept.done("show", "latest").output.hasPrefix("chastipi_backup_20200101_000000: "))
    }

    /// On a medium that is only read everything can be read, and nothing is said of locks.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func aReadOnlyRepositoryIsRead() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.app.shell("mount --bind \(kept.path) \(kept.path); mount -o remount,bind,ro \(kept.path)")
        defer { _ = try? kept.app.shell("umount \(kept.path)") }
        for verb in [
            ["list"], ["verify", "one"], ["diff", "one"], ["restore", "one", "--to", kept.home.path + "/to"],
        ] {
            let run = try Program.run(
                verb + ["--repository", kept.path, "--app", kept.app.path], environment: kept.environment)
            #expect(run.status == 0 && run.errors == "", "\(verb): \(run)")
        }
        for verb in [["create"], ["delete", "one", "--yes"]] {
            let run = try Program.run(
                verb + ["--repository", kept.path, "--app", kept.app.path], environment: kept.environment)
            run.expectError(1, "read-only file system")
            #expect(!run.errors.contains("warning"), "\(run)")
        }
    }

    @Test func backupsAreNamedByNameOrID() throws {
        let kept = try make()
        try kept.done("create", "--name", "one")
        try kept.run("create", "--name", "one").expectError(1, "there is a backup 'one' already")
        try kept.app.tree.write("app.py", "changed")
        try kept.done("create", "--name", "two")
        let ids = try kept.restic("snapshots", "--json").matches(of: /"id":"([0-9a-f]{64})"/).map { String($0.1) }
        #expect(ids.count == 2)
        for name in ["one", "repository:one", ids[0], String(ids[0].prefix(8))] {
            let shown = try kept.done("show", name)
            #expect(shown.output.contains("one"), "\(name): \(shown)")
        }
        let difference = try kept.done("diff", "one", "latest")
        #expect(difference.output.contains("app.py"), "\(difference)")
        try kept.run("show", "three").expectError(10, "no backup 'three'")
        try kept.run("restore", "ffffffff").expectError(10, "no backup 'ffffffff'")
        try kept.restic("tag", "--add", "kept", ids[0])
        #expect(try kept.done("list", "--json").output.contains(#""kept""#))
        #expect(try kept.names() == ["one", "two"])
    }

    @Test func wrongPasswordsAndPlacesAreTold() throws {
        let kept = try make()
        try kept.done("create", "--name", "one")
        let wrong = try TemporaryTree()
        try wrong.write("password", "wrong\n")
        try Program.run(
            ["list", "--repository", kept.path, "--app", kept.app.path],
            environment: ["CHASTIPI_BACKUP_PASSWORD_FILE": wrong.path + "/password"]
        ).expectError(12, "password")
        try Program.run(
            ["create", "--repository", wrong.path + "/nothing", "--app", kept.app.path], environment: kept.environment
        ).expectError(10, wrong.path + "/nothing")
        try Program.run(
            ["create", "--repository", wrong.path, "--app", kept.app.path], environment: kept.environment
        ).expectError(10, wrong.path, "repository init")
        #expect(try kept.names() == ["one"])
    }

    /// A database in use comes out whole, as in any format.
    @Test func databasesInUseAreConsistent() throws {
        let kept = try RepositoryApp(isCheap: true)
        let app = kept.app
        try app.shell("rm data/app.db")
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        for number in 1...5 { try kept.done("create", "--name", "b\(number)") }
        writer.stop()
        for number in 1...5 {
            try kept.done("restore", "b\(number)", "--to", app.path + "/to\(number)")
            #expect(try app.shell("ls to\(number)/data") == "app.db\ndeep\n")
            let check = "import sqlite3; print(sqlite3.connect('app.db').execute('pragma integrity_check').fetchone())"
            #expect(try app.shell("cd to\(number)/data; python3 -c \"\(check)\"") == "('ok',)\n")
        }
        try kept.expectSound()
    }

    /// Trees of everything that a file system can hold.
    @Test(arguments: 1...4) func oddTreesComeBack(seed: UInt64) throws {
        let kept = try RepositoryApp(isCheap: true)
        let data = try TemporaryTree()
        var generator = TreeGenerator(SeededRandom(seed: seed))
        try generator.fill(data, entries: 120)
        for number in 1...3 {
            try kept.app.shell("rm -rf data; cp -a \(data.path) data")
            try kept.done("create", "--name", "b\(number)")
            let to = kept.home.path + "/to\(number)"
            try kept.done("restore", "b\(number)", "--to", to)
            let before = try TreeSnapshot(of: kept.app.tree.directory.directory(at: entry("data")))
            let restored = try TreeSnapshot(of: Directory(path: to + "/data"))
            #expect(before.differences(from: restored) == [], "seed \(seed)")
            for _ in 0..<10 { try generator.disturb(data) }
        }
        try kept.expectSound()
    }
}

/// Who else works on the repository, and what is left when we have.
@Suite struct RepositoryLockTests {
    /// A backup by restic that waits for the end of its input, with its lock held.
    private func startRestic(_ kept: RepositoryApp) throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["restic", "--repo", kept.path, "--no-cache", "backup", "--stdin"]
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["RESTIC_PASSWORD": RepositoryApp.password]) { $1 }
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try waitForLock(of: process, in: kept)
        #expect(try locks(kept) == 1)
        return process
    }

    private func waitForLock(of process: Process, in kept: RepositoryApp) throws {
        var tries = 60_000
        while tries > 0, process.isRunning, try locks(kept) == 0 {
            usleep(1000)
            tries -= 1
        }
    }

    private func locks(_ kept: RepositoryApp) throws -> Int {
        // One that is being made has another name.
        try FileManager.default.contentsOfDirectory(atPath: kept.path + "/locks").filter { $0.count == 64 }.count
    }

    @Test func whatResticDoesIsNotDisturbed() throws {
        let kept = try RepositoryApp()
        try kept.done("create", "--name", "one")
        let restic = try startRestic(kept)
        defer { restic.terminate() }
        try kept.done("create", "--name", "two")
        try kept.done("verify", "two")
        try kept.run("delete", "one", "--yes").expectError(11, "locked: ", "process \(restic.processIdentifier)")
        try kept.run("prune", "--keep-last", "1", "--include-named", "--yes", "--retry-lock", "1s").expectError(
            11, "locked")
        try kept.run("delete", "one", "--yes", "--retry-lock", "soon").expectError(2, "--retry-lock")
        #expect(try kept.names() == ["one", "two"])
        #expect(try locks(kept) == 1)
        (restic.standardInput as? Pipe)?.fileHandleForWriting.closeFile()
        restic.waitUntilExit()
        try kept.done("delete", "one", "--yes")
        #expect(try locks(kept) == 0)
        try kept.expectSound()
    }

    /// An interrupt takes the lock away; a kill leaves one that the next run knows for dead.
    @Test(arguments: [SIGINT, SIGTERM, SIGKILL]) func locksGoWithTheirRuns(signal: Int32) throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell("for n in 1 2 3 4 5 6 7 8; do head -c 20000000 /dev/urandom > data/large$n; done")
        let process = Process()
        process.executableURL = URL(filePath: Program.path)
        process.arguments = ["create", "--repository", kept.path, "--app", kept.app.path]
        process.environment = ProcessInfo.processInfo.environment.merging(kept.environment) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        try waitForLock(of: process, in: kept)
        kill(process.processIdentifier, SIGSTOP)
        #expect(process.isRunning)
        let beside = try ToolRun.run(
            "restic", ["--repo", kept.path, "--no-cache", "prune"],
            environment: ["RESTIC_PASSWORD": RepositoryApp.password])
        #expect(beside.status != 0 && String(decoding: beside.errors, as: UTF8.self).contains("locked"))
        kill(process.processIdentifier, signal)
        kill(process.processIdentifier, SIGCONT)
        process.waitUntilExit()
        #expect(process.terminationStatus == (signal == SIGKILL ? SIGKILL : 128 + signal))
        #expect(try locks(kept) == (signal == SIGKILL ? 1 : 0))
        #expect(try kept.names() == [])
        // Both take the same lock: who needs it alone clears it away.
        let next = try kept.done("create", "--name", "one")
        let deleted = try kept.done("delete", "one", "--yes")
        if signal == SIGKILL { #expect((next.errors + deleted.errors).contains("lock"), "\(next)\(deleted)") }
        #expect(try locks(kept) == 0)
        try kept.expectSound()
    }
}
