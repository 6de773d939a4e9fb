import Disk
import Foundation
import Model
import TestKit
import Testing

/// Repositories that `backup.yaml` names, and copies between them and what else there is.
@Suite struct ConfiguredRepositoryTests {
    /// An app whose configuration calls the repository `usb`, and a second one `shelf`.
    private func make(_ more: String = "") throws -> (kept: RepositoryApp, other: RepositoryApp) {
        let (kept, other) = (try RepositoryApp(isCheap: true), try RepositoryApp(isCheap: true))
        try kept.app.tree.write(
            "backups/backup.yaml",
            """
            repositories:
              usb: {location: \(kept.path), password_file: \(kept.home.path)/password}
              shelf: {location: \(other.path), password_file: \(other.home.path)/password}
            \(more)
            """)
        return (kept, other)
    }

    @Test func allBackupsAreListedAndFound() throws {
        let (kept, other) = try make()
        let app = kept.app
        // So large that its restore can be watched.
        try app.shell("head -c 100000000 /dev/urandom > data/large")
        try app.done("create", "--name", "a")
        try app.done("create", "--name", "b", "--repository", "usb")
        try app.done("create", "--name", "c", "--repository", "shelf")
        let list = try app.done("list").output
        for line in [#/a +[0-9].* folder /#, #/b +[0-9].* repository usb /#, #/c +[0-9].* repository shelf /#] {
            #expect(list.contains(line), "\(list)")
        }
        #expect(try !app.done("list", "--repository", "usb").output.contains("shelf"))
        let before = try app.snapshot()
        try app.shell("rm -rf data")
        try app.done("restore", "c", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        #expect(try app.done("diff", "a", "b").output == "a and b are equal\n")
        // Also where it was only looked for: nobody may prune it meanwhile, and the lock goes afterwards.
        #expect(try FileManager.default.contentsOfDirectory(atPath: other.path + "/locks") == [])
        let restore = try RunningProgram(["restore", "c", "--to", other.home.path + "/to"], app: app.path)
        let isLocked = try restore.wait {
            try !FileManager.default.contentsOfDirectory(atPath: other.path + "/locks").isEmpty
        }
        #expect(try restore.end().status == 0 && isLocked)
        try app.run("restore", "d").expectError(10, "no backup 'd'")
        try app.done("verify", "c")
        try app.run("delete", "c", "--yes").expectError(10, "is in the repository shelf", "--repository shelf")
        let healthy = try app.run("doctor").output
        #expect(healthy.contains("repository usb") && healthy.contains("opens and has 1 backup"), "\(healthy)")
        let status = try app.done("status", "--repository", "usb", "--max-age", "1h").output
        #expect(status.contains("b"), "\(status)")
        // One that cannot be reached does not hide the rest.
        try other.home.remove(entry("repository"))
        let rest = try app.done("list")
        #expect(rest.output.contains("b ") && !rest.output.contains("c "), "\(rest)")
        #expect(rest.errors.contains("warning: the backups in the repository shelf are not listed: "), "\(rest)")
        try app.run("restore", "c").expectError(10, "no backup 'c'")
        #expect(try app.run("doctor", "--repository", app.path).output.contains("there is no repository at"))
        let sick = try app.run("doctor")
        #expect(sick.status == 1 && sick.output.contains("there is no repository at"), "\(sick)")
    }

    @Test func theConfigurationSendsBackupsToARepository() throws {
        let kept = try RepositoryApp(isCheap: true)
        let app = kept.app
        try app.tree.write(
            "backups/backup.yaml",
            """
            format: repository
            repositories:
              usb: {location: \(kept.path), password_file: \(kept.home.path)/password}
            """)
        try app.done("create", "--name", "a")
        try app.done("create", "--name", "b", "--format", "folder")
        #expect(try app.backups() == ["b"])
        let list = try app.done("list").output
        #expect(list.contains(#/a +[0-9].* repository usb /#) && list.contains(#/b +[0-9].* folder /#), "\(list)")
        try app.tree.write("app.py", "changed")
        try app.done("restore", "a")
        #expect(try app.tree.read("app.py") == "the app")
        // The safety backup lies at hand, and is found.
        let safety = try #require(try app.backups().first { $0.hasPrefix("pre_restore") })
        try app.done("restore", safety, "--skip-safety-backup")
        #expect(try app.tree.read("app.py") == "changed")
        try app.done("status")
        try app.done("delete", "a", "--yes")
        try app.run("show", "a").expectError(10, "no backup 'a'")
    }

    @Test func oneOfSeveralIsNamedToTheVerbsOfRepositories() throws {
        let (kept, _) = try make("format: repository")
        try kept.app.done("repository", "check", "--repository", "usb")
        try kept.app.run("repository", "check").expectError(2, "which repository?")
    }

    @Test func oneOfSeveralIsTheUsualOne() throws {
        let (kept, other) = try make("format: repository\nrepository: shelf")
        let app = kept.app
        try app.done("create", "--name", "a")
        try app.done("repository", "check")
        try app.done("create", "--name", "b", "--format", "folder")
        try app.done("copy", "b", "--to", "repository", "--name", "c")
        try app.done("create", "--name", "d", "--repository", "usb")
        let list = try app.done("list").output
        for name in ["a", "c"] { #expect(list.contains(try Regex("\(name) +[0-9].* repository shelf ")), "\(list)") }
        #expect(list.contains(#/d +[0-9].* repository usb /#), "\(list)")
        try app.done("delete", "a", "--yes")
        #expect(try other.names() == ["c"] && kept.names() == ["d"])
        #expect(try app.done("config", "show").output.contains("usual repository (backup.yaml:5): shelf"))
        try app.tree.write("backups/backup.yaml", "repository: shelf\nrepositories: {usb: /usb}\n")
        try app.run("list").expectError(1, "backup.yaml:1: 'repositories' has no 'shelf'")
        try app.tree.write("backups/backup.yaml", "repository: [shelf]\n")
        try app.run("list").expectError(1, "backup.yaml:1:13: 'repository' is the name of one of 'repositories'")
    }

    @Test func aBackupOfWhichNothingCanBeReadIsFoundDamaged() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.done("create", "--name", "two")
        try kept.app.shell("for file in '\(kept.path)'/snapshots/*; do chmod 600 $file; : > $file; break; done")
        let verified = try kept.run("verify", "--all")
        #expect(verified.status == 20 && verified.output.contains("DAMAGED"), "\(verified)")
        let name = try #require(try kept.names().first { ["one", "two"].contains($0) })
        try kept.run("delete", name, "--yes").expectError(20, "deleted: \(name); space was not freed: ")
        #expect(try kept.names().count == 1)
    }

    @Test func compressionIsChosen() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell("seq 1 300000 > data/text")
        func stored(_ name: String, _ options: String...) throws -> Int {
            let run = try Program.run(
                ["create", "--name", name, "--json", "--repository", kept.path, "--app", kept.app.path] + options,
                environment: kept.environment)
            #expect(run.status == 0, "\(run)")
            let bytes = run.output.firstMatch(of: /"bytes_written": ([0-9]+)/).flatMap { Int($0.1) }
            try kept.done("verify", name)
            try kept.done("delete", name, "--yes")
            return try #require(bytes)
        }
        let (plain, normal) = (try stored("a", "--compression", "off"), try stored("b"))
        let most = try stored("c", "--compression", "max")
        #expect(plain > 2 * normal && plain > 2 * most && most != normal, "\(plain) \(normal) \(most)")
        try kept.expectSound()
        try kept.app.run("create", "--compression", "max").expectError(2, "--compression is for repositories")
    }

