import Foundation
import Model
import TestKit
import Testing

/// A backup, and so a restore, holds what a file system holds.
@Suite(.serialized) struct FileSystemTests {
    static let kinds: [(kind: String, megabytes: Int)] = [("tmpfs", 0), ("ext4", 64), ("xfs", 320), ("btrfs", 256)]

    /// An app on a file system of its kind; nil where there is none.
    private func makeApp(_ kind: String, _ megabytes: Int) throws -> TestApp? {
        if kind == "tmpfs" { return try TestApp() }
        guard let system = try Needs.system(kind, megabytes: megabytes) else { return nil }
        return try TestApp(on: system)
    }

    private func fillWithEverything(_ app: TestApp) throws {
        let tree = app.tree
        try tree.makeHardLink(entry("data/second name"), to: entry("data/app.db"))
        try tree.makeHardLink(entry("uploads/third name"), to: entry("data/app.db"))
        try tree.writeSparse(
            entry("data/sparse"), head: Array("head".utf8), hole: 8_000_000, tail: Array("tail".utf8))
        try tree.makeDirectory(entry("data/empty"))
        try tree.makeLink(entry("static/dangling"), to: Array("no/where".utf8))
        try tree.makeLink(entry("static/odd link"), to: [0xff, 0x0a, 0x20])
        for name: [UInt8] in [
            [0xff, 0xfe], Array("new\nline".utf8), Array("tab\tand \\ and \"".utf8), Array(repeating: 0x61, count: 255),
            Array(" ".utf8), Array("-rf".utf8), Array("#: x=1".utf8), Array("*".utf8),
        ] {
            try tree.write(entry("uploads").appending(name), name)
            try tree.write(entry("data").appending(name).appending(name), name)
        }
        try tree.write(entry("data/empty file"), [])
        try tree.write(entry("data/setuid"), Array("x".utf8), mode: 0o755)
        try app.shell(
            """
            setfattr -n user.note -v kept data/app.db
            setfattr -n user.note -v 'of a directory' data/deep
            chown 1234:4321 data/deep/one; chown -h 1234:4321 static/dangling; chmod 4711 data/setuid; chmod 1777 uploads
            chmod 000 data/empty
            touch -h -d '2001-02-03 04:05:06.123456789Z' static/dangling
            touch -d '1999-12-31 23:59:59.999999999Z' data/app.db data/deep/one
            touch -d '1985-02-03 04:05:06.000000001Z' data/deep data/empty templates
            """)
        var generator = TreeGenerator(SeededRandom(seed: 7))
        try generator.addDeepPath(to: tree)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText), arguments: kinds)
    func everythingComesBack(kind: String, megabytes: Int) throws {
        guard let app = try makeApp(kind, megabytes) else { return }
        try fillWithEverything(app)
        let items = ["--item", ".", "--no-default-exclusions"]
        let made = try Program.run(["create", "--name", "one", "--app", app.path] + items)
        #expect(made.status == 0, "\(made)")
        let saved = try app.snapshot()
        // A second one shares all it can, and holds the same.
        try app.tree.write("app.py", "the app, changed")
        let second = try Program.run(["create", "--name", "two", "--verify", "--app", app.path] + items)
        #expect(second.status == 0, "\(second)")
        try app.done("verify", "--all")
        try app.shell(
            "for name in * .[!.]*; do case $name in backups|.chastipi) ;; *) rm -rf -- \"$name\"; esac; done; echo x > new"
        )
        #expect(try app.snapshot().entries.count == 2)
        let destroyed = try app.snapshot()
        let restored = try app.done("restore", "one")
        #expect(!restored.errors.contains("not kept"), "\(restored)")
        try app.expect(saved)
        try app.done("undo")
        try app.expect(destroyed)
        try app.done("undo")
        try app.expect(saved)
        try app.done("delete", "one", "--yes")
        try app.done("verify", "two")
    }

    /// Sparse, so that it costs nothing; its end lies beyond what 32 bits can say.
    @Test func aFileOfMoreThanFourGigabytesComesBack() throws {
        let app = try TestApp()
        try app.tree.writeSparse(
            entry("data/huge"), head: Array("head".utf8), hole: 5_000_000_000, tail: Array("tail".utf8))
        try app.done("create", "--name", "one")
        try app.tree.remove(entry("data/huge"))
        try app.done("restore", "one", "--skip-safety-backup")
        let status = try #require(try app.tree.status(entry("data/huge")))
        #expect(status.size == 5_000_000_008)
        #expect(status.allocated < 1_000_000)
        #expect(try app.shell("tail -c 4 data/huge; head -c 4 data/huge") == "tailhead")
    }

    /// A kernel that lacks it cannot be helped by installing anything.
    static let hasVfat: Bool = {
        let list = try? ToolRun.run("sh", ["-c", "grep -qw vfat /proc/filesystems || modprobe -qn vfat"])
        return list?.status == 0
    }()

    /// vfat has no owners, links or modes: the backup works or says clearly what cannot be.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText), .enabled(if: hasVfat, "this kernel has no vfat"))
    func aBackupDirectoryOnVfatWorksOrSaysWhatItCannotKeep() throws {
        guard let system = try Needs.system("vfat", megabytes: 64) else { return }
        let app = try TestApp()
        try app.shell("chmod 640 config.json; touch -d '2001-02-03 04:05:07.123456789Z' data/app.db")
        let saved = try app.snapshot()
        let made = try app.run("create", "--name", "one", "--backup-dir", system.path)
        if made.status == 1 {
            made.expectError(1)
            #expect(try app.backups(in: system.path).isEmpty)
            return
        }
        #expect(made.status == 0 || made.status == 3, "\(made)")
        #expect(try app.done("verify", "one", "--backup-dir", system.path).errors.isEmpty)
        try app.shell("rm -rf app.py config.json data uploads templates")
        let restored = try app.run("restore", "one", "--backup-dir", system.path, "--skip-safety-backup")
        #expect(restored.status == 0, "\(restored)")
        try app.expect(saved, but: ".: time")
        // A second backup reads all anew or shares, and is right either way.
        try app.done("create", "--name", "two", "--backup-dir", system.path)
        try app.done("verify", "--all", "--backup-dir", system.path)
        try app.done("delete", "one", "--yes", "--backup-dir", system.path)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText), .enabled(if: hasVfat, "this kernel has no vfat"))
    func whatVfatCannotHoldIsSaid() throws {
        guard let system = try Needs.system("vfat", megabytes: 64) else { return }
        let app = try TestApp()
        try app.tree.makeLink(entry("static/link"), to: Array("nowhere".utf8))
        try app.tree.write("data/a:b?", "a name that vfat does not allow")
        let made = try app.run("create", "--name", "one", "--backup-dir", system.path)
        switch made.status {
        case 1:
            made.expectError(1)
            #expect(made.errors.contains("static/link") || made.errors.contains("data/a:b?"), "\(made)")
            #expect(try app.backups(in: system.path).isEmpty)
        default:
            #expect(made.status == 3, "\(made)")
            #expect(made.errors.contains("static/link") && made.errors.contains("data/a:b?"), "\(made)")
        }
    }
}

@Suite(.enabled(if: runsLongTests, "make test-long runs it")) struct FileSystemLongTests {
    @Test func aHundredThousandEntriesComeBack() throws {
        let app = try TestApp()
        try app.shell(
            """
            for d in $(seq 500); do mkdir -p data/$((d % 7))/$d; (cd data/$((d % 7))/$d; seq 199 | split -l 1 -a 3 - f); done
            """)
        try app.done("create", "--name", "one")
        #expect(try app.done("show", "one").output.contains(/entries: (99|10\d)\d{3}/))
        let sum =
            "find . -path ./backups -prune -o -path ./.chastipi -prune -o -printf '%p %m %s %T@\\n' | sort | sha256sum"
        let before = try app.shell(sum)
        try app.shell("rm -rf data/[0-4]; for d in data/5/*; do echo changed > $d/faaa; done")
        let changed = try app.shell(sum)
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try app.shell(sum) == before)
        try app.done("undo")
        #expect(try app.shell(sum) == changed)
        try app.done("verify", "one")
    }
}
