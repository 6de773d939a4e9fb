import Foundation
import TestKit
import Testing

/// A directory for repositories, and the program without an app.
struct RepositoryHome {
    let tree: TemporaryTree
    static let secret = "tr0ub4dor & 3"

    var path: String { tree.path + "/repository" }
    var password: String { tree.path + "/password" }

    init() throws {
        tree = try TemporaryTree()
        try tree.write("password", Self.secret + "\n")
        try tree.write("wrong", "tr0ub4dor & 4\n")
        try ToolRun.run("chmod", ["0600", password, tree.path + "/wrong"]).expectDone()
    }

    /// A verb of `repository`; with the right password, unless the environment says something else.
    func run(
        _ verb: [String], at location: String? = nil, environment: [String: String]? = nil, input: String = ""
    ) throws -> Program.Answer {
        try Program.run(
            ["repository"] + verb + ["--repository", location ?? path],
            environment: environment ?? ["RESTIC_PASSWORD_FILE": password], in: tree.path, input: Array(input.utf8))
    }

    @discardableResult
    func done(_ verb: String..., environment: [String: String]? = nil) throws -> Program.Answer {
        let answer = try run(verb, environment: environment)
        guard answer.status == 0 else { throw Program.UnexpectedAnswer(answer: answer) }
        return answer
    }

    func restic(
        _ arguments: [String], at location: String? = nil, passwordFile: String? = nil
    ) throws -> Program.Answer {
        let run = try ToolRun.run(
            "restic", ["--repo", location ?? path, "--no-cache"] + arguments, in: tree.path,
            environment: ["RESTIC_PASSWORD_FILE": passwordFile ?? password, "GOGC": "50"])
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    @discardableResult
    func resticDone(_ arguments: String...) throws -> String {
        let answer = try restic(arguments)
        guard answer.status == 0 else { throw Program.UnexpectedAnswer(answer: answer) }
        return answer.output
    }

    func names() throws -> [String] { try FileManager.default.contentsOfDirectory(atPath: tree.path).sorted() }
}

/// `repository init`: all or nothing, and restic opens what is there.
@Suite struct RepositoryInitTests {
    private let home: RepositoryHome

    init() throws {
        home = try RepositoryHome()
    }

    @Test func resticOpensIt() throws {
        let made = try home.done("init", "--json")
        let id = try #require(made.output.firstMatch(of: /"id": "([0-9a-f]{64})"/)).1
        #expect(try home.resticDone("cat", "config").contains("\"id\": \"\(id)\""))
        try home.resticDone("check", "--read-data")
        #expect(try home.restic(["snapshots"], passwordFile: home.tree.path + "/wrong").status != 0)
        try home.run(["init"]).expectError(1, "there is a repository at \(home.path) already")
    }

    @Test func anEmptyDirectoryIsTakenAndNoOther() throws {
        try home.tree.makeDirectory(entry("repository"))
        try home.done("init")
        try home.resticDone("snapshots")
        try home.tree.write("other/file", "x")
        try home.run(["init"], at: home.tree.path + "/other").expectError(1, "is not empty and no repository")
        try home.run(["init"], at: home.password).expectError(1, "cannot make a repository at \(home.password)")
        try home.run(["init"], at: home.tree.path + "/a/b").expectError(1, "the directory above it", "mounted")
        try home.run(["init"], at: "s3:host/bucket").expectError(2, "repositories at 's3:' cannot be used yet")
        #expect(try home.names() == ["other", "password", "repository", "wrong"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: home.tree.path + "/other") == ["file"])
    }

