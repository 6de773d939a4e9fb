import Foundation
import Model
import TestKit
import Testing

/// What the program says, word for word: help, results, plans and errors. A changed text shows in a diff of `Golden/`;
/// `CHASTIPI_GOLDEN=write` writes the files anew.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct GoldenTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Golden")
    private static let isWriting = ProcessInfo.processInfo.environment["CHASTIPI_GOLDEN"] == "write"

    /// Runs commands one after the other and writes down what they say.
    private struct Transcript {
        let app: TestApp
        private(set) var text = ""

        mutating func run(_ arguments: String...) throws { try run(arguments) }

        mutating func run(_ arguments: [String]) throws {
            let answer = try Program.run(arguments + ["--app", app.path])
            text += "$ chastipi-backup \(arguments.joined(separator: " "))\n"
            text += answer.output
            if !answer.errors.isEmpty { text += "--- on standard error\n\(answer.errors)" }
            text += "--- status \(answer.status)\n\n"
        }

        /// Shows what stands in a file of the app.
        mutating func add(file: String) throws {
            text += "$ cat \(file)\n\(try app.tree.read(file))\n"
        }

        /// Without what differs from run to run and from one computer to the next.
        var normalized: String {
            var text = text.replacing(app.path, with: "APP")
            let parts: [(Regex<Substring>, String)] = [
                (/\d{8}_\d{6}/, "DATE_TIME"),
                (/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[0-9.:Z+-]*/, "RFC3339"),
                (/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/, "DATE TIME"),
                (/in \d+\.\d s\b/, "in N s"),
                (/"milliseconds": \d+/, "\"milliseconds\": N"),
                (/"seal": "[0-9a-f]{64}"/, "\"seal\": \"SHA-256\""),
                (/host: .*/, "host: HOST"),
                (/"host": ".*"/, "\"host\": \"HOST\""),
                (/milliseconds: \d+/, "milliseconds: N"),
                (/restores\/[0-9a-f]{32} \(\d+ kB\)/, "restores/ID (N kB)"),
                (/pid \d+/, "pid N"),
                (/APP\/..\/repository-of-[^ :\n"]*/, "REPOSITORY"),
                (/"user": ".*"/, "\"user\": \"USER\""),
                (/on computer .*/, "on computer    HOST"),
                (/\b[0-9a-f]{64}\b/, "ID"),
                (/\b[0-9a-f]{8}\b/, "ID"),
            ]
            for (pattern, replacement) in parts { text = text.replacing(pattern, with: replacement) }
            return text
        }
    }

    private func expect(_ transcript: Transcript, _ name: String) throws {
        let file = Self.folder.appending(path: name + ".txt")
        let text = transcript.normalized
        if Self.isWriting {
            try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
            try Data(text.utf8).write(to: file)
        }
        let expected = try String(contentsOf: file, encoding: .utf8)
        let (a, b) = (expected.split(separator: "\n"), text.split(separator: "\n"))
        let first = zip(a, b).first { $0 != $1 }
        #expect(
            expected == text,
            "\(name): expected '\(first?.0 ?? "")', is '\(first?.1 ?? "")'; CHASTIPI_GOLDEN=write writes the file anew")
    }

    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        try app.tree.write("notes.txt", "covered by nothing")
        try app.tree.write("data/__pycache__/x.pyc", "excluded")
        return app
    }

    @Test func help() throws {
        var transcript = Transcript(app: try makeApp())
        let verbs = [
            "create", "auto", "list", "show", "verify", "restore", "undo", "recover", "delete", "prune", "status",
            "doctor", "repository", "config",
        ]
        try transcript.run("--help")
        for verb in verbs { try transcript.run(verb, "--help") }
        for words in ["init", "check", "stats", "prune", "repair", "key", "unlock"] {
            try transcript.run("repository", words, "--help")
        }
        for words in ["index", "snapshots"] { try transcript.run("repository", "repair", words, "--help") }
        try expect(transcript, "help")
    }

    @Test(arguments: [
        "create", "auto", "zip", "restore", "undo", "recover", "delete", "prune", "copy", "config init",
        "repository init", "repository prune", "repository repair index", "repository repair packs",
        "repository repair snapshots", "repository unlock", "repository key add", "repository key remove",
        "repository key passwd",
    ])
    func whateverChangesSomethingCanBeTried(verb: String) throws {
        let help = try Program.run(verb.split(separator: " ").map(String.init) + ["--help"])
        #expect(help.status == 0 && help.output.contains("--dry-run  "), "\(help)")
    }

    /// It is 40 MB that each command would load, and few computers have libyaml (decision 022).
    @Test func neitherFoundationNorLibyamlIsNeeded() throws {
        let libraries = try ToolRun.run("ldd", [Program.path])
        let text = String(decoding: libraries.output, as: UTF8.self)
        #expect(libraries.status == 0 && text.contains("libsqlite3"), "\(text)")
        #expect(!text.contains("libFoundation.so") && !text.contains("libyaml"), "\(text)")
    }

    @Test func theLifeOfABackup() throws {
        var transcript = Transcript(app: try makeApp())
        let app = transcript.app
        try transcript.run("list")
        try transcript.run("create", "--name", "one", "--dry-run")
        try transcript.run("create", "--name", "one", "--tag", "first")
        try transcript.run("show", "one")
        try transcript.run("verify", "one")
        try app.tree.write("app.py", "changed")
        try app.tree.write("data/new", "new")
        try app.tree.remove(entry("templates"))
        try transcript.run("restore", "one", "--dry-run")
        try transcript.run("restore", "one", "--skip-safety-backup")
        try transcript.run("restore", "one")
        try transcript.run("undo", "--dry-run")
        try transcript.run("undo")
        try transcript.run("undo")
        try transcript.run("undo", "--discard", "--dry-run")
        try transcript.run("recover")
        try transcript.run("delete", "one", "--dry-run")
        try transcript.run("delete", "one", "--yes")
        try expect(transcript, "life")
    }

    @Test func documents() throws {
        var transcript = Transcript(app: try makeApp())
        try transcript.run("list", "--json")
        try transcript.run("create", "--name", "one", "--json")
        try transcript.run("verify", "one", "--json")
        try transcript.app.tree.write("app.py", "changed")
        try transcript.run("restore", "one", "--dry-run", "--json")
        try transcript.run("restore", "one", "--skip-safety-backup", "--json")
        try transcript.run("undo", "--json")
        try transcript.run("show", "nowhere", "--json")
        try expect(transcript, "documents")
    }

    @Test func keeping() throws {
        var transcript = Transcript(app: try makeApp())
        try transcript.run("prune", "--keep-last", "3")
        for number in 1...6 {
            let name = number == 2 ? "before-the-move" : "auto_backup_20260\(number)01_033000"
            try transcript.app.done("create", "--full", "--name", name, "--tag", number == 1 ? "first" : "nightly")
        }
        try transcript.run("prune", "--keep-last", "2", "--keep-tag", "first", "--dry-run")
        try transcript.run("prune", "--keep-last", "2", "--keep-tag", "first")
        try transcript.run("prune", "--keep-last", "2", "--keep-tag", "first", "--yes")
        try transcript.run("prune", "--keep-last", "2", "--keep-tag", "first", "--yes")
        try transcript.run(
            "prune", "--keep-daily", "unlimited", "--keep-within", "1y5m7d2h", "--include-named", "--dry-run")
        try transcript.run("prune", "--keep-last", "1", "--include-named", "--dry-run")
        try transcript.run("prune", "--keep-last", "3", "--dry-run", "--json")
        try transcript.run("prune", "--keep-last", "1", "--include-named", "--yes-remove-many", "--yes", "--json")
        try transcript.run("prune")
        try transcript.run("prune", "--keep-last", "0")
        try transcript.run("prune", "--keep-daily", "seven")
        try transcript.run("prune", "--keep-within", "7 days")
        try transcript.run("prune", "--keep-tag", "nihgtly")
        for number in 7...9 {
            try transcript.app.done("create", "--full", "--name", "auto_backup_20260\(number)01_033000")
        }
        try transcript.run("prune", "--keep-last", "1", "--yes")
        try transcript.app.tree.write("backups/auto_backup_20260901_033000/app.py", "damaged")
        try transcript.run("prune", "--keep-last", "2", "--yes")
        try transcript.run("prune", "--keep-last", "1", "--dry-run")
        try transcript.app.shell("printf 'retention:\\n  daily: lots\\n' > backups/backup.yaml; ls")
        try transcript.run("prune")
        try transcript.app.shell("printf 'retention:\\n  dayly: 7\\n' > backups/backup.yaml; ls")
        try transcript.run("prune")
        try expect(transcript, "keeping")
    }

    @Test func repositories() throws {
        var transcript = Transcript(app: try makeApp())
        let app = transcript.app
        let place = app.path + "/../repository-of-\(URL(filePath: app.path).lastPathComponent)"
        defer { try? FileManager.default.removeItem(atPath: place) }
        try app.shell(
            "echo secret > password; echo other > second; echo wrong > wrong; chmod 600 password second wrong")
        func run(_ arguments: String...) throws {
            try transcript.run(arguments + ["--repository", place, "--password-file", app.path + "/password"])
        }
        try run("list")
        try run("repository", "init", "--emergency-kit", app.path + "/kit")
        try run("repository", "init", "--json")
        try transcript.add(file: "kit")
        try run("repository", "key", "add", "--new-password-file", app.path + "/second")
        try run("repository", "key", "list", "--json")
        try run("repository", "check")
        try run("repository", "check", "--read-data", "--json")
        try run("repository", "prune")
        try run("repository", "prune", "--dry-run", "--json")
        try run("repository", "repair", "index")
        try run("repository", "repair", "snapshots", "--json")
        try run("repository", "unlock")
        try run("repository", "unlock", "--json")
        try transcript.run("repository", "key", "list", "--repository", place, "--password-file", app.path + "/wrong")
        try transcript.run("repository", "key", "list", "--repository", "rest:host", "--json")
        try transcript.run("repository", "key", "list")
        try transcript.run("repository", "key")
        try transcript.run("repository", "key", "ad")
        try transcript.run("repository", "chek")
        try expect(transcript, "repositories")
    }

    @Test func errors() throws {
        var transcript = Transcript(app: try makeApp())
        let app = transcript.app
        try transcript.run("create", "--name", "one")
        try transcript.run()
        try transcript.run("crate")
        try transcript.run("create", "--nonsense")
        try transcript.run("create", "--name", "../x")
        try transcript.run("create", "--name", "one")
        try transcript.run("create", "--item", "nowhere")
        try transcript.run("create", "--exclude", "[")
        try transcript.run("show", "nowhere")
        try transcript.run("restore", "latest", "--only", "nowhere")
        try transcript.run("restore", "/dev/null")
        try transcript.run("restore", "one", "--to", app.path + "/data")
        try transcript.run("restore", "one", "--to", app.path + "/backups/x")
        try transcript.run("undo")
        try transcript.run("undo", "--discard")
        try transcript.run("delete", "one")
        try transcript.run("verify", "one", "--sample", "0")
        try transcript.run("list", "--backup-dir", app.path + "/nowhere")
        try app.shell("echo damaged > backups/one/app.py; touch backups/one/extra; rm -r backups/one/templates; ls")
        try transcript.run("verify", "one")
        try transcript.run("restore", "one")
        try app.shell("echo '# more' >> backups/one/MANIFEST.mtree; ls")
        try transcript.run("verify", "one")
        try transcript.run("list")
        try app.shell("printf 'itmes:\\n' > backups/backup.yaml; ls")
        try transcript.run("create")
        try app.shell("printf 'items: data\\n' > backups/backup.yaml; ls")
        try transcript.run("create")
        try app.shell("printf 'items: [a\\n' > backups/backup.yaml; ls")
        try transcript.run("create")
        try expect(transcript, "errors")
    }
}
