import Foundation
import Model
import TestKit
import Testing

/// The kit that an app ships with: `backups/backup.sh`, and the example's `update.sh`.
@Suite struct KitTests {
    static let checkout = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path

    private struct Kit {
        let app: TestApp
        var script: String { app.path + "/backups/backup.sh" }

        init() throws {
            app = try TestApp()
            try app.shell("mkdir backups && cp '\(KitTests.checkout)/backups/backup.sh' backups/")
        }

        func run(
            _ arguments: String..., through script: String? = nil, in directory: String = "/",
            program: String = Program.path
        ) throws -> Program.Answer {
            let run = try ToolRun.run(
                script ?? self.script, arguments, in: directory, environment: ["CHASTIPI_BACKUP_BIN": program])
            return Program.Answer(
                status: run.status, output: String(decoding: run.output, as: UTF8.self),
                errors: String(decoding: run.errors, as: UTF8.self))
        }
    }

    @Test func itWorksFromAnyDirectoryAndThroughLinks() throws {
        let kit = try Kit()
        let elsewhere = try TemporaryTree()
        try elsewhere.makeLink(entry("backup"), to: Array(kit.script.utf8))
        try elsewhere.makeLink(entry("app"), to: Array(kit.app.path.utf8))
        let ways: [(String, String)] = [
            (kit.script, "/"), ("backups/backup.sh", kit.app.path), ("./backup.sh", kit.app.path + "/backups"),
            ("./backup", elsewhere.path), ("app/backups/backup.sh", elsewhere.path),
        ]
        for (number, (script, directory)) in ways.enumerated() {
            let answer = try kit.run("create", "--name", "b\(number)", through: script, in: directory)
            #expect(answer.status == 0 && answer.output.contains("created b\(number)"), "\(script): \(answer)")
        }
        try kit.app.expectIntact((0..<ways.count).map { "b\($0)" })
    }

    @Test func flagsStatusesAndStreamsPassThrough() throws {
        let kit = try Kit()
        #expect(try kit.run("create", "--name", "one", "--tag", "x=1", "--exclude", "*.html").status == 0)
        #expect(try kit.app.tree.status(entry("backups/one/templates/page.html")) == nil)
        #expect(try kit.run("create", "--name", "one").status == 1)
        #expect(try kit.run("create", "--name", "a b").status == 2)
        #expect(try kit.run("show", "two").status == 10)
        try kit.app.tree.makeFifo(entry("data/fifo"))
        #expect(try kit.run("create", "--name", "two").status == 3)
        try kit.app.tree.overwrite(entry("backups/one/app.py"), at: 0, with: [0])
        #expect(try kit.run("verify", "one").status == 20)
        let json = try kit.run("list", "--json")
        #expect(json.output.hasPrefix("{") && json.errors.isEmpty, "\(json)")
        #expect(try kit.run("--version").status == 0)
        #expect(try kit.run("nonsense").status == 2)
    }

    /// Options that the kit adds go behind the last word of a verb.
    @Test func verbsOfSeveralWordsPassThrough() throws {
        let kit = try Kit()
        let home = try RepositoryHome()
        try kit.app.tree.write(
            "backups/backup.yaml",
            "repositories:\n  near:\n    location: \(home.path)\n    password_file: \(home.password)\n")
        #expect(try kit.run("repository", "init").status == 0)
        #expect(try kit.run("create", "--name", "one", "--repository", "near").status == 0)
        for verb in [["check", "--read-data"], ["key", "list"], ["repair", "index", "--dry-run"], ["unlock"]] {
            let answer = try ToolRun.run(
                kit.script, ["repository"] + verb, in: "/", environment: ["CHASTIPI_BACKUP_BIN": Program.path])
            #expect(answer.status == 0, "\(verb): \(String(decoding: answer.errors, as: UTF8.self))")
        }
        #expect(try kit.run("repository", "--help").status == 0)
        #expect(try kit.run("repository", "key").errors.contains("no verb is given after 'repository key'"))
        #expect(try kit.run("repository").status == 2)
        #expect(try kit.run("config", "show").output.contains("near: \(home.path)"))
    }