    @Test func aKitOpensItWithoutUs() throws {
        let made = try home.run(
            ["init", "--generate-password", "--emergency-kit", "kit"], at: "repository", environment: [:])
        #expect(made.status == 0, "\(made)")
        let kit = try home.tree.read("kit")
        let secret = try #require(kit.firstMatch(of: /Password +([0-9a-z-]{34})\n/)).1
        #expect(!made.output.contains(secret) && !made.errors.contains(secret))
        #expect(try ToolRun.run("stat", ["-c", "%a", home.tree.path + "/kit"]).output == Array("600\n".utf8))
        // As somebody types what is printed there.
        let commands = kit.matches(of: /\n {5}(restic .*)/).map { String($0.1) }
        #expect(commands.count == 3 && commands.allSatisfy { $0.contains(" -r \(home.path) ") }, "\(commands)")
        try home.tree.write("data/file", "kept")
        try home.tree.write("typed", String(secret))
        let backup = try home.restic(["backup", "data"], passwordFile: home.tree.path + "/typed")
        #expect(backup.status == 0, "\(backup)")
        for command in commands {
            let typed = try ToolRun.run(
                "sh", ["-c", command], in: home.tree.path, environment: ["RESTIC_PASSWORD": String(secret)])
            #expect(typed.status == 0, "\(command): \(String(decoding: typed.errors, as: UTF8.self))")
        }
        #expect(try home.tree.read("restored/data/file") == "kept")
        let id = try #require(kit.firstMatch(of: /Repository ID +([0-9a-f]{64})\n/)).1
        #expect(made.output.contains(id.prefix(8)))
    }

    @Test func aGeneratedPasswordIsKeptOrNotMade() throws {
        let place = home.tree.path + "/new"
        try home.run(["init", "--generate-password"], environment: [:]).expectError(2, "must be kept somewhere")
        try home.run(
            ["init", "--generate-password", "--emergency-kit", "kit", "--kit-without-password"], environment: [:]
        ).expectError(2, "must be kept somewhere")
        try home.run(["init", "--generate-password"]).expectError(1, "password file", "exists already")
        try home.run(["init", "--generate-password"], environment: ["RESTIC_PASSWORD": "x"])
            .expectError(2, "a password is given already")
        #expect(try home.names() == ["password", "wrong"])
        let made = try home.run(
            [
                "init", "--generate-password", "--password-file", place, "--emergency-kit", "kit",
                "--kit-without-password",
            ])
        #expect(made.status == 0, "\(made)")
        let secret = try home.tree.read("new").trimmingCharacters(in: .newlines)
        #expect(secret.utf8.count == 34)
        #expect(try ToolRun.run("stat", ["-c", "%a", place]).output == Array("600\n".utf8))
        let kit = try home.tree.read("kit")
        #expect(!kit.contains(secret) && kit.contains("it was in the file \(place)"))
        #expect(try home.restic(["snapshots"], passwordFile: place).status == 0)
    }

    /// What failed leaves nothing: no kit of a repository that is none, and nothing is overwritten.
    @Test func aDryRunOnlySays() throws {
        let (kit, file) = (home.tree.path + "/kit", home.tree.path + "/new")
        let before = try TreeSnapshot(of: home.tree.directory)
        let plain = try home.done("init", "--dry-run")
        #expect(plain.output == "to make: a repository at \(home.path)\n", "\(plain)")
        let all = try home.run(
            ["init", "--dry-run", "--generate-password", "--password-file", file, "--emergency-kit", kit])
        #expect(
            all.output.split(separator: "\n").dropFirst() == [
                "to write: its password to \(file)", "to write: the emergency kit to \(kit), with the password",
            ], "\(all)")
        #expect(try home.done("init", "--dry-run", "--json").output.contains("\"id\": null"))
        try home.run(["init", "--dry-run"], at: home.tree.path).expectError(1, "is not empty")
        try home.run(["init", "--dry-run"], environment: [:]).expectError(2, "no password was given")
        try home.run(["init", "--dry-run", "--emergency-kit", home.password]).expectError(1, "exists already")
        #expect(try TreeSnapshot(of: home.tree.directory) == before)
        try home.tree.makeDirectory(entry("repository"))
        for dry in [["--dry-run"], []] {
            try home.run(["init", "--generate-password", "--password-file", file, "--emergency-kit", file] + dry)
                .expectError(2, "cannot go to one file")
            try home.run(["init", "--emergency-kit", home.path + "/kit"] + dry).expectError(2, "in the repository")
        }
        #expect(try FileManager.default.contentsOfDirectory(atPath: home.path).isEmpty)
        try home.done("init")
        try home.run(["init", "--dry-run"]).expectError(1, "there is a repository")
    }

