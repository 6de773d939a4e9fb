import Foundation
import Model
import TestKit
import Testing

/// What a backup holds, what it says of the rest, and what it refuses.
@Suite struct CreateTests {
    @Test(arguments: ["../x", "a/b", "", String(repeating: "a", count: 200), ".hidden", "a b", "\u{e9}", "a\n"])
    func aNameThatIsNoneIsWrongUsage(name: String) throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.run("create", "--name", name).expectError(2, "name of a backup")
        try app.expectIntact(["one"])
        #expect(try app.run("list").output.split(separator: "\n").count >= 2)
    }

    @Test(arguments: ["folder", "file", "dangling link"])
    func aTakenNameIsRefusedWhateverHasIt(taker: String) throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let before = try TreeSnapshot(of: app.tree.directory.directory(at: entry("backups/one")))
        if taker == "folder" { try app.tree.makeDirectory(entry("backups/two")) }
        if taker == "file" { try app.tree.write("backups/two", "somebody's") }
        if taker == "dangling link" { try app.tree.makeLink(entry("backups/two"), to: Array("nowhere".utf8)) }
        try app.run("create", "--name", "one").expectError(1, "'one' already", "--name")
        try app.run("create", "--name", "two").expectError(1, "'two'")
        #expect(try TreeSnapshot(of: app.tree.directory.directory(at: entry("backups/one"))) == before)
        #expect(try app.backups() == ["one", "two"])
        try app.done("verify", "one")
    }

    @Test func namesOfOneSecondAreNumbered() throws {
        let app = try TestApp()
        var names: Set<String> = []
        for _ in 1...6 {
            let answer = try app.done("create")
            let name = answer.output.split(separator: " ")[1].dropLast()
            #expect(name.wholeMatch(of: /chastipi_backup_\d{8}_\d{6}(_\d)?/) != nil, "\(answer)")
            names.insert(String(name))
        }
        #expect(names.count == 6)
        try app.expectIntact(Array(names))
    }

    @Test func anAutomaticBackupIsNamedAndRecordedAsOne() throws {
        let app = try TestApp()
        let answer = try app.done("auto")
        #expect(answer.output.contains(/^created auto_backup_\d{8}_\d{6}:/), "\(answer)")
        let name = try #require(try app.backups().first)
        #expect(try app.done("show", name).output.contains("trigger: auto"))
    }

    /// Promise 4.
    @Test func ourBackupsAreInNoBackupButAnAppsOwnAre() throws {
        let app = try TestApp()
        try app.tree.write("data/backups/own", "the app's own backup of its database")
        try app.tree.write("logs/backup.log", "ours")
        try app.done("create", "--name", "one", "--item", ".", "--no-default-exclusions")
        try app.done("create", "--name", "two", "--item", ".", "--no-default-exclusions")
        let listed = try app.done("show", "two", "--files").output
        #expect(listed.contains("data/backups/own"))
        for ours in ["backups/one", ".chastipi", "logs/backup.log"] { #expect(!listed.contains(ours), "\(ours)") }
        #expect(try app.tree.status(entry("backups/two/backups")) == nil)
        try app.expectIntact(["one", "two"])
    }

    @Test func aBackupDirectoryInsideAnItemIsNotInTheBackup() throws {
        let app = try TestApp()
        try app.tree.makeDirectory(entry("data/b"))
        for name in ["one", "two"] {
            try app.done("create", "--name", name, "--backup-dir", app.path + "/data/b")
        }
        #expect(try app.tree.status(entry("data/b/two/data/deep/one")) != nil)
        #expect(try app.tree.status(entry("data/b/two/data/b")) == nil)
        // Nor when the backups lie elsewhere: the marker tells.
        try app.done("create", "--name", "three", "--item", ".")
        #expect(try app.tree.status(entry("backups/three/data/deep/one")) != nil)
        #expect(try app.tree.status(entry("backups/three/data/b")) == nil)
        // And a restore leaves them where they are.
        try app.tree.write("data/app.db", "changed")
        try app.done("restore", "two", "--backup-dir", app.path + "/data/b")
        try app.done("verify", "--all", "--backup-dir", app.path + "/data/b")
        #expect(try app.tree.read("data/app.db") == "database")
    }

    @Test func anAppsOwnMetadataFileIsReported() throws {
        let app = try TestApp()
        try app.tree.write("backup_metadata.json", "the app's own")
        try app.tree.write("MANIFEST.mtree", "the app's own")
        try app.tree.write("data/backup_metadata.json", "deeper it is a file like any other")
        let answer = try app.run("create", "--name", "one", "--item", ".")
        #expect(answer.status == 3 && answer.errors.contains("skipped: backup_metadata.json: "), "\(answer)")
        #expect(answer.errors.contains("skipped: MANIFEST.mtree: "), "\(answer)")
        #expect(try app.tree.read("backups/one/data/backup_metadata.json").hasPrefix("deeper"))
        #expect(try app.done("show", "one").output.contains("backup_metadata.json: "))
        // A restore leaves both where they are.
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try app.tree.read("backup_metadata.json") == "the app's own")
        #expect(try app.tree.read("MANIFEST.mtree") == "the app's own")
        #expect(try app.run("verify", "one").status == 0)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func specialFilesAreReportedAndStay() throws {
        let app = try TestApp()
        try app.tree.makeFifo(entry("data/fifo"))
        try app.shell("mknod data/device c 1 3")
        try app.shell("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"data/sock\")'")
        let answer = try app.run("create", "--name", "one")
        #expect(answer.status == 3, "\(answer)")
        for (name, kind) in [("fifo", "fifo"), ("device", "device"), ("sock", "socket")] {
            let line = answer.errors.split(separator: "\n").first { $0.hasPrefix("skipped: data/\(name): ") }
            #expect(line?.contains(kind) == true, "\(answer)")
        }
        let shown = try app.done("show", "one").output
        #expect(shown.contains("data/fifo") && shown.contains("incomplete: yes"), "\(shown)")
        try app.expectIntact(["one"])
        try app.tree.write("data/app.db", "changed")
        try app.tree.write("data/extra", "extra")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try app.tree.status(entry("data/fifo"))?.kind == .fifo)
        #expect(try app.tree.status(entry("data/extra")) == nil)
    }

    @Test func absentItemsAndWhatNoItemCoversAreSaid() throws {
        let app = try TestApp()
        try app.tree.write("extra.bin", String(repeating: "x", count: 1500))
        try app.tree.write("media/film", String(repeating: "x", count: 2_000_000))
        try app.tree.write("venv/lib", "excluded")
        try app.tree.write("run.log", "excluded")
        let answer = try app.done("create", "--name", "one")
        let lines = answer.errors.split(separator: "\n").map(String.init)
        let absent = try #require(lines.first { $0.hasPrefix("not there: ") })
        #expect(absent.contains("requirements.txt") && !absent.contains("app.py"), "\(absent)")
        let uncovered = lines.filter { $0.hasPrefix("not covered by any item") }
        #expect(uncovered.count == 1, "\(answer)")
        let line = uncovered.first ?? ""
        #expect(line.contains("extra.bin (1.5 kB)") && line.contains("media (2.0 MB)"), "\(line)")
        for word in ["venv", "run.log", "backups", ".chastipi", "data"] { #expect(!line.contains(word), "\(line)") }
        #expect(try app.done("show", "one").output.contains("media (2.0 MB)"))
        let named = try app.done("create", "--name", "two", "--item", "data", "--item", "nowhere")
        #expect(named.errors.contains("not there: nowhere"), "\(named)")
    }

    @Test func aBackupDirectoryThatDoesNotExistIsNotMade() throws {
        let app = try TestApp()
        let place = try TemporaryTree()
        for verb in ["create", "auto"] {
            try app.run(verb, "--backup-dir", "\(place.path)/usb")
                .expectError(1, "\(place.path)/usb does not exist", "mounted?")
        }
        #expect(try place.status(entry("usb")) == nil)
        try app.run("create", "--backup-dir", app.path + "/app.py").expectError(1, "app.py")
        try app.run("create", "--config", "\(place.path)/no.yaml").expectError(1, "no.yaml")
        let answer = try Program.run(["create", "--app", "\(place.path)/nowhere"])
        answer.expectError(2, "\(place.path)/nowhere", "--app")
    }

    @Test(arguments: [
        ("items:\n  - data\nexcldue:\n  - x\n", "backup.yaml:3:1", "did you mean 'exclude'"),
        ("items: data\n", "backup.yaml:1", "list"), ("items:\n  - ../x\n", "backup.yaml:2", "../x"),
        ("items: []\n", "backup.yaml:1", "names nothing"), ("tags:\n  - 'a b'\n", "backup.yaml:2", "a b"),
        ("full_read: soon\n", "backup.yaml:1", "30 days"), ("default_exclusions: maybe\n", "backup.yaml:1", "true or"),
        ("exclude:\n  - ok\n  - '[a'\n", "backup.yaml:3", "[a"), ("items: [data\n", "backup.yaml", "2:1"),
        ("- data\n", "backup.yaml:1", "key: value"), ("tags: [a]\ntags: [b]\n", "backup.yaml", "tags"),
        ("\u{fffd}: \t{", "backup.yaml", "YAML"),
    ])
    func aMistakeInTheConfigurationIsNamedWithItsLine(text: String, place: String, what: String) throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("backups/backup.yaml", text)
        try app.run("create").expectError(1, place, what)
        try app.tree.remove(entry("backups/backup.yaml"))
        try app.expectIntact(["one"])
    }

    /// Where `backups` leads to a disk, the link stands for what is there.
    @Test func aLinkToTheBackupDirectoryIsInNoBackup() throws {
        let app = try TestApp()
        let disk = try TemporaryTree()
        try app.tree.makeLink(entry("backups"), to: Array(disk.path.utf8))
        try app.tree.makeLink(entry("data/link"), to: Array("deep".utf8))
        try app.done("create", "--name", "one", "--item", ".")
        #expect(try disk.status(entry("one/backups")) == nil)
        #expect(try disk.status(entry("one/data/link"))?.kind == .link)
        let before = try #require(try app.tree.status(entry("backups"))).identity
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one")
        #expect(try app.tree.read("app.py") == "the app")
        #expect(try app.tree.status(entry("backups"))?.identity == before)
        // On another machine the backup directory may be a real one.
        let other = try TestApp()
        try other.tree.makeDirectory(entry("backups"))
        try other.done("restore", disk.path + "/one")
        #expect(try other.tree.status(entry("backups"))?.kind == .directory)
    }

    /// A configuration is made whole or not at all.
    @Test func aFailedConfigInitLeavesNothing() throws {
        let counted = try TestApp()
        try counted.tree.makeDirectory(entry("backups"))
        #expect(try counted.done("config", "init", "--dry-run").output.hasPrefix("to write: "))
        #expect(try FileManager.default.contentsOfDirectory(atPath: counted.path + "/backups").isEmpty)
        let calls = try Program(app: counted.path).countCalls("config", ["init"])
        #expect(calls > 3)
        try counted.run("config", "init", "--dry-run").expectError(1, "exists already")
        // The disk that it leads to is not mounted.
        let away = try TestApp()
        try away.tree.makeLink(entry("backups"), to: Array("nowhere".utf8))
        for dry in [["--dry-run"], []] {
            try Program.run(["config", "init", "--app", away.path] + dry).expectError(1, "backups")
        }
        for fault in ["EIO", "late-EIO", "ENOSPC"] {
            for number in 1...calls {
                let app = try TestApp()
                try app.tree.makeDirectory(entry("backups"))
                let answer = try app.run("config", "init", environment: ["CHASTIPI_FAULT": "\(number):\(fault)"])
                if answer.status == 0 { continue }
                answer.expectError(1)
                let left = try FileManager.default.contentsOfDirectory(atPath: app.path + "/backups")
                #expect(left.isEmpty, "call \(number), \(fault): \(left)")
            }
        }
    }

    @Test func errorsOfWrongUsageAndInJSONAreFitForAnyTerminalAndProgram() throws {
        let app = try TestApp()
        let odd = try app.run("create", "--nonsense\u{1b}[31m")
        odd.expectError(2, "--nonsense\\033[31m", "--help")
        let missing = try app.run("show", "nowhere", "--json")
        #expect(missing.status == 10)
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(missing.errors.utf8)) as? [String: Any])
        #expect(document["command"] as? String == "show" && document["error"] as? String == "not_found")
    }
}