    @Test func eachCallAndItsResultAreLoggedAndTheLogIsNeitherSavedNorRestored() throws {
        let kit = try Kit()
        #expect(try kit.run("create", "--name", "one", "--include-logs").status == 0)
        #expect(try kit.run("create", "--name", "one", "--include-logs").status == 1)
        let log = try kit.app.tree.read("logs/backup.log")
        #expect(log.contains("create --name one --include-logs"), "\(log)")
        #expect(log.contains("status 0") && log.contains("status 1"), "\(log)")
        #expect(try kit.app.tree.status(entry("backups/one/logs/backup.log")) == nil)
        try kit.app.tree.write("app.py", "changed")
        #expect(try kit.run("restore", "one", "--include-logs").status == 0)
        let after = try kit.app.tree.read("logs/backup.log")
        #expect(after.hasPrefix(log) && after.contains("restore one"), "\(after)")
    }

    @Test func aMissingProgramIsSaid() throws {
        let kit = try Kit()
        let answer = try kit.run("list", program: "/nowhere/chastipi-backup")
        #expect(answer.status == 1 && answer.errors.contains("/nowhere/chastipi-backup"), "\(answer)")
        #expect(try kit.app.tree.read("logs/backup.log").contains("status 1"))
    }
}

/// `Scripts/kit`, which puts the kit into an app.
@Suite struct PuttingInTests {
    private static let files = ["README.md", "backup.sh", "backup_manager.py", "bin/chastipi-backup"]

