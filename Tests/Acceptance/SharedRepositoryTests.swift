import Foundation
import Model
import TestKit
import Testing

/// A repository that others use as well: other apps, other computers, and people with restic.
@Suite struct SharedRepositoryTests {
    /// Two apps with one repository.
    private struct Shared {
        let one: RepositoryApp
        let two: TestApp

        init() throws {
            one = try RepositoryApp(isCheap: true)
            two = try TestApp()
            try two.tree.write("app.py", "another app")
        }

        func run(_ arguments: String..., in app: TestApp) throws -> Program.Answer {
            try Program.run(
                arguments + ["--repository", one.path, "--app", app.path], environment: one.environment)
        }
    }

    /// Restic's trees begin at targets that were given relative to its working directory; paths are absolute all the same.
    @Test(arguments: [
        ("", "."), ("", "data app.py uploads config.json"), ("data", "../data ../app.py ../uploads ../config.json"),
        ("..", "APP"), ("..", "APP/data APP/app.py APP/uploads APP/config.json"), ("", "PATH"),
        ("data/deep", "../.."),
    ])
    func whatResticSavedFromARelativePathIsFound(directory: String, targets: String) throws {
        let kept = try RepositoryApp()
        let app = kept.app
        // An app's package often has the name of the directory.
        let name = try #require(app.path.split(separator: "/").last)
        try app.shell("mkdir '\(name)'; echo x > '\(name)/inner'; echo y > uploads/file; echo z > config.json")
        let words = targets.replacing("APP", with: name).replacing("PATH", with: app.path)
        try ToolRun.run(
            "sh", ["-euc", "cd '\(app.path)/\(directory)'; restic -r \(kept.path) --no-cache backup -q \(words)"],
            environment: ["RESTIC_PASSWORD": RepositoryApp.password]
        ).expectDone()
        let before = try app.snapshot()
        try kept.done("verify", "latest")
        let different = try kept.run("diff", "latest")
        #expect(different.status == 0, "\(different)")
        for path in ["data/", "app.py", "uploads", "config.json"] {
            #expect(!different.output.contains(" \(path)"), "\(different)")
        }
        let shown = try kept.done("show", "latest", "--files").output
        #expect(shown.contains(" data/deep/one") && shown.contains(" app.py"), "\(shown)")
        try app.shell("rm -r data/deep; echo broken > app.py")
        try kept.done("restore", "latest", "--skip-safety-backup")
        try app.expect(before, but: ".: time", "data: time")
        try app.shell("sleep 2.1")
        let made = try kept.done("create", "--name", "one", "--json")
        #expect(made.errors.contains("damaged") == false, "\(made)")
        try kept.done("copy", try #require(try kept.names().first), "--to", "folder", "--name", "copy")
        #expect(try app.tree.read("backups/copy/data/deep/one") == "one")
        try kept.expectSound()
    }

    /// Two backups of one second: each app has its own under that name, and automatic ones are not taken for named by hand.
    @Test func namesOfTwoAppsMayBeTheSame() throws {
        let shared = try Shared()
        #expect(try shared.run("create", "--name", "same", in: shared.one.app).status == 0)
        // As if both had begun at once: restic takes tags as they are.
        #expect(try shared.run("create", "--name", "other", in: shared.two).status == 0)
        try shared.one.restic("tag", "--tag", "name=other", "--set", "name=same")
        let list = try shared.run("list", in: shared.two).output
        #expect(list.matches(of: #/same  /#).count == 1, "\(list)")
        #expect(try shared.run("show", "same", "--files", in: shared.two).status == 0)
    }

    /// Two backups of one app with one name go by their IDs; what was made automatically stays under retention all the same.
    @Test func automaticBackupsOfOneNameArePruned() throws {
        let kept = try RepositoryApp(isCheap: true)
        for name in ["auto_backup_20250101_000001", "auto_backup_20250101_000002"] {
            try kept.done("create", "--name", name)
        }
        let tags = ["--tag", "name=auto_backup_20250101_000002", "--set", "name=auto_backup_20250101_000001"]
        try ToolRun.run(
            "restic", ["-r", kept.path, "--no-cache", "tag"] + tags,
            environment: ["RESTIC_PASSWORD": RepositoryApp.password]
        ).expectDone()
        let names = try kept.names()
        #expect(names.count == 2 && names.allSatisfy { $0.count == 16 }, "\(names)")
        try kept.done("prune", "--keep-last", "1", "--yes", "--yes-remove-many")
        #expect(try kept.names().count == 1)
    }

    /// Runs that begin in one second get different names, however long they take.
    @Test func automaticNamesDiffer() throws {
        let shared = try Shared()
        for _ in 1...3 {
            let runs = try [shared.one.app, shared.two].map { app in
                let process = Process()
                process.executableURL = URL(filePath: Program.path)
                process.arguments = ["auto", "--repository", shared.one.path, "--app", app.path, "--quiet"]
                process.environment = ProcessInfo.processInfo.environment.merging(shared.one.environment) { $1 }
                process.standardOutput = FileHandle.nullDevice
                process.standardError = FileHandle.nullDevice
                try process.run()
                return process
            }
            for process in runs {
                process.waitUntilExit()
                #expect(process.terminationStatus == 0)
            }
        }
        for app in [shared.one.app, shared.two] {
            let pruned = try shared.run("prune", "--keep-last", "1", "--yes", "--yes-remove-many", in: app)
            #expect(pruned.status == 0, "\(pruned)")
        }
        let left = try shared.run("list", in: shared.two)
        #expect(try shared.one.names().count == 2, "\(left)")
    }

    /// Whoever has no backup there is told so, and removes none of others.
    @Test func theBackupsOfOthersAreNotOnesOwn() throws {
        let shared = try Shared()
        for name in ["auto_backup_20250101_000001", "auto_backup_20250101_000002", "auto_backup_20250101_000003"] {
            #expect(try shared.run("create", "--name", name, in: shared.one.app).status == 0)
        }
        let status = try shared.run("status", "--max-age", "26h", in: shared.two)
        #expect(status.status == 4, "\(status)")
        let pruned = try shared.run("prune", "--keep-last", "1", "--yes", "--yes-remove-many", in: shared.two)
        #expect(pruned.status == 0 && pruned.errors.contains("none of the backups there is of this app"), "\(pruned)")
        #expect(try shared.one.names().count == 3)
        // After a disaster the only app that is there can be had back, on a computer of whatever name.
        #expect(try shared.run("restore", "latest", "--to", shared.two.path + "/to", in: shared.two).status == 0)
    }

    /// Promise 4: a repository is no part of a backup, also one that nobody has configured.
    @Test func aRepositoryInTheAppIsLeftAlone() throws {
        let app = try TestApp()
        let home = try TemporaryTree()
        try home.write(entry("password"), Array("word\n".utf8), mode: 0o600)
        let environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": home.path + "/password"]
        let path = app.path + "/data/repository"
        try app.done("create", "--name", "before")
        try CheapRepository.make(at: path, password: "word")
        func done(_ words: String...) throws -> Program.Answer {
            let answer = try Program.run(words + ["--app", app.path], environment: environment)
            #expect(answer.status == 0, "\(words): \(answer)")
            return answer
        }
        _ = try done("create", "--name", "first", "--repository", path)
        let made = try app.done("create", "--name", "after")
        #expect(made.errors.contains("warning: data/repository holds backups, and is not part of this one"), "\(made)")
        #expect(try !app.done("show", "after", "--files").output.contains("data/repository/"))
        for name in ["before", "after"] {
            try app.tree.write("data/deep/one", "changed")
            let restored = try app.done("restore", name, "--skip-safety-backup")
            #expect(restored.errors.contains("keep data/repository: holds backups"), "\(restored)")
            #expect(try done("list", "--repository", path).output.contains("first"))
        }
        // A directory that has some of the names is none.
        try app.shell("mkdir data/like; cd data/like; mkdir data index keys locks; echo x > config; echo y > data/file")
        _ = try app.done("create", "--name", "like")
        #expect(try app.done("show", "like", "--files").output.contains("data/like/data/file"))
    }

    @Test func aZipDoesNotTakeTheRepositorysPassword() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        let password = kept.home.path + "/password"
        func copy(_ name: String, _ options: String...) throws -> Program.Answer {
            try Program.run(
                ["copy", "one", "--to", "zip", "--name", name, "--repository", kept.path, "--app", kept.app.path]
                    + ["--password-file", password] + options)
        }
        let plain = try copy("plain")
        #expect(plain.status == 0 && plain.errors.contains("the zip is not encrypted; --encrypt does that"), "\(plain)")
        try kept.app.done("verify", "zip:plain")
        let encrypted = try copy("encrypted", "--encrypt")
        #expect(encrypted.status == 0 && !encrypted.errors.contains("not encrypted"), "\(encrypted)")
        #expect(try kept.app.run("restore", "zip:encrypted", "--to", kept.home.path + "/to").status == 12)
        try kept.app.done(
            "restore", "zip:encrypted", "--to", kept.home.path + "/to", "--password-file", password)
    }

