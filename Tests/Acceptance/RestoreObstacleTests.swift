import Model
import TestKit
import Testing

/// What can stand where a restore wants to write (promises 6, 10 and 11).
@Suite struct RestoreObstacleTests {
    @Test func anItemReplacedByALinkOutOfTheAppBecomesADirectoryAgain() throws {
        let app = try TestApp()
        let outside = try TemporaryTree()
        try outside.write("app.db", "not the app's")
        let elsewhere = try TreeSnapshot(of: outside.directory)
        let etc = try ToolRun.run("sh", ["-c", "ls -lAR --time-style=full-iso /etc | sha256sum"]).output
        try app.done("create", "--name", "one")
        let before = try app.snapshot()
        try app.tree.remove(entry("data"))
        try app.tree.makeLink(entry("data"), to: Array(outside.path.utf8))
        try app.tree.remove(entry("templates"))
        try app.tree.makeLink(entry("templates"), to: Array("/etc".utf8))
        let changed = try app.snapshot()

        try app.done("restore", "one", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        #expect(try TreeSnapshot(of: outside.directory) == elsewhere)
        #expect(try ToolRun.run("sh", ["-c", "ls -lAR --time-style=full-iso /etc | sha256sum"]).output == etc)
        try app.done("undo")
        try app.expect(changed)
        try app.expectIntact(["one"])
    }

    @Test func aDirectoryWhereAFileWasAndAFileWhereADirectoryWasAreExchanged() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let before = try app.snapshot()
        try app.tree.remove(entry("app.py"))
        try app.tree.write("app.py/below/deep", "a directory where a file was")
        try app.tree.remove(entry("data/deep"))
        try app.tree.write("data/deep", "a file where a directory was")
        let changed = try app.snapshot()

        let answer = try app.done("restore", "one")
        #expect(answer.errors.contains("safety backup: pre_restore_backup_"))
        try app.expect(before, but: ".: time")
        let restored = try app.snapshot()
        try app.done("undo")
        try app.expect(changed)
        try app.done("undo")
        try app.expect(restored)
        #expect(try app.backups().count == 2)
    }

    @Test(arguments: ["venv/bin/python", "inner/cache.pyc", "run.log"])
    func aDirectoryThatMustBecomeAFileButHoldsWhatStaysIsRefusedInThePlan(kept: String) throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.remove(entry("data/app.db"))
        try app.tree.write("data/app.db/\(kept)", "not in the backup")
        try app.tree.write("app.py", "changed too")
        let changed = try app.snapshot()

        let first = String(kept.split(separator: "/").first ?? "")
        let named = kept.hasPrefix("inner") ? "data/app.db/\(kept)" : "data/app.db/\(first)"
        try app.run("restore", "one", "--dry-run").expectError(1, "data/app.db", named)
        try app.run("restore", "one").expectError(1, "data/app.db", named, "Nothing was changed")
        try app.expect(changed)
        try app.expectIntact(["one"])
        // Leaving the place out is the way that the message names.
        try app.done("restore", "one", "--only", "app.py")
        #expect(try app.tree.read("app.py") == "the app")
        #expect(try app.tree.read("data/app.db/\(kept)") == "not in the backup")
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func aMountPointInTheWayIsRefused() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.remove(entry("data/app.db"))
        try app.mount(at: "data/app.db")
        try app.tree.write("data/app.db/mine", "on another file system")
        try app.tree.write("app.py", "changed too")
        let changed = try app.snapshot()

        try app.run("restore", "one").expectError(1, "mounted at data/app.db", "Nothing was changed")
        try app.expect(changed)
        try app.expectIntact(["one"])
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func aMountPointThatTheBackupDoesNotKnowStays() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.mount(at: "data/disk")
        try app.tree.write("data/disk/mine", "on another file system")
        try app.tree.write("data/app.db", "changed")