    @Test func whatFailsLeavesNothing() throws {
        try home.tree.write("kit", "mine")
        try home.run(["init", "--emergency-kit", "kit"]).expectError(1, "the emergency kit kit exists already")
        try home.run(["init", "--emergency-kit", "a/kit"]).expectError(1, "cannot write the emergency kit")
        try home.run(["init", "--kit-without-password"]).expectError(2, "is for --emergency-kit")
        #expect(try home.tree.read("kit") == "mine")
        let counting = ["RESTIC_PASSWORD_FILE": home.password, "CHASTIPI_FAULT_COUNT": home.tree.path + "/count"]
        #expect(try home.run(["init", "--emergency-kit", "new kit"], environment: counting).status == 0)
        let calls = try #require(Int(try home.tree.read("count").filter(\.isNumber)))
        try home.tree.remove(entry("repository"))
        for name in ["new kit", "count"] { try home.tree.remove(entry(name)) }
        #expect(calls > 256)
        // All of the beginning and the end; between, 256 directories are made.
        for call in Array(1...20) + [100, 200] + Array(calls - 15...calls) {
            var environment = ["RESTIC_PASSWORD_FILE": home.password]
            environment["CHASTIPI_FAULT"] = "\(call):ENOSPC"
            let answer = try home.run(["init", "--emergency-kit", "new kit"], environment: environment)
            #expect(answer.status == 1, "\(call): \(answer)")
            #expect(try home.names() == ["kit", "password", "wrong"], "\(call): \(answer)")
        }
    }

    @Test func whatWasCutOffIsMadeAgain() throws {
        let kill = ["RESTIC_PASSWORD_FILE": home.password, "CHASTIPI_FAULT": "100:kill"]
        #expect(try home.run(["init"], environment: kill).status == 137)
        #expect(try home.names() == ["password", "repository", "wrong"])
        try home.run(["key", "list"]).expectError(10, "there is no repository")
        try home.done("init")
        try home.resticDone("check")
        // A file beside says that it is something else.
        #expect(try home.run(["init"], at: home.tree.path + "/b", environment: kill).status == 137)
        try home.tree.write("b/note", "x")
        try home.run(["init"], at: home.tree.path + "/b").expectError(1, "is not empty and no repository")
    }

    @Test func noTerminalAndNoPasswordIsAnError() throws {
        try home.run(["init"], environment: [:], input: "typed\ntyped\n").expectError(2, "no password was given")
        #expect(try home.names() == ["password", "wrong"])
    }
}

/// Passwords that somebody types.
@Suite struct TypedPasswordTests {
    private let home: RepositoryHome

    init() throws {
        home = try RepositoryHome()
    }

