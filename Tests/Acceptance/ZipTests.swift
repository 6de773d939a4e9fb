import Foundation
import Model
import TestKit
import Testing

/// Zips do what folders do: made, listed, restored, undone, deleted, found wherever they lie.
@Suite struct ZipTests {
    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.makeHardLink(entry("data/second"), to: entry("data/deep/one"))
        try app.tree.makeLink(entry("uploads/link"), to: Array("../data/app.db".utf8))
        try app.shell(
            """
            mkdir data/empty; : > data/nothing; chmod 0640 config.json; printf 'a b' > "data/odd
            name"; touch -d '2021-02-03 04:05:06.123456789Z' data/deep/one uploads data/empty
            truncate -s 1M data/sparse; setfattr -n user.note -v kept config.json
            """)
        return app
    }

    @Test func anAppIsDestroyedRestoredAndUndone() throws {
        let app = try makeApp()
        let before = try app.snapshot()
        let made = try app.done("zip", "--name", "one")
        #expect(made.output.contains("created one: "), "\(made)")
        #expect(try app.backups() == ["one.zip"])
        #expect(try app.done("list").output.contains("zip"))
        try app.shell("rm -rf data uploads; echo broken > app.py; mkdir -p templates/new")
        let broken = try app.snapshot()
        try app.done("restore", "one", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        try app.done("undo")
        try app.expect(broken, but: ".: time")
        try app.done("undo")
        try app.expect(before, but: ".: time")
        try app.done("restore", "one.zip", "--to", app.path + "/elsewhere")
        let elsewhere = try TreeSnapshot(of: app.tree.directory.directory(at: entry("elsewhere")))
        #expect(before.differences(from: elsewhere).filter { !$0.hasPrefix(".:") } == [])
        try app.done("delete", "one", "--yes")
        #expect(try app.backups().isEmpty)
    }

    @Test func aNameThatIsTakenInAnyFormatIsTaken() throws {
        let app = try makeApp()
        try app.done("zip", "--name", "one")
        try app.run("create", "--name", "one").expectError(1, "there is a backup 'one' already")
        try app.done("create", "--name", "two")
        try app.run("zip", "--name", "two").expectError(1, "there is a backup 'two' already")
        try app.shell("cp -r backups/two backups/one")
        try app.run("verify", "one").expectError(2, "folder:one", "zip:one")
        try app.done("verify", "zip:one")
        try app.done("verify", "folder:one")
        try app.done("verify", "one.zip")
        try app.done("delete", "zip:one", "--yes")
        #expect(try app.backups() == ["one", "two"])
    }

    @Test func theConfigurationChoosesTheFormat() throws {
        let app = try makeApp()
        try app.tree.write("backups/backup.yaml", "format: zip\n")
        try app.done("create", "--name", "one")
        try app.done("create", "--name", "two", "--format", "folder")
        #expect(try app.backups() == ["one.zip", "two"])
        try app.tree.write("backups/backup.yaml", "format: tar\n")
        try app.run("create").expectError(1, "backup.yaml:1:9", "'format' is folder, zip or repository")
        try app.run("create", "--format", "tar").expectError(2)
    }

    /// Large files are cut into pieces that threads compress side by side, and joined.
    @Test func largeFilesAreJoinedFromPieces() throws {
        let app = try makeApp()
        try app.shell(
            """
            seq 1 3000000 > data/text; head -c 20000000 /dev/urandom > data/random
            head -c 8388608 /dev/zero > data/exact; head -c 8388609 /dev/zero > data/one-more
            """)
        let before = try app.snapshot()
        try app.done("zip", "--name", "one", "--verify")
        for tool in [["unzip", "-tqq"], ["7z", "t"], ["python3", "-m", "zipfile", "-t"]] {
            let run = try ToolRun.run(tool[0], Array(tool.dropFirst()) + [app.path + "/backups/one.zip"])
            #expect(run.status == 0, "\(tool): \(String(decoding: run.output + run.errors, as: UTF8.self))")
        }
        try app.shell("rm -rf data")
        try app.done("restore", "one", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
    }

    /// Where a file cannot be read to its end, what was written of it is taken back.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func whatCannotBeReadIsLeftOutAndNamed() throws {
        let app = try makeApp()
        try app.shell("chown -R 65534:65534 .; echo secret > data/secret; chmod 0600 data/secret")
        let run = try ToolRun.run(
            "setpriv",
            [
                "--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "zip", "--name", "one", "--app",
                app.path,
            ], in: app.path)
        let errors = String(decoding: run.errors, as: UTF8.self)
        #expect(run.status == 3 && errors.contains("data/secret: permission denied"), "\(errors)")
        try app.done("verify", "one")
        let listed = try ToolRun.run("unzip", ["-l", app.path + "/backups/one.zip"])
        #expect(!String(decoding: listed.output, as: UTF8.self).contains("data/secret"))
    }

    /// Whatever byte is wrong, also one that a restore needs not: it is not restored as if nothing were (promise 14).
    /// The length of a name in a zip has 16 bits; a path on the disk may be longer.
    @Test func whatHasTooLongAPathIsLeftOutAndNamed() throws {
        let app = try TestApp()
        let script = """
            import os
            os.chdir("data")
            for _ in range(262):
                os.mkdir("d" * 250)
                os.chdir("d" * 250)
            open("leaf", "w").close()
            """
        #expect(try ToolRun.run("python3", ["-c", script], in: app.path).status == 0)
        let answer = try app.run("zip", "--name", "one")
        #expect(
            answer.status == 3 && answer.errors.contains("its path is too long for a zip"),
            "\(answer.errors.suffix(300))")
        try app.done("create", "--name", "two")
        let copied = try app.run("copy", "two", "--to", "zip")
        copied.expectError(1, "too long for a zip")
        try app.expectIntact(["one.zip", "two"])
    }

    @Test func aDamagedZipIsNotRestored() throws {
        let app = try makeApp()
        try app.done("zip", "--name", "one")
        let size = try #require(try app.tree.status(entry("backups/one.zip"))?.size)
        let before = try app.snapshot()
        for offset in stride(from: 0, to: size, by: max(1, Int(size) / 60)) {
            try app.shell(
                "cp backups/one.zip kept; printf '\\377' | dd of=backups/one.zip bs=1 seek=\(offset) conv=notrunc 2>/dev/null"
            )
            if try app.shell("cmp -s kept backups/one.zip && echo same || true") != "same\n" {
                try app.run("restore", "one", "--skip-safety-backup").expectError(20, "damaged")
                try app.run("restore", "one", "--to", app.path + "/to").expectError(20, "damaged")
            }
            try app.shell("mv kept backups/one.zip")
        }
        try app.expect(before, but: ".: time")
    }

    @Test func aDatabaseInUseIsConsistentInAZipToo() throws {
        let app = try makeApp()
        try app.tree.remove(entry("data/app.db"))
        let writer = try DatabaseWriter(to: app.path + "/data/app.db")
        for number in 1...3 {
            let before = try writer.committed()
            try app.done("zip", "--name", "z\(number)")
            try app.done("restore", "z\(number)", "--to", app.path + "/out\(number)", "--only", "data")
            #expect(try DatabaseWriter.read(app.path + "/out\(number)/data/app.db")[0] >= before)
        }
        try app.done("verify", "z1", "--deep")
    }
}