        let answer = try app.run("restore", "one")
        #expect(answer.status == 0 && answer.errors.contains("keep data/disk"), "\(answer)")
        #expect(try app.tree.read("data/disk/mine") == "on another file system")
        #expect(try app.tree.read("data/app.db") == "database")
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func anImmutableFileInTheWayIsRefusedInThePlan() throws {
        guard let system = try Needs.system("ext4", megabytes: 16) else { return }
        let app = try TestApp(on: system)
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed too")
        try app.tree.write("data/app.db", "changed, and then made immutable")
        try app.shell("chattr +i data/app.db")
        defer { _ = try? app.shell("chattr -i data/app.db") }
        let changed = try app.snapshot()

        try app.run("restore", "one").expectError(1, "data/app.db is immutable", "Nothing was changed")
        try app.expect(changed)
        try app.expectIntact(["one"])
        try app.done("restore", "one", "--only", "app.py")
        #expect(try app.tree.read("app.py") == "the app")
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func anImmutableFileBelowADirectoryThatGoesMovesWithItAndComesBack() throws {
        guard let system = try Needs.system("ext4", megabytes: 16) else { return }
        let app = try TestApp(on: system)
        try app.done("create", "--name", "one")
        // Moving its directory away does not touch the file.
        try app.tree.write("data/new/inner/file", "goes with the restore")
        try app.shell("chattr +i data/new/inner/file")
        defer { _ = try? app.shell("find . -name file -exec chattr -i {} +") }
        let changed = try app.snapshot()

        try app.done("restore", "one")
        #expect(try app.tree.status(entry("data/new")) == nil)
        try app.done("undo")
        try app.expect(changed)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func anImmutableDirectoryInTheWayIsRefusedInThePlan() throws {
        guard let system = try Needs.system("ext4", megabytes: 16) else { return }
        let app = try TestApp(on: system)
        try app.done("create", "--name", "one")
        try app.tree.remove(entry("data/deep/one"))
        try app.tree.write("app.py", "changed too")
        try app.shell("chattr +i data/deep")
        defer { _ = try? app.shell("chattr -i data/deep") }
        let changed = try app.snapshot()

        try app.run("restore", "one").expectError(1, "data/deep is immutable")
        try app.expect(changed)
    }

    /// Attributes that cannot be set are found out before anything begins.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText), arguments: ["immutable", "read-only"])
    func aDirectoryWhoseAttributesCannotBeSetIsRefused(kind: String) throws {
        guard let system = try Needs.system("ext4", megabytes: 16) else { return }
        let app = try TestApp(on: system)
        try app.done("create", "--name", "one")
        try app.shell("touch -d 2001-01-01 templates")
        let isImmutable = kind == "immutable"
        try app.shell(
            isImmutable
                ? "chattr +i templates"
                : "mount --bind templates templates; mount -o remount,bind,ro templates")
        let before = try app.snapshot()
        for more in [[], ["--dry-run"]] {
            let answer = try Program.run(["restore", "one", "--app", app.path] + more)
            answer.expectError(1, "attributes of templates cannot be set", kind, "Nothing was changed")
        }
        try app.expect(before)
        try app.shell(isImmutable ? "chattr -i templates" : "umount templates")
        try app.done("restore", "one")
    }

    /// Where the file system keeps whole seconds this is said, and is no reason to restore again and again.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func timesThatAreRoundedAreSaidOnce() throws {
        guard let system = try LoopFileSystem("ext4", megabytes: 16, options: ["-I", "128"]) else {
            return #expect(!Needs.isCI, "no ext4 on a loop device")
        }
        let exact = try TestApp()
        try exact.done("create", "--name", "one")
        let app = try TestApp(on: system)
        try app.shell("mkdir backups; cp -a '\(exact.path)'/backups/one backups/one; rm -r app.py data templates")
        let restored = try app.run("restore", "one", "--skip-safety-backup")
        #expect(restored.status == 3 && restored.errors.contains("the file system rounds times"), "\(restored)")
        let again = try app.run("restore", "one", "--skip-safety-backup")
        #expect(again.output == "nothing to do\n", "\(again)")
    }
}

/// Places on a second file system below the app.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct SecondFileSystemTests {
    private func makeApp() throws -> (TestApp, old: TreeSnapshot) {
        let app = try TestApp()
        try app.mount(at: "data/disk")
        try app.tree.write("data/disk/one", "one")
        try app.tree.write("data/disk/tree/leaf", "leaf")
        try app.tree.write("data/disk/venv/stays", "excluded")
        try app.done("create", "--name", "one")
        try app.tree.write("data/app.db", "changed")
        try app.tree.write("data/disk/one", "changed one")
        try app.tree.remove(entry("data/disk/tree"))
        try app.tree.write("data/disk/tree", "a file")
        try app.tree.write("data/disk/more/extra", "extra")
        return (app, try app.snapshot())
    }

    @Test func aRestoreAndItsUndoAreExactOnBothFileSystems() throws {
        let (app, old) = try makeApp()
        try app.done("restore", "one")
        #expect(try app.tree.read("data/disk/one") == "one")
        #expect(try app.tree.read("data/disk/tree/leaf") == "leaf")
        #expect(try app.tree.read("data/disk/venv/stays") == "excluded")
        #expect(try app.tree.status(entry("data/disk/more")) == nil)
        #expect(try app.tree.read("data/app.db") == "database")
        #expect(try app.shell("ls -A data/disk | grep -c '^.chastipi-mount-'") == "1\n")
        let new = try app.snapshot()
        try app.done("undo")
        try app.expect(old)
        try app.done("undo")
        try app.expect(new)
        // What is ours there is in no backup, and goes when there is nothing to keep.
        try app.done("create", "--name", "two")
        #expect(try app.run("show", "two", "--files").output.contains(".chastipi") == false)
        try app.done("undo", "--discard", "--yes")
        try app.expect(new)
    }

    @Test func aKillAtAnyCallEndsInTheOldOrTheNewTree() throws {
        let (app, old) = try makeApp()
        let count = try Program(app: app.path).countCalls("restore", ["one", "--skip-safety-backup"])
        let new = try app.snapshot()
        try app.done("undo")
        try app.expect(old)
        var ends: Set<Bool> = []
        for number in 1... {
            let answer = try app.run(
                "restore", "one", "--skip-safety-backup", environment: ["CHASTIPI_FAULT": "\(number):kill"])
            if answer.status == 0 { break }
            #expect(answer.status == 137, "call \(number): \(answer)")
            try app.done("recover")
            let now = try app.snapshot()
            #expect(now == old || now == new, "call \(number): \(old.differences(from: now))")
            ends.insert(now == new)
            if now == new { try app.done("undo") }
            try #require(number < count * 2)
        }
        #expect(ends.count == 2)
    }
}
