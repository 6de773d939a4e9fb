import Foundation
import Model
import TestKit
import Testing

/// `doctor`: what keeps backups and restores from working.
@Suite struct DoctorTests {
    private struct Finding: Equatable {
        let check: String
        let level: String
        let text: String
        let advice: String
    }

    private func findings(_ answer: Program.Answer) throws -> [Finding] {
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any], "\(answer)")
        #expect(document["schema_version"] as? Int == 1 && document["command"] as? String == "doctor")
        return try #require(document["checks"] as? [[String: String]]).map { check in
            Finding(
                check: check["check"] ?? "", level: check["level"] ?? "", text: check["finding"] ?? "",
                advice: check["advice"] ?? "")
        }
    }

    private func diagnose(
        _ app: TestApp, _ arguments: String..., environment: [String: String] = [:]
    ) throws -> (status: Int32, findings: [Finding]) {
        let answer = try Program.run(["doctor", "--json", "--app", app.path] + arguments, environment: environment)
        let findings = try findings(answer)
        // Each that is worse than a note says what to do.
        for finding in findings where finding.level == "warning" || finding.level == "problem" {
            #expect(!finding.advice.isEmpty, "\(finding)")
        }
        #expect(answer.status == (findings.contains { $0.level == "problem" } ? 1 : 0), "\(answer)")
        return (answer.status, findings)
    }

    private func expect(
        _ findings: [Finding], _ check: String, _ level: String, _ text: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(
            findings.contains { $0.check == check && $0.level == level && $0.text.contains(text) }, "\(findings)",
            sourceLocation: sourceLocation)
    }

    @Test func aSoundAppHasNoProblem() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let (status, findings) = try diagnose(app)
        #expect(status == 0)
        let checks = findings.map(\.check)
        for check in [
            "configuration", "backups", "space", "inodes", "permissions", "ownership", "file system", "mount", "disk",
            "clock",
            "items", "python",
        ] { #expect(checks.contains(check), "\(check) in \(checks)") }
        #expect(findings.filter { $0.level == "problem" } == [])
        expect(findings, "file system", "warning", "tmpfs")
        let text = try app.done("doctor").output.split(separator: "\n")
        #expect(text.count == findings.count && text.allSatisfy { $0.contains(/^(ok|note|warning|problem) +[a-z]/) })
    }

    @Test func beforeTheFirstBackupNothingIsMade() throws {
        let app = try TestApp()
        let (status, findings) = try diagnose(app)
        #expect(status == 0)
        expect(findings, "backup directory", "note", "there is none yet")
        #expect(try app.tree.status(entry("backups")) == nil && app.tree.status(entry(".chastipi")) == nil)
    }

    @Test func aMissingBackupDirectoryIsToldOnce() throws {
        let app = try TestApp()
        let (status, findings) = try diagnose(app, "--backup-dir", app.path + "/nowhere")
        #expect(status == 1)
        #expect(findings.filter { $0.text.contains("nowhere") }.count == 1, "\(findings)")
        expect(findings, "backup directory", "problem", "does not exist")
    }

    @Test func brokenConfigurationAndBackupsAreProblems() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.done("create", "--name", "two")
        try app.shell("echo x >> backups/two/backup_metadata.json; mkdir backups/unknown backups/.partial-x")
        try app.tree.write("backups/backup.yaml", "itmes: [data]\n")
        try app.tree.write(".backupignore", "*.tmp\n[\n")
        let (_, findings) = try diagnose(app)
        expect(findings, "configuration", "problem", "backup.yaml:1:1: there is no key 'itmes'")
        expect(findings, "configuration", "warning", ".backupignore:2")
        expect(findings, "backups", "problem", "two is damaged")
        expect(findings, "backups", "note", "unknown is not ours")
        expect(findings, "backups", "note", ".partial-x")
    }

    @Test func linkedAndMissingItemsAreNamed() throws {
        let app = try TestApp()
        try app.tree.makeLink(entry("static"), to: Array("/srv/elsewhere".utf8))
        try app.tree.makeLink(entry("run.py"), to: Array("app.py".utf8))
        let (_, findings) = try diagnose(app)
        expect(findings, "items", "warning", "static is a link out of the app to /srv/elsewhere")
        expect(findings, "items", "note", "run.py is a link to app.py")
        try app.tree.write("backups/backup.yaml", "items: [data, dta]\n")
        let configured = try diagnose(app).findings
        expect(configured, "items", "warning", "the app has no 'dta'")
        expect(configured, "items", "note", "no backup covers app.py")
    }

    @Test func aWrongClockIsFound() throws {
        let app = try TestApp()
        func at(_ time: String, _ arguments: String...) throws -> Program.Answer {
            let run = try ToolRun.run("faketime", [time, Program.path] + arguments + ["--app", app.path])
            return Program.Answer(
                status: run.status, output: String(decoding: run.output, as: UTF8.self),
                errors: String(decoding: run.errors, as: UTF8.self))
        }
        #expect(try at("2099-12-31 12:00:00", "create", "--name", "future").status == 0)
        expect(try diagnose(app).findings, "clock", "warning", "future is from the future")
        let asleep = try at("1970-01-01 00:10:00", "doctor", "--json")
        #expect(asleep.status == 1)
        expect(try findings(asleep), "clock", "problem", "it says 1970-01-01 00:10:0")
    }

    /// Of programs that say what they like.
    @Test(arguments: [
        ("echo Python 3.12.1", "ok", "3.12.1"), ("echo Python 3.8.10", "note", "3.8.10 is too old"),
        ("echo Python 2.7", "note", "2.7 is too old"), ("exit 3", "note", "does not tell"),
        ("echo Python", "note", "does not tell"),
        ("printf 'Python 3.12\\033[2J\\n'", "note", "does not tell"), ("yes", "note", "does not tell"),
        ("exec sleep 60", "note", "does not tell"),
    ])
    func pythonIsAsked(script: String, level: String, text: String) throws {
        let app = try TestApp()
        try app.tree.write(entry("bin/python3"), Array("#!/bin/sh\n\(script)\n".utf8), mode: 0o755)
        let path = "\(app.path)/bin:/usr/bin:/bin"
        let findings = try diagnose(app, environment: ["PATH": path]).findings
        expect(findings, "python", level, text)
        #expect(findings.allSatisfy { !$0.text.contains("\u{1b}") })
    }

    @Test func withoutPythonOnlyTheShimIsConcerned() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let answer = try ToolRun.run(
            Program.path, ["doctor", "--json", "--app", app.path], environment: ["PATH": app.path])
        expect(
            try findings(
                .init(status: answer.status, output: String(decoding: answer.output, as: UTF8.self), errors: "")),
            "python", "note", "there is no python3")
        try app.tree.write("backups/backup_manager.py", "")
        let used = try ToolRun.run(
            Program.path, ["doctor", "--json", "--app", app.path], environment: ["PATH": app.path])
        expect(
            try findings(.init(status: used.status, output: String(decoding: used.output, as: UTF8.self), errors: "")),
            "python", "warning", "there is no python3")
    }
}