    @Test func lostKeysAreDamage() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.app.shell("rm -f '\(kept.path)'/keys/*")
        try kept.run("list").expectError(20, "has no keys any more", "'keys' from a copy")
        try kept.app.shell("rm -f '\(kept.path)'/config")
        try kept.run("list").expectError(20, "has lost its keys and its configuration")
    }

    @Test func patienceHasNoEnd() throws {
        let kept = try RepositoryApp(isCheap: true)
        for time in ["300000d", "213503d", "106751991167d"] {
            let answer = try kept.run("create", "--name", "a\(time)", "--retry-lock", time)
            #expect([0, 2].contains(answer.status), "\(answer)")
        }
    }

    /// What is damaged in the repository a new backup may need, too, and it must be said.
    @Test func aNewBackupBesideADamagedOne() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell("seq 1 100000 > data/text; sleep 2.1")
        try kept.done("create", "--name", "one")
        try kept.app.shell(
            "cd '\(kept.path)'; f=$(ls -S data/*/* | head -1); chmod u+w $f; printf xxxxxxxx | dd of=$f bs=1 seek=50 conv=notrunc 2>/dev/null"
        )
        #expect(try kept.run("verify", "one").status == 20)
        let made = try kept.done("create", "--name", "two")
        #expect(made.errors.contains("'one' is known as damaged: "), "\(made)")
        #expect(made.errors.contains("'repository repair packs'"), "\(made)")
    }
}
