import Foundation
import Model
import TestKit
import Testing

/// Backups become other backups, and are told apart from each other and from the app.
@Suite struct CopyTests {
    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.makeHardLink(entry("data/second"), to: entry("data/deep/one"))
        try app.tree.makeLink(entry("uploads/link"), to: Array("../data/app.db".utf8))
        try app.shell(
            """
            mkdir data/empty; chmod 0640 config.json; printf x > "data/odd name"; setfattr -n user.note -v kept config.json
            touch -d '2021-02-03 04:05:06.123456789Z' data/deep/one uploads data/empty; truncate -s 300k data/sparse
            seq 1 2000000 > data/large
            """)
        return app
    }

    private func differences(_ app: TestApp, _ a: String, _ b: String...) throws -> [String] {
        let answer = try Program.run(["diff", a] + b + ["--app", app.path])
        #expect(answer.status == 0, "\(answer)")
        return answer.output.split(separator: "\n").map(String.init)
    }

    /// From either format to either, and on: nothing is lost on the way.
    @Test func aChainOfCopiesKeepsEverything() throws {
        let app = try makeApp()
        let before = try app.snapshot()
        try app.done("create", "--name", "a", "--tag", "kept")
        for (source, format, name) in [
            ("a", "zip", "b"), ("b", "folder", "c"), ("c", "zip", "d"), ("d", "folder", "e"),
        ] {
            try app.done("copy", source, "--to", format, "--name", name)
            #expect(try differences(app, "a", name) == ["a and \(name) are equal"])
            #expect(try app.done("list").output.contains("verified"))
        }
        try app.expectIntact(["a", "b.zip", "c", "d.zip", "e"])
        for key in [#""time": "#, #""tags": "#, #""host": "#] {
            func line(_ name: String) throws -> String? {
                try app.tree.read("backups/\(name)/backup_metadata.json").split(separator: "\n").first {
                    $0.contains(key)
                }
                .map(String.init)
            }
            #expect(try line("a") == line("e"))
        }
        try app.shell("rm -rf data uploads config.json")
        try app.done("restore", "e", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        #expect(try differences(app, "d") == ["d and the app are equal"])
    }

    /// Carried to another disk, backups still share what has not changed.
    @Test func backupsAreCarriedToAnotherDirectory() throws {
        let app = try makeApp()
        let stick = try TemporaryTree()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        try app.done("create", "--name", "two")
        let answer = try app.done("copy", "one", "two", "--to", "folder", "--backup-dir", stick.path)
        #expect(answer.output.contains("copied two to the folder two (7 B written, verified)"), "\(answer)")
        #expect(try app.backups(in: stick.path) == ["one", "two"])
        try app.done("verify", "--all", "--backup-dir", stick.path)
        let again = try app.done("copy", "latest", "--to", "zip", "--backup-dir", stick.path)
        #expect(again.output.contains("the zip two_2"))
        try app.run("copy", "nothing", "--to", "zip", "--backup-dir", stick.path).expectError(10, "no backup 'nothing'")
        try app.run("copy", "one", "--to", "zip", "--backup-dir", stick.path + "/gone").expectError(1, "does not exist")
        try app.run("copy", "one", "two", "--to", "zip", "--name", "x").expectError(2, "one backup")
        #expect(try app.backups() == ["one", "two"])
    }

    /// Until it is read back a copy is none.
    @Test func aCopyThatIsInterruptedIsGone() throws {
        let app = try TestApp()
        try app.shell("for n in 1 2 3 4 5 6; do head -c 40000000 /dev/zero | tr '\\0' $n > data/large$n; done")
        try app.done("create", "--name", "one")
        for format in ["zip", "folder"] {
            let copy = try RunningProgram(["copy", "one", "--to", format, "--name", "two"], app: app.path)
            let place = entry(format == "zip" ? "backups/two.zip" : "backups/two")
            let isThere = try copy.wait { try app.tree.status(place) != nil }
            copy.send(SIGTERM)
            let answer = try copy.end()
            if isThere && answer.status == 143 {
                try app.expectIntact(["one"])
            } else {
                // It was faster.
                #expect(answer.status == 0, "\(answer)")
                try app.done("delete", "two", "--yes")
            }
        }
        let create = try RunningProgram(["create", "--full", "--verify", "--name", "two"], app: app.path)
        if try create.wait({ try app.tree.status(entry("backups/two")) != nil }) { create.send(SIGTERM) }
        let answer = try create.end()
        #expect(
            answer.status == 0 || answer.errors.contains("'two' is made and on the disk, but was not read back"),
            "\(answer)")
        try app.expectIntact(["one", "two"])
    }

    /// What one backup is told of does not depend on the others.
    @Test func backupsAreVerifiedWhateverTheOthersAre() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.done("create", "--name", "two", "--format", "zip")
        try app.shell("cp backups/two.zip backups/one.zip")
        let both = try app.done("verify", "--all")
        #expect(both.output.split(separator: "\n").filter { $0.contains(": whole") }.count == 3, "\(both)")
        try app.tree.overwrite(entry("backups/one/app.py"), at: 0, with: [0])
        let named = try app.run("verify", "two", "folder:one")
        #expect(
            named.status == 20 && named.output.contains("two: whole") && named.output.contains("one: DAMAGED"),
            "\(named)")
        let missing = try app.run("verify", "two", "three")
        missing.expectError(10, "there is no backup 'three'")
        #expect(missing.output.isEmpty)
    }

    @Test func aDamagedBackupIsNotCopied() throws {
        let app = try makeApp()
        for format in ["folder", "zip"] { try app.done("create", "--name", format, "--format", format) }
        try app.shell("printf X | dd of=backups/folder/data/large bs=1 seek=5 conv=notrunc 2>/dev/null")
        try app.shell("printf XXXXXXXX | dd of=backups/zip.zip bs=1 seek=20000 conv=notrunc 2>/dev/null")
        for format in ["folder", "zip"] {
            for target in ["folder", "zip"] {
                try app.run("copy", format, "--to", target, "--name", "copy").expectError(20, "damaged")
                #expect(try app.backups() == ["folder", "zip.zip"])
            }
        }
    }

    @Test(arguments: ["folder", "zip"])
    func killsAndErrorsLeaveNothingHalf(format: String) throws {
        let start = try TestApp()
        try start.done("create", "--name", "one")
        let probe = try start.copied()
        let count = try Program(app: probe.path).countCalls("copy", ["one", "--to", format, "--name", "two"])
        #expect(count > 10)
        for fault in ["kill", "EIO", "ENOSPC"] {
            for number in 1...count {
                let app = try start.copied()
                let answer = try app.run(
                    "copy", "one", "--to", format, "--name", "two",
                    environment: ["CHASTIPI_FAULT": "\(number):\(fault)"])
                #expect([0, 1, 137].contains(answer.status), "\(fault) at \(number): \(answer)")
                let verified = try app.run("verify", "--all")
                #expect(verified.status == 0, "\(fault) at \(number): \(verified)")
                try app.done("create", "--name", "next")
                #expect(try app.backups().allSatisfy { !$0.hasPrefix(".partial-") }, "\(fault) at \(number)")
            }
        }
    }

    /// A stranger's backup must not become one of ours with all that it has.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func aCopyOfAStrangersBackupIsNotTrusted() throws {
        let (app, other) = (try makeApp(), try makeApp())
        try other.shell("chmod 4755 app.py; chown 12:34 config.json")
        try other.done("create", "--name", "theirs")
        let copied = try app.done("copy", other.path + "/backups/theirs", "--to", "folder")
        #expect(copied.errors.contains("--trust"), "\(copied)")
        try app.done("restore", "theirs", "--skip-safety-backup")
        #expect(try app.tree.status(entry("app.py"))?.mode == 0o755)
        #expect(try app.tree.status(entry("config.json"))?.user == 0)
        try app.done("copy", other.path + "/backups/theirs", "--to", "folder", "--trust", "--name", "trusted")
        try app.done("restore", "trusted", "--skip-safety-backup")
        #expect(try app.tree.status(entry("app.py"))?.mode == 0o4755)
    }

    @Test func whatDiffersIsTold() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one")
        try app.shell(
            """
            echo more >> data/large; rm uploads/picture; mkdir data/new; chmod 0600 app.py; ln -sfn elsewhere uploads/link
            touch -d 2020-01-01 templates/page.html; rm "data/odd name"; mkdir "data/odd name"
            """)
        let told = try differences(app, "one").filter { !$0.hasPrefix("M data (") && !$0.hasPrefix("M uploads (") }
        #expect(
            told == [
                "M app.py (mode)", "M data/large (content, time)", "+ data/new", "M data/odd name (kind)",
                "M templates/page.html (time)", "M uploads/link (target, time)", "- uploads/picture",
                "from one to the app: 1 added, 1 removed, 7 changed",
            ])
        try app.done("zip", "--name", "two")
        #expect(try differences(app, "two") == ["two and the app are equal"])
        let back = try differences(app, "two", "one")
        #expect(back.contains("- data/new") && back.contains("+ uploads/picture"))
        let json = try app.done("diff", "one", "two", "--json").output
        #expect(json.contains(#""change": "removed""#) && json.contains(#""bytes_before": 7"#))
        try app.run("diff", "one", "nothing").expectError(10, "no backup 'nothing'")
    }
}