/// What only root can arrange.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct DoctorAsRootTests {
    @Test func aFullOrReadOnlyDiskIsAProblem() throws {
        let app = try TestApp()
        try app.mount(at: "backups", size: "2m")
        try app.done("create", "--name", "one")
        try app.shell("head -c 3000000 /dev/zero > backups/.fill || true; ls")
        let full = try app.run("doctor")
        #expect(full.status == 1 && full.output.contains(/problem +space +0 B free/), "\(full)")
        try app.shell("rm backups/.fill; mount -o remount,ro backups; ls")
        let readOnly = try app.run("doctor")
        #expect(readOnly.status == 1, "\(readOnly)")
        #expect(
            readOnly.output.contains(/problem +mount +the backup directory is on a read-only file system/),
            "\(readOnly)")
        #expect(readOnly.output.contains(/ok +disk +the backups lie on another one/), "\(readOnly)")
        #expect(try app.run("status").status == 0)
    }

    @Test func aStrangerIsToldWhatHeMayNotDo() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.shell("chmod 700 data; ls")
        func diagnose() throws -> (status: Int32, text: String) {
            let run = try ToolRun.run(
                "setpriv",
                ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "doctor", "--app", app.path],
                in: app.path)
            return (run.status, String(decoding: run.output, as: UTF8.self))
        }
        let closed = try diagnose()
        #expect(closed.status == 1, "\(closed)")
        #expect(
            closed.text.contains(/problem +backup directory +cannot be looked at: .*: permission denied/), "\(closed)")
        try app.shell("chmod -R a+rX backups; ls")
        let open = try diagnose()
        #expect(open.status == 1, "\(open)")
        #expect(open.text.contains(/problem +permissions +the backup directory cannot be changed/), "\(open)")
        #expect(open.text.contains(/warning +permissions +the app cannot be changed/), "\(open)")
        #expect(open.text.contains(/warning +permissions +data cannot be read/), "\(open)")
        #expect(open.text.contains(/warning +ownership +the app belongs to root, and not to who runs this/), "\(open)")
    }

    @Test func anotherOwnerAndOpenDirectoriesAreNamed() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.shell("chown 65534 backups; chmod o+w backups; ls")
        let answer = try app.done("doctor")
        #expect(
            answer.output.contains(/warning +ownership +the backup directory belongs to \w+, the app to root/),
            "\(answer)")
        #expect(answer.output.contains(/warning +permissions +everyone may change the backup directory/), "\(answer)")
    }

    @Test(.enabled(if: FileSystemTests.hasVfat, "this kernel has no vfat"))
    func aDiskThatKeepsNoAttributesIsNamed() throws {
        guard let system = try Needs.system("vfat", megabytes: 40) else { return }
        let app = try TestApp()
        let answer = try app.run("doctor", "--backup-dir", system.path)
        #expect(
            answer.output.contains(/warning +file system +vfat, which keeps no owners, modes and links/), "\(answer)")
    }
}
