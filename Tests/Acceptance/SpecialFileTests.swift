import Disk
import Foundation
import Model
import TestKit
import Testing

/// Fifos and devices are kept in repositories, as restic keeps them; folders and zips name them.
@Suite struct SpecialFileTests {
    private func make() throws -> RepositoryApp {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell(
            """
            mkdir data/nodes; mkfifo -m 0620 data/nodes/fifo; touch -d '2021-02-03 04:05:06.123456789Z' data/nodes/fifo
            """)
        return kept
    }

    private func addDevices(_ app: TestApp) throws {
        try app.shell(
            """
            mknod -m 0640 data/nodes/character c 1 3; mknod data/nodes/block b 7 300; mknod data/nodes/large c 4095 1048575
            chown 1234:5678 data/nodes/character; touch -d '2001-01-01 00:00:00.5Z' data/nodes/block
            """)
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func theyComeBackAsTheyWere() throws {
        let kept = try make()
        let app = kept.app
        try addDevices(app)
        try app.shell("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"data/nodes/sock\")'")
        let made = try kept.run("create", "--name", "one")
        #expect(made.status == 3, "\(made)")
        let skipped = made.errors.split(separator: "\n").filter { $0.hasPrefix("skipped: ") }
        #expect(skipped == ["skipped: data/nodes/sock: a socket is not saved"], "\(made)")
        try app.shell("rm data/nodes/sock")
        try kept.done("create", "--name", "two")
        let before = try app.snapshot()
        try kept.done("verify", "two")
        try app.shell(
            """
            rm data/nodes/fifo data/nodes/large; chmod 0600 data/nodes/character
            rm data/nodes/block; mknod data/nodes/block b 7 301; touch -d '2001-01-01 00:00:00.5Z' data/nodes/block
            """)
        let broken = try app.snapshot()
        let different = try kept.done("diff", "two").output
        for line in ["removed  data/nodes/fifo", "target   data/nodes/block"] {
            let words = line.split(separator: " ")
            #expect(different.contains(words[1]) && different.contains(words[0]), "\(different)")
        }
        try kept.done("restore", "two", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        #expect(try kept.done("diff", "two").output == "two and the app are equal\n")
        try app.done("undo")
        try app.expect(broken, but: ".: time")
        try app.done("undo")
        try app.expect(before, but: ".: time")
        try app.shell("rm -r data/nodes; echo file > data/nodes")
        try kept.done("restore", "two", "--skip-safety-backup")
        try app.expect(before, but: ".: time")
        try kept.done("restore", "two", "--to", app.path + "/elsewhere")
        let elsewhere = try TreeSnapshot(of: app.tree.directory.directory(at: entry("elsewhere")))
        #expect(before.differences(from: elsewhere).filter { !$0.hasPrefix(".:") } == [])
    }

    /// A fifo blocks nobody, and a file in its place is a change like any other.
    @Test func aFifoBecomesAFileAndAFileAFifo() throws {
        let kept = try make()
        let app = kept.app
        try kept.done("create", "--name", "fifo")
        let fifo = try app.snapshot()
        try app.shell("rm data/nodes/fifo; echo file > data/nodes/fifo")
        try kept.done("create", "--name", "file")
        let file = try app.snapshot()
        try kept.done("restore", "fifo", "--skip-safety-backup")
        try app.expect(fifo, but: ".: time")
        try kept.done("restore", "file", "--skip-safety-backup")
        try app.expect(file, but: ".: time")
        // What the backup does not hold stays, if it is neither file nor link nor directory.
        try app.shell("mkfifo data/nodes/other")
        let restored = try kept.done("restore", "file", "--skip-safety-backup")
        #expect(try app.tree.status(entry("data/nodes/other"))?.kind == .fifo, "\(restored)")
    }

    /// What one of the two has stored the other finds, to the last tree.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func resticFindsNothingToAdd() throws {
        let kept = try RepositoryApp()
        let app = kept.app
        try app.shell("mkdir data/nodes; mkfifo data/nodes/fifo; ln data/nodes/fifo data/nodes/again")
        try addDevices(app)
        try app.shell("ln data/nodes/character data/nodes/second; sleep 2.2")
        try kept.restic("backup", app.path + "/data")
        func trees(_ text: String) throws -> Int {
            try #require(text.firstMatch(of: /"tree_blobs": ?([0-9]+)/).flatMap { Int($0.1) }, "\(text)")
        }
        func allTrees() throws -> Int { try trees(try kept.done("repository", "stats", "--json").output) }
        // Others work in /dev/shm: the trees of the directories above the item may have changed, and no other.
        let above = 4
        var before = try allTrees()
        for options in [["--name", "one"], ["--name", "two", "--full"]] {
            let arguments = ["create", "--item", "data", "--no-default-exclusions", "--repository", kept.path]
            let made = try Program.run(arguments + options + ["--app", app.path], environment: kept.environment)
            let now = try allTrees()
            #expect(made.status == 0 && now - before <= above, "\(before) \(now) \(made)")
            before = now
        }
        let again = try kept.restic("backup", "--json", "--force", app.path + "/data")
        #expect(try trees(again) <= above && again.contains(#""data_blobs":0"#), "\(again)")
        try kept.expectSound()
        let scratch = try TemporaryTree()
        try kept.restic("restore", "latest", "--target", scratch.path)
        let restored = try TreeSnapshot(of: Directory(path: scratch.path + app.path + "/data/nodes"))
        let there = try TreeSnapshot(of: Directory(path: app.path + "/data/nodes"))
        #expect(there.differences(from: restored) == [])
    }

    /// Promise 11: devices come only as root, and not from what nobody has recorded.
    @Test(.enabled(if: Needs.isRoot, Needs.isRootText)) func devicesTakeTrustAndRoot() throws {
        let kept = try RepositoryApp()
        let app = kept.app
        try app.shell("mkdir data/nodes; mkfifo data/nodes/fifo")
        try addDevices(app)
        try kept.restic("backup", app.path + "/data")
        try kept.done("create", "--name", "ours", "--item", "data")
        let id = try #require(try kept.names().first)
        let to = kept.home.path + "/to"
        func restored(_ words: String..., as user: [String] = []) throws -> (answer: Program.Answer, nodes: String) {
            try app.shell("rm -rf '\(to)'")
            let arguments = ["restore"] + words + ["--to", to, "--repository", kept.path, "--app", app.path]
            let run = try ToolRun.run(
                "env", user + [Program.path] + arguments, in: app.path, environment: kept.environment)
            let answer = Program.Answer(
                status: run.status, output: String(decoding: run.output, as: UTF8.self),
                errors: String(decoding: run.errors, as: UTF8.self))
            return (answer, try app.shell("ls '\(to)/data/nodes' | tr '\\n' ' '"))
        }
        let unknown = try restored(id)
        #expect(unknown.answer.status == 3 && unknown.nodes == "fifo ", "\(unknown)")
        let clause = "data/nodes/block: a block device comes only with --trust from a backup of unknown origin"
        #expect(unknown.answer.errors.contains(clause), "\(unknown)")
        let trusted = try restored(id, "--trust")
        #expect(trusted.answer.status == 0 && trusted.nodes == "block character fifo large ", "\(trusted)")
        let own = try restored("ours")
        #expect(own.answer.status == 0 && own.nodes == "block character fifo large ", "\(own)")
        try app.shell("chmod -R a+rwX '\(kept.home.path)' .")
        for user in [
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
            ["setpriv", "--bounding-set=-mknod", "--inh-caps=-mknod"], ["unshare", "--user", "--map-root-user"],
        ] {
            let denied = try restored("ours", as: user)
            #expect(denied.answer.status == 3 && denied.nodes == "fifo ", "\(user): \(denied)")
            let clause = "data/nodes/block: a block device takes root's rights to make"
            #expect(denied.answer.errors.contains(clause), "\(user): \(denied)")
        }
    }

    /// A copy holds all else, each file with its own bytes, and says what it does not hold.
    @Test(arguments: ["folder", "zip"]) func copiesNameWhatTheirFormatDoesNotHold(format: String) throws {
        let kept = try make()
        let app = kept.app
        try app.tree.write("data/MANIFEST.mtree", "below the top it is a file like any other")
        try app.tree.write("MANIFEST.mtree/inner", "at the top folders and zips have their own")
        try app.tree.write("backup_metadata.json", "likewise")
        try app.shell("mkfifo aaa; for n in 1 2 3 4 5; do echo $n > data/nodes/$n; done; seq 1 900000 > data/large")
        let made = try kept.done("create", "--name", "one", "--item", ".", "--no-default-exclusions")
        #expect(made.errors == "", "\(made)")
        let left = ["MANIFEST.mtree", "aaa", "backup_metadata.json", "data/nodes/fifo"]
        let before = try app.snapshot()
        for options in [["--dry-run"], []] {
            let arguments = ["copy", "one", "--to", format, "--repository", kept.path, "--app", app.path]
            let answer = try Program.run(arguments + options, environment: kept.environment)
            #expect(answer.status == 3, "\(answer)")
            let told = answer.errors.split(separator: "\n").compactMap { line in
                line.hasPrefix("skipped: ") ? String(line.split(separator: ":")[1].dropFirst()) : nil
            }
            #expect(told == left, "\(answer)")
        }
        let name = format == "zip" ? "zip:one" : "folder:one"
        func done(_ words: String...) throws -> Program.Answer {
            let answer = try Program.run(words + ["--app", app.path], environment: kept.environment)
            #expect(answer.status == 0, "\(words): \(answer)")
            return answer
        }
        _ = try done("verify", name)
        let shown = try done("show", name).output
        #expect(shown.contains("incomplete: yes") && shown.contains("data/nodes/fifo"), "\(shown)")
        _ = try done("restore", name, "--to", app.path + "/elsewhere")
        let elsewhere = try TreeSnapshot(of: app.tree.directory.directory(at: entry("elsewhere")))
        let differences = before.differences(from: elsewhere).filter { !$0.hasPrefix(".:") }
        #expect(differences == (left + ["MANIFEST.mtree/inner"]).sorted().map { "\($0): missing" })
        // What a copy left out a restore from it leaves alone.
        try app.shell("rm -r elsewhere")
        _ = try done("restore", name, "--skip-safety-backup")
        try app.expect(before, but: ".: time")
    }

    @Test func aCopyToAnotherRepositoryHoldsThem() throws {
        let kept = try make()
        let other = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.done("copy", "one", "--to", other.path)
        let to = kept.home.path + "/to"
        let arguments = ["restore", "one", "--to", to, "--repository", other.path, "--app", kept.app.path]
        let answer = try Program.run(arguments, environment: other.environment)
        #expect(answer.status == 0, "\(answer)")
        let nodes = try TreeSnapshot(of: Directory(path: to + "/data/nodes"))
        #expect(try TreeSnapshot(of: Directory(path: kept.app.path + "/data/nodes")).differences(from: nodes) == [])
    }
}