    /// Puts the kit in, with the debug program for the release build.
    private func put(into app: TestApp) throws -> Program.Answer {
        let build = try TemporaryTree()
        let program = build.path + "/release/chastipi-backup"
        try build.write("release/chastipi-backup", "#!/bin/sh\nexec '\(Program.path)' \"$@\"\n")
        try #require(chmod(program, 0o755) == 0)
        let run = try ToolRun.run(
            KitTests.checkout + "/Scripts/kit", [app.path], environment: ["SWIFTPM_BUILD_DIR": build.path])
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    @Test func allThatBelongsToItIsThereAndWhatWasThereStays() throws {
        let app = try TestApp()
        try app.tree.write("backups/backup.yaml", "tags: [mine]")
        try app.tree.write("backups/backup_manager.py", "the original's")
        let answer = try put(into: app)
        #expect(answer.status == 0, "\(answer)")
        for file in Self.files { #expect(try app.tree.status(entry("backups/" + file))?.kind == .file, "\(file)") }
        for file in Self.files.dropLast() {
            let ours = try String(contentsOfFile: "\(KitTests.checkout)/backups/\(file)", encoding: .utf8)
            #expect(try app.tree.read("backups/" + file) == ours, "\(file)")
        }
        #expect(try app.tree.read("backups/backup.yaml") == "tags: [mine]")
        #expect(try app.tree.status(entry("backups/backup_manager.py"))?.mode == 0o755)
    }

    @Test func itHasManualPagesAndCompletions() throws {
        let app = try TestApp()
        #expect(try put(into: app).status == 0)
        #expect(try app.tree.read("backups/bin/man/man1/chastipi-backup-restore.1").contains("\\-\\-only"))
        for shell in ["bash", "zsh", "fish"] {
            #expect(try app.tree.read("backups/bin/completion.\(shell)").contains("restore"), "\(shell)")
        }
    }

    @Test func nothingOfItIsTakenForABackup() throws {
        let app = try TestApp()
        #expect(try put(into: app).status == 0)
        let code =
            "import sys; from backups.backup_manager import BackupManager; BackupManager('backups').create_backup('one')"
        let imported = try ToolRun.run(
            "env", ["-u", "PYTHONDONTWRITEBYTECODE", "python3", "-c", code], in: app.path,
            environment: ["CHASTIPI_BACKUP_BIN": Program.path])
        #expect(imported.status == 0, "\(String(decoding: imported.errors, as: UTF8.self))")
        #expect(try app.tree.status(entry("backups/__pycache__"))?.kind == .directory)
        let listed = try app.done("list").output
        #expect(listed.contains("one ") && !listed.contains("not ours"), "\(listed)")
    }

    @Test(arguments: files)
    func whatIsInTheWayIsNamedBeforeAnythingIsPutIn(file: String) throws {
        let app = try TestApp()
        try app.tree.makeDirectory(entry("backups"))
        try app.shell("mkdir -p 'backups/\(file)'")
        let answer = try put(into: app)
        #expect(answer.status == 1 && answer.errors.contains("backups/\(file) is in the way"), "\(answer)")
        #expect(try app.shell("find backups -type f").isEmpty)
    }
}

/// The example's update, which makes a backup first.
@Suite struct UpdateTests {
    /// A copy of the example. `kit`: what stands as its `backups/backup.sh`, nil for no backup system.
    private func makeExample(kit: String?) throws -> TemporaryTree {
        let tree = try TemporaryTree()
        let copied = try ToolRun.run("cp", ["-a", KitTests.checkout + "/Examples/ChastiPi/.", tree.path])
        try #require(copied.status == 0)
        if let kit {
            try tree.write("backups/backup.sh", kit)
            try tree.change(entry("backups/backup.sh")) { $0.mode = 0o755 }
        }
        return tree
    }

    private func update(_ tree: TemporaryTree, in directory: String = "/") throws -> Program.Answer {
        let run = try ToolRun.run(
            tree.path + "/update.sh", [], in: directory, environment: ["CHASTIPI_BACKUP_BIN": Program.path])
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    private func realKit() throws -> String {
        try String(contentsOfFile: KitTests.checkout + "/backups/backup.sh", encoding: .utf8)
    }

    @Test func anUpdateMakesAnAutomaticBackupFirst() throws {
        let tree = try makeExample(kit: try realKit())
        let answer = try update(tree)
        #expect(answer.status == 0, "\(answer)")
        let names = try FileManager.default.contentsOfDirectory(atPath: tree.path + "/backups")
        #expect(names.filter { $0.hasPrefix("auto_backup_") }.count == 1, "\(names)")
        #expect(try !FileManager.default.contentsOfDirectory(atPath: tree.path).contains { $0.hasPrefix("backup_2") })
    }

    @Test func anUpdateStopsWhereTheBackupIsNotComplete() throws {
        let tree = try makeExample(kit: try realKit())
        try tree.makeFifo(entry("data/fifo"))
        let answer = try update(tree)
        #expect(answer.status == 3 && answer.errors.contains("Nothing was updated"), "\(answer)")
        #expect(!answer.output.contains("done. Restart"), "\(answer)")
    }

    @Test(arguments: [1, 2, 3, 11, 130])
    func anUpdateStopsWithTheStatusOfTheBackup(status: Int) throws {
        let tree = try makeExample(kit: "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/calls\"\nexit \(status)\n")
        let answer = try update(tree)
        #expect(answer.status == Int32(status) && answer.errors.contains("Nothing was updated"), "\(answer)")
        #expect(try tree.read("backups/calls") == "auto\n")
        #expect(!answer.output.contains("done. Restart"), "\(answer)")
    }

    @Test func withoutABackupSystemAPlainCopyIsMade() throws {
        let tree = try makeExample(kit: nil)
        try tree.write("data/app.db", "database")
        try tree.change(entry("data/app.db")) { $0.modified = Timestamp(seconds: 1_600_000_000, nanoseconds: 5) }
        try tree.write("logs/app.log", "not essential")
        let answer = try update(tree, in: tree.path)
        #expect(answer.status == 0, "\(answer)")
        let names = try FileManager.default.contentsOfDirectory(atPath: tree.path).filter { $0.hasPrefix("backup_") }
        let name = try #require(names.first)
        #expect(names.count == 1 && name.wholeMatch(of: /backup_\d{8}_\d{6}/) != nil, "\(names)")
        #expect(try tree.read("\(name)/data/app.db") == "database")
        #expect(try tree.status(entry("\(name)/data/app.db"))?.modified.nanoseconds == 5)
        #expect(try tree.read("\(name)/app.py") == tree.read("app.py"))
        #expect(try tree.status(entry("\(name)/logs")) == nil)
    }
}