    /// Runs its arguments on a terminal of their own, and types a line at each question that ends with ": ".
    private static let script = #"""
        import os, pty, select, sys
        answers = sys.argv[1].split("|")
        process, terminal = pty.fork()
        if process == 0: os.execv(sys.argv[2], sys.argv[2:])
        shown = new = b""
        while select.select([terminal], [], [], 60)[0]:
            try: part = os.read(terminal, 4096)
            except OSError: break
            if not part: break
            shown += part; new += part
            if new.endswith(b": ") and answers:
                os.write(terminal, answers.pop(0).encode() + b"\n"); new = b""
        sys.stdout.buffer.write(shown.replace(b"\r", b""))
        sys.exit(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
        """#

    private func typed(_ answers: String..., verb: String...) throws -> (status: Int32, shown: String) {
        let arguments = ["repository"] + verb + ["--repository", home.path]
        let run = try ToolRun.run(
            "python3", ["-c", Self.script, answers.joined(separator: "|"), Program.path] + arguments, in: home.tree.path
        )
        return (run.status, String(decoding: run.output + run.errors, as: UTF8.self))
    }

    @Test func aNewOneIsTypedTwiceAndNeverShown() throws {
        let different = try typed(RepositoryHome.secret, "another", verb: "init")
        #expect(different.status == 2 && different.shown.contains("error: the two passwords differ"), "\(different)")
        let empty = try typed("", verb: "init")
        #expect(empty.status == 2 && empty.shown.contains("error: the password is empty"), "\(empty)")
        #expect(try home.names() == ["password", "wrong"])
        let made = try typed(RepositoryHome.secret, RepositoryHome.secret, verb: "init")
        #expect(made.status == 0 && made.shown.contains("New password: ") && made.shown.contains("made the repository"))
        #expect(!made.shown.contains(RepositoryHome.secret))
        try home.resticDone("snapshots")
    }

    @Test func aWrongOneMayBeTypedAgainTwice() throws {
        try home.done("init")
        let right = try typed("wrong", "wrong too", RepositoryHome.secret, verb: "key", "list")
        #expect(right.status == 0, "\(right)")
        #expect(right.shown.contains("Password of the repository \(home.path): "), "\(right)")
        #expect(right.shown.matches(of: /warning: the password opens none of the keys/).count == 2, "\(right)")
        let wrong = try typed("a", "b", "c", RepositoryHome.secret, verb: "key", "list")
        #expect(wrong.status == 12 && wrong.shown.contains("error: the password opens none"), "\(wrong)")
        let added = try typed(RepositoryHome.secret, "new", "new", verb: "key", "add")
        #expect(added.status == 0 && added.shown.contains("added the key"), "\(added)")
        let changed = try typed("new", "newer", "newer", verb: "key", "passwd")
        #expect(changed.status == 0, "\(changed)")
        let old = try typed("new", "", "", verb: "key", "list")
        #expect(old.status == 12, "\(old)")
    }
}

/// Which repository is meant, and with which password it is opened.
@Suite struct RepositoryNamingTests {
    private let home: RepositoryHome
    private let app: TestApp

    init() throws {
        home = try RepositoryHome()
        app = try TestApp()
        try home.done("init")
    }

    private func names(_ environment: [String: String], _ more: String...) throws -> Program.Answer {
        try Program.run(["list", "--app", app.path, "--repository", home.path] + more, environment: environment)
    }

    @Test func passwordsComeFromManyPlaces() throws {
        let (right, wrong) = (home.password, home.tree.path + "/wrong")
        try home.tree.write("credentials/chastipi-backup-password", RepositoryHome.secret)
        let working: [[String: String]] = [
            ["CHASTIPI_BACKUP_PASSWORD_FILE": right, "RESTIC_PASSWORD_FILE": wrong],
            ["RESTIC_PASSWORD_FILE": right, "RESTIC_PASSWORD_COMMAND": "cat \(wrong)"],
            ["RESTIC_PASSWORD_COMMAND": "cat '\(right)'", "RESTIC_PASSWORD": "wrong"],
            ["RESTIC_PASSWORD": RepositoryHome.secret, "CREDENTIALS_DIRECTORY": home.tree.path + "/nowhere"],
            ["CREDENTIALS_DIRECTORY": home.tree.path + "/credentials"],
        ]
        for environment in working { #expect(try names(environment).status == 0, "\(environment)") }
        // As restic: what stands in the variable is it, byte for byte.
        let padded = try names(["RESTIC_PASSWORD": RepositoryHome.secret + "\n"])
        padded.expectError(12, "opens none of the keys", "tried: ")
        #expect(try names(["RESTIC_PASSWORD": "wrong"], "--password-file", right).status == 0)
        try names([:]).expectError(12, "no password was given")
        try names(["RESTIC_PASSWORD_COMMAND": "sh -c 'echo \(RepositoryHome.secret); exit 3'"])
            .expectError(1, "the password command 'sh' failed: it ended with status 3")
        try names(["RESTIC_PASSWORD_FILE": home.tree.path + "/nowhere"]).expectError(2, "cannot read the password file")
    }

    @Test func theConfigurationNamesRepositories() throws {
        try app.tree.write(
            "backups/backup.yaml",
            """
            repositories:
              usb: \(home.path)
              offsite:
                location: \(home.tree.path)/second
                password_command: "cat '\(home.password)'"
            """)
        let environment = ["RESTIC_PASSWORD": RepositoryHome.secret]
        try app.done("repository", "init", "--repository", "offsite")
        try app.done("create", "--repository", "offsite", "--name", "one")
        #expect(try app.done("list", "--repository", "offsite").output.contains("one"))
        #expect(try home.restic(["snapshots"], at: home.tree.path + "/second").output.contains("name=one"))
        #expect(try app.done("list", "--repository", "usb", environment: environment).output == "No backups found\n")
        // Found by its path, it has its password from there, too.
        #expect(try app.done("list", "--repository", home.tree.path + "/second/").output.contains("one"))
        let shown = try app.done("config", "show").output
        #expect(shown.contains("usb: \(home.path) (backup.yaml:2)"), "\(shown)")
        #expect(shown.contains("offsite: \(home.tree.path)/second, password from the command 'cat' (backup.yaml:3)"))
        #expect(try app.done("config", "show", "--json").output.contains("\"password_program\": \"cat\""))
        try app.run("repository", "init").expectError(2, "which repository?", "usb, offsite")
    }

    /// Where nobody can be asked, what has no password is told of and passed over.
    @Test func aConfiguredRepositoryWithoutAPasswordIsPassedOver() throws {
        try app.tree.write("backups/backup.yaml", "repositories:\n  usb: \(home.path)\n")
        try app.done("create", "--name", "one")
        let list = try app.done("list")
        #expect(list.output.contains("one") && list.errors.contains("no password was given"), "\(list)")
    }

    /// Promise 4: wherever they lie.
    @Test func configuredRepositoriesAreInNoBackup() throws {
        let place = app.path + "/data/repository"
        try app.tree.write("backups/backup.yaml", "repositories:\n  near: \(place)\n")
        let environment = ["RESTIC_PASSWORD_FILE": home.password]
        try app.done("repository", "init", "--repository", "near", environment: environment)
        try app.done("create", "--name", "one")
        #expect(try app.shell("ls backups/one/data") == "app.db\ndeep\n")
        try app.done("create", "--name", "two", "--repository", "near", environment: environment)
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try app.done("list", "--repository", "near", environment: environment).output.contains("two"))
    }

    /// A variable that is set for restic must not send an app's backups elsewhere.
    @Test func resticsVariableCountsOnlyWhereARepositoryIsAskedFor() throws {
        try home.tree.write("place", "  \(home.path)\n")
        let environment = ["RESTIC_REPOSITORY": home.path, "RESTIC_PASSWORD_FILE": home.password]
        try app.done("create", "--name", "local", environment: environment)
        #expect(try app.backups() == ["local"])
        try app.done("create", "--name", "distant", "--format", "repository", environment: environment)
        #expect(try app.backups() == ["local"])
        #expect(try !app.done("list", environment: environment).output.contains("distant"))
        #expect(try home.resticDone("snapshots").contains("name=distant"))
        for more in [["RESTIC_REPOSITORY": home.path], ["RESTIC_REPOSITORY_FILE": home.tree.path + "/place"]] {
            try Program.run(["repository", "init"], environment: more, in: home.tree.path)
                .expectError(1, "there is a repository at \(home.path) already")
        }
        var both = environment
        both["RESTIC_REPOSITORY_FILE"] = home.tree.path + "/place"
        try Program.run(["repository", "init"], environment: both, in: home.tree.path).expectError(2, "are both set")
        try app.run("create", "--format", "repository").expectError(2, "which repository?")
    }
}
