import Foundation
import Model
import TestKit
import Testing

/// Encrypted zips: written, listed, read with the right password alone, and by other programs.
@Suite struct EncryptedZipTests {
    private static let secret = "tr0ub4dor & 3"
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Zips")
    private let outside: TemporaryTree

    init() throws {
        outside = try TemporaryTree()
        try outside.write("right", Self.secret + "\nnot this line\n")
        try outside.write("wrong", "tr0ub4dor & 4\n")
        try outside.write("empty", "\nsecond line\n")
        try ToolRun.run("chmod", ["-R", "go=", outside.path]).expectDone()
    }

    private var right: String { outside.path + "/right" }
    private var wrong: String { outside.path + "/wrong" }

    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.makeHardLink(entry("data/second"), to: entry("data/deep/one"))
        try app.tree.makeLink(entry("uploads/link"), to: Array("picture".utf8))
        try app.shell(
            """
            mkdir data/empty; : > data/nothing; chmod 0640 config.json; seq 1 1200000 > data/text
            head -c 9000000 /dev/urandom > data/random; head -c 8388608 /dev/zero > data/exact
            echo aa > data/twin-a; echo bb > data/twin-b
            """)
        return app
    }

    // MARK: Round trips

    @Test func anAppIsDestroyedRestoredAndUndone() throws {
        let app = try makeApp()
        let before = try app.snapshot()
        try app.done("zip", "--name", "one", "--password-file", right, "--verify")
        let listed = try app.done("list")
        #expect(listed.output.contains("encrypted") && listed.errors.isEmpty, "\(listed)")
        #expect(try app.done("list", "--json").output.contains("\"encrypted\": true"))
        try app.shell("rm -rf data uploads; echo broken > app.py")
        let broken = try app.snapshot()
        try app.done("restore", "one", "--skip-safety-backup", "--password-file", right)
        try app.expect(before, but: ".: time")
        try app.done("undo")
        try app.expect(broken, but: ".: time")
        try app.done("undo")
        let environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": right]
        #expect(try app.done("verify", "one", environment: environment).output.contains("whole"))
        #expect(try app.done("diff", "one", environment: environment).output.contains("are equal"))
        #expect(try app.done("show", "one", environment: environment).output.contains("config.json"))
        try app.done("delete", "one", "--yes")
        #expect(try app.backups().isEmpty)
    }

    @Test func copiesStayEncryptedUnlessTheyBecomeFolders() throws {
        let app = try makeApp()
        try app.done("create", "--name", "open")
        try app.done("copy", "open", "--to", "zip", "--name", "closed", "--password-file", right)
        try app.done("copy", "closed", "--to", "zip", "--name", "again", "--password-file", right)
        let opened = try app.done("copy", "closed", "--to", "folder", "--name", "opened", "--password-file", right)
        #expect(opened.errors.contains("'closed' is encrypted, its copy is not"), "\(opened)")
        let list = try app.done("list").output.split(separator: "\n")
        for name in ["closed", "again"] {
            #expect(list.contains { $0.hasPrefix(name) && $0.contains("encrypted") }, "\(list)")
        }
        #expect(list.contains { $0.hasPrefix("opened") && !$0.contains("encrypted") }, "\(list)")
        let environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": right]
        for name in ["closed", "again", "opened"] {
            #expect(try app.done("diff", "open", name, environment: environment).output.contains("are equal"))
        }
        try app.done("verify", "--all", environment: environment)
    }

    /// What a run knows a password for does not become readable beside it: neither a scheduled zip nor a safety backup.
    @Test func theSafetyBackupBeforeAnEncryptedOneIsEncrypted() throws {
        let app = try makeApp()
        try app.done("zip", "--name", "one", "--password-file", right)
        try app.tree.write("config.json", "a secret of later")
        let answer = try app.done("restore", "one", "--password-file", right)
        let safety = try #require(try app.backups().first { $0.hasPrefix("pre_restore_backup_") }, "\(answer)")
        #expect(safety.hasSuffix(".zip"))
        #expect(try app.run("verify", safety).status == 12)
        try app.done("verify", safety, "--password-file", right)
    }

    @Test func theEnvironmentEncryptsEveryZip() throws {
        let app = try TestApp()
        try app.tree.write("backups/backup.yaml", "format: zip\n")
        let environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": right]
        try app.done("create", "--name", "one", environment: environment)
        try app.done("auto", environment: environment)
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one", "--yes", "--password-file", right)
        let list = try app.done("list").output.split(separator: "\n").filter { $0.contains("zip") }
        #expect(list.count == 3 && list.allSatisfy { $0.contains("encrypted") }, "\(list)")
        // A folder is none of its business.
        try app.done("create", "--name", "folder", "--format", "folder", environment: environment)
    }

    // MARK: Passwords

    @Test func aWrongOrMissingPasswordIs12AndChangesNothing() throws {
        let app = try TestApp()
        try app.done("zip", "--name", "one", "--password-file", right)
        try app.done("create", "--name", "folder")
        let zip = app.path + "/backups/one.zip"
        try app.tree.write("app.py", "changed")
        let before = try app.snapshot()
        let (names, state) = (try app.backups(), try app.shell("find backups | sort"))
        for arguments in [
            ["show", "one"], ["show", zip], ["verify", "one"], ["restore", "one", "--yes"],
            ["restore", "one", "--dry-run"], ["restore", "one", "--to", app.path + "/to"], ["diff", "one"],
            ["diff", "folder", "one"], ["copy", "one", "--to", "folder"],
        ] {
            let missing = try Program.run(arguments + ["--app", app.path])
            missing.expectError(12, "no password was given", "--password-file", "CHASTIPI_BACKUP_PASSWORD_FILE")
            let mistaken = try Program.run(arguments + ["--password-file", wrong, "--app", app.path])
            mistaken.expectError(12, "the password is wrong")
        }
        #expect(try app.run("show", "one", "--json").errors.contains("\"wrong_password\""))
        #expect(try app.backups() == names && app.shell("find backups | sort") == state)
        try app.expect(before)
        // Where there are others they are verified all the same.
        let all = try app.run("verify", "--all")
        #expect(all.status == 12 && all.output.contains("one: not verified") && all.output.contains("folder: whole"))
    }

    @Test func passwordFilesThatCannotBeUsedAreUsage() throws {
        let app = try TestApp()
        let empty = outside.path + "/empty"
        try app.run("zip", "--password-file", empty).expectError(2, "has no password")
        try app.run("zip", "--password-file", outside.path + "/none").expectError(2, "cannot read the password file")
        try app.run("zip", "--password-file", "/dev/zero").expectError(2, "longer than a password is")
        try app.run("zip", "--encrypt").expectError(2, "no password was given, and there is no terminal")
        try app.run("create", "--format", "folder", "--password-file", right).expectError(
            2, "a folder is not encrypted")
        #expect(try !app.tree.directory.items().contains { $0.name.elementsEqual("backups".utf8) })
        try app.run("create", "--encrypt").expectError(2, "a folder is not encrypted")
        #expect(try app.backups().isEmpty)
        try ToolRun.run("chmod", ["0644", right]).expectDone()
        let told = try app.done("zip", "--name", "one", "--password-file", right)
        #expect(told.errors.contains("warning: every user can read the password file"), "\(told)")
    }

    /// Everything that is said, kept and logged, with the right password and with a wrong one.
    @Test func thePasswordIsInNoOutput() throws {
        let app = try TestApp()
        let secret = Self.secret
        var said = ""
        for arguments in [
            ["zip", "--name", "one", "-v"], ["show", "one", "--json"], ["verify", "one", "-v"],
            ["restore", "one", "--yes", "-v"], ["copy", "one", "--to", "folder", "--json"], ["diff", "one"],
            ["zip", "--name", "one"], ["zip", "--nonsense"], ["list", "--json"], ["config", "show"],
        ] {
            let isPlain = ["list", "config"].contains(arguments[0])
            let file = isPlain ? [] : ["--password-file", right]
            said += try Program.run(arguments + file + ["--app", app.path]).description
        }
        #expect(!said.contains(secret))
        let kept = try app.shell("grep -rlF '\(secret)' . || true")
        #expect(kept.isEmpty, "\(kept)")
    }

    /// On a terminal it is asked for: twice to write, once to read, and not shown.
    @Test func thePasswordIsAskedForOnATerminal() throws {
        let app = try TestApp()
        let made = try onTerminal(["zip", "--name", "one", "--encrypt"], app, answers: [Self.secret, Self.secret])
        #expect(made.status == 0 && made.text.contains("New password: ") && made.text.contains("The same again: "))
        try app.done("verify", "one", "--password-file", right)
        let read = try onTerminal(["verify", "one"], app, answers: [Self.secret])
        #expect(read.status == 0 && read.text.contains("Password of one: ") && read.text.contains("whole"))
        let wrong = try onTerminal(["verify", "one"], app, answers: ["guess"])
        #expect(wrong.status == 12 && wrong.text.contains("the password is wrong"))
        let differing = try onTerminal(["zip", "--encrypt"], app, answers: ["guess", "guest"])
        #expect(differing.status == 2 && differing.text.contains("the two passwords differ"))
        let none = try onTerminal(["zip", "--encrypt"], app, answers: [""])
        #expect(none.status == 2 && none.text.contains("the password is empty"))
        let interrupted = try onTerminal(["verify", "one"], app, answers: ["\u{3}"])
        #expect(interrupted.status == 130 && interrupted.text.contains("interrupted; nothing was changed"))
        #expect(try onTerminal(["list"], app, answers: []).status == 0)
        for answer in [made, read, wrong, differing] {
            #expect(!answer.text.contains(Self.secret) && !answer.text.contains("gues"), "\(answer.text)")
        }
    }

    private func onTerminal(
        _ arguments: [String], _ app: TestApp, answers: [String]
    ) throws -> (status: Int32, text: String) {
        let script = """
            import os, pty, sys
            count = int(sys.argv[1]); answers = sys.argv[2:2 + count]; command = sys.argv[2 + count:]
            pid, terminal = pty.fork()
            if pid == 0: os.execv(command[0], command)
            text = b""
            while True:
                try: piece = os.read(terminal, 4096)
                except OSError: break
                if not piece: break
                text += piece
                if answers and (b"assword" in text or b"again" in text) and text.endswith(b": "):
                    answer = answers.pop(0).encode()
                    os.write(terminal, answer if answer == b"\\x03" else answer + b"\\n")
            sys.stdout.buffer.write(text)
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            """
        let run = try ToolRun.run(
            "timeout",
            ["30", "python3", "-c", script, "\(answers.count)"] + answers + [Program.path] + arguments
                + ["--app", app.path])
        return (run.status, String(decoding: run.output, as: UTF8.self))
    }

    // MARK: What is visible

    /// Names of files stand in the directory alone; what was skipped, excluded and absent only in what is encrypted.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func theMetadataWithholdsNames() throws {
        let app = try TestApp()
        try app.shell(
            "chown -R 65534:65534 .; echo secret > data/unread; chown 0:0 data/unread; chmod 0600 data/unread")
        try app.shell("cp '\(right)' /tmp/$$ && mv /tmp/$$ password && chown 65534 password")
        let zip = ["zip", "--name", "one", "--exclude", "uploads/picture", "--tag", "word"]
        let made = try ToolRun.run(
            "setpriv",
            ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path] + zip
                + ["--app", app.path, "--password-file", app.path + "/password"], in: app.path)
        #expect(made.status == 3, "\(String(decoding: made.errors, as: UTF8.self))")
        let open = String(
            decoding: try ToolRun.run("unzip", ["-p", app.path + "/backups/one.zip", "backup_metadata.json"]).output,
            as: UTF8.self)
        #expect(open.contains("\"encrypted\": true") && open.contains("\"incomplete\": true") && open.contains("word"))
        for name in ["unread", "picture", "config.json", "templates", "requirements.txt", "__pycache__"] {
            #expect(!open.contains(name), "\(name)")
        }
        let all = try app.shell("tr -cd '[:print:]' < backups/one.zip")
        #expect(!all.contains("unread") && !all.contains("requirements.txt"))
        let list = try app.done("list")
        #expect(list.output.contains("incomplete, encrypted"), "\(list)")
        let shown = try app.done("show", "one", "--password-file", right)
        for name in ["data/unread: permission denied", "requirements.txt"] {
            #expect(shown.output.contains(name), "\(shown)")
        }
        #expect(try app.done("show", "one", "--json", "--password-file", right).output.contains("uploads/picture"))
    }

    // MARK: Other programs

    @Test(.enabled(if: Needs.tools("7z", "bsdtar"))) func otherProgramsReadIt() throws {
        let app = try makeApp()
        try app.done("zip", "--name", "one", "--password-file", right)
        let zip = app.path + "/backups/one.zip"
        try outside.makeDirectory(entry("7z"))
        let unpacked = outside.path + "/7z"
        try ToolRun.run("7z", ["x", "-p" + Self.secret, "-o" + unpacked, zip]).expectDone()
        for file in ["data/text", "data/random", "data/exact", "data/nothing", "data/second", "uploads/link", "app.py"]
        {
            try ToolRun.run("cmp", ["\(app.path)/\(file)", "\(unpacked)/\(file)"]).expectDone()
        }
        #expect(try ToolRun.run("readlink", [unpacked + "/uploads/link"]).output == Array("picture\n".utf8))
        #expect(try ToolRun.run("7z", ["t", "-pwrong", zip]).status != 0)
        // libarchive reads no encrypted links.
        try app.done("zip", "--name", "two", "--password-file", right, "--exclude", "uploads/link")
        try outside.makeDirectory(entry("bsdtar"))
        let other = outside.path + "/bsdtar"
        try ToolRun.run(
            "bsdtar", ["--passphrase", Self.secret, "-xf", app.path + "/backups/two.zip", "-C", other]
        ).expectDone()
        for file in ["data/text", "data/random", "data/exact", "data/nothing", "data/second", "app.py"] {
            try ToolRun.run("cmp", ["\(app.path)/\(file)", "\(other)/\(file)"]).expectDone()
        }
    }

    @Test(.enabled(if: Needs.tools("7z"))) func encryptedZipsOfOthersAreNotOurs() throws {
        let app = try TestApp()
        try app.shell(
            "7z a -tzip -mem=AES256 -psecret aes.zip app.py data; 7z a -tzip -mem=ZipCrypto -psecret old.zip app.py")
        let aes = try app.run("restore", app.path + "/aes.zip", "--password-file", right)
        aes.expectError(20, "there is no sealed and encrypted MANIFEST.mtree")
        try app.run("show", app.path + "/old.zip").expectError(1, "is encrypted with ZipCrypto")
        try app.shell("mkdir backups; mv aes.zip old.zip backups")
        let list = try app.done("list")
        #expect(list.output.contains("there is no sealed and encrypted MANIFEST.mtree"), "\(list)")
    }

    // MARK: Damage and forgery

    /// By someone who lacks the password, with a seal made anew.
    @Test(arguments: ["member", "added", "manifest", "metadata", "exchanged", "all-plain", "unsealed"])
    func aForgedZipIsDamaged(how: String) throws {
        let app = try TestApp()
        try app.shell("echo aa > data/twin-a; echo bb > data/twin-b")
        try app.done("zip", "--name", "one", "--password-file", right)
        try ToolRun.run(
            "python3",
            [
                Self.folder.appending(path: "tamper-encrypted").path, how, app.path + "/backups/one.zip",
                app.path + "/backups/two.zip",
            ]
        ).expectDone()
        try app.tree.remove(entry("data/twin-a"))
        let before = try app.snapshot()
        try app.run("restore", "two", "--yes", "--skip-safety-backup", "--password-file", right).expectError(20)
        #expect(try app.run("verify", "two", "--password-file", right).status == 20)
        try app.expect(before)
    }

    /// Cut, or changed anywhere: with the right password damage, with a wrong one too.
    @Test func damageIsNoWrongPassword() throws {
        let app = try TestApp()
        try app.done("zip", "--name", "one", "--password-file", right)
        let size = try #require(try app.tree.status(entry("backups/one.zip"))?.size)
        for offset in stride(from: 0, to: size, by: max(1, Int(size) / 40)) {
            try app.shell(
                "cp backups/one.zip kept; printf '\\377' | dd of=backups/one.zip bs=1 seek=\(offset) conv=notrunc 2>/dev/null"
            )
            if try app.shell("cmp -s kept backups/one.zip && echo same || true") != "same\n" {
                for file in [right, wrong] {
                    let restored = try app.run("restore", "one", "--skip-safety-backup", "--password-file", file)
                    restored.expectError(20, "damaged")
                }
            }
            try app.shell("mv kept backups/one.zip")
        }
    }

    /// What prune removes is replaced by something whose bytes are proven, also where nobody gives the password.
    @Test func pruneProvesWhatItCannotRead() throws {
        let app = try TestApp()
        for name in ["one", "two", "three"] { try app.done("zip", "--name", name, "--password-file", right) }
        let prune = ["prune", "--keep-last", "2", "--include-named", "--yes"]
        try app.shell(
            "cp backups/three.zip kept; printf xxxxxxxx | dd of=backups/three.zip bs=1 seek=100 conv=notrunc 2>/dev/null"
        )
        let refused = try Program.run(prune + ["--app", app.path])
        refused.expectError(20, "nothing was removed")
        try app.shell("mv kept backups/three.zip")
        let done = try Program.run(prune + ["--app", app.path])
        #expect(done.status == 0, "\(done)")
        #expect(try app.backups() == ["three.zip", "two.zip"])
        try app.done("verify", "--all", environment: ["CHASTIPI_BACKUP_PASSWORD_FILE": right])
    }
}

extension ToolRun {
    func expectDone(sourceLocation: SourceLocation = #_sourceLocation) {
        #expect(
            status == 0, "\(String(decoding: output + errors, as: UTF8.self))", sourceLocation: sourceLocation)
    }
}