    /// From any format into any other, and on: nothing is lost on the way.
    @Test func aChainOfCopiesKeepsEverything() throws {
        let (kept, other) = try make()
        let app = kept.app
        try app.tree.makeHardLink(entry("data/second"), to: entry("data/deep/one"))
        try app.shell(
            """
            mkdir data/empty; chmod 0640 config.json; printf x > "data/odd name"; setfattr -n user.note -v kept config.json
            touch -d '2021-02-03 04:05:06.123456789Z' data/deep/one uploads data/empty; truncate -s 300k data/sparse
            seq 1 2000000 > data/large
            """)
        let before = try app.snapshot()
        try app.done("create", "--name", "a", "--tag", "kept")
        for (source, target, name) in [
            ("a", "usb", "b"), ("b", "zip", "c"), ("c", "shelf", "d"), ("d", "usb", "e"), ("e", "folder", "f"),
        ] {
            let copied = try app.done("copy", source, "--to", target, "--name", name)
            #expect(copied.output.contains("verified"), "\(copied)")
            #expect(try app.done("diff", "a", name).output == "a and \(name) are equal\n")
        }
        try app.shell("rm -rf data uploads config.json")
        try app.done("restore", "f", "--skip-safety-backup")
        // A tree says nothing of holes.
        try app.expect(before, but: ".: time", "data/sparse: holes")
        try kept.expectSound()
        try other.expectSound()
        let list = try app.done("list", "--json").output
        #expect(list.matches(of: /"kept"/).count == 6, "\(list)")
        try app.run("copy", "a", "--to", "nowhere").expectError(10, "nowhere")
        try app.run("copy", "a", "--to", "usb", "--name", "b").expectError(1, "there is a backup 'b' already")
        try app.run("copy", "a", "--to", "repository").expectError(2, "which repository?", "usb")
    }
}

/// What only root can arrange.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct RepositoriesAsRootTests {
    @Test func aFullDiskGivesItsBackupsBack() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.app.mount(at: "backups", size: "8m")
        let path = kept.app.path + "/backups/full"
        try kept.app.shell(
            "cp -a '\(kept.path)' backups/full; dd if=/dev/zero of=backups/.fill bs=4k 2>/dev/null || true; echo changed > app.py"
        )
        func run(_ arguments: String...) throws -> Program.Answer {
            try Program.run(
                arguments + ["--repository", path, "--app", kept.app.path], environment: kept.environment)
        }
        let restored = try run("restore", "one", "--to", kept.home.path + "/out")
        #expect(restored.status == 0 && restored.errors.contains("which is full"), "\(restored)")
        #expect(try kept.home.read("out/app.py") == "the app")
        #expect(try run("verify", "one").status == 0)
        #expect(try run("create").status == 1)
    }

    @Test func aDirectoryAboveTheAppNeedNotBeReadable() throws {
        let tree = try TemporaryTree()
        try tree.write("home/above/app/data/file", "content")
        try tree.write("password", "word")
        let (app, repository) = (tree.path + "/home/above/app", tree.path + "/repository")
        func run(_ arguments: String...) throws -> ToolRun {
            try ToolRun.run(
                "setpriv",
                ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path] + arguments
                    + ["--repository", repository, "--password-file", tree.path + "/password"], in: tree.path)
        }
        _ = try ToolRun.run(
            "sh",
            ["-c", "mkdir repository; chown -R 65534 home/above/app repository password; chmod 711 . home home/above"],
            in: tree.path)
        #expect(try run("repository", "init").status == 0)
        let made = try run("create", "--app", app, "--name", "one")
        #expect(made.status == 0, "\(String(decoding: made.errors, as: UTF8.self))")
        #expect(try run("verify", "--app", app, "one").status == 0)
    }
}
