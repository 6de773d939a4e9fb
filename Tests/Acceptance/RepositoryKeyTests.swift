import Foundation
import TestKit
import Testing

/// `repository key` and `repository unlock`: what they change counts for real restic, and the other way round.
@Suite struct RepositoryKeyTests {
    private let home: RepositoryHome
    private var second: String { home.tree.path + "/second" }

    init() throws {
        home = try RepositoryHome()
        try home.tree.write("second", "another one\n")
        try ToolRun.run("chmod", ["0600", home.tree.path + "/second"]).expectDone()
        // Opened in no time; what is added to it is as strong as ever.
        try CheapRepository.make(at: home.path, password: RepositoryHome.secret)
    }

    private func ids() throws -> [String] {
        try home.done("key", "list", "--json").output.matches(of: /"id": "([0-9a-f]{64})"/).map { String($0.1) }
    }

    @Test func aPasswordIsAddedAndRemoved() throws {
        let added = try home.done("key", "add", "--new-password-file", second)
        #expect(try home.restic(["snapshots"], passwordFile: second).status == 0)
        let ids = try ids()
        #expect(ids.count == 2 && added.output == "added the key \(ids[1].prefix(8))\n", "\(added) \(ids)")
        let list = try home.done("key", "list").output.split(separator: "\n")
        #expect(list.count == 3 && list[1].hasPrefix("*  \(ids[0].prefix(8))"), "\(list)")
        try home.run(["key", "remove", String(ids[0].prefix(8))]).expectError(1, "has opened the repository")
        try home.run(["key", "remove", "xyz"]).expectError(10, "no key's ID begins with 'xyz'")
        try home.done("key", "remove", String(ids[0].prefix(8)), environment: ["RESTIC_PASSWORD_FILE": second])
        try home.run(["key", "list"]).expectError(12, "opens none of the keys", String(ids[1].prefix(8)))
        #expect(try home.restic(["snapshots"]).status != 0)
    }

    @Test func aPasswordIsChanged() throws {
        let changed = try home.done("key", "passwd", "--new-password-file", second)
        #expect(changed.output.hasPrefix("changed the password") && changed.errors.contains("out of date"))
        #expect(try home.restic(["snapshots"]).status != 0)
        #expect(try home.restic(["check"], passwordFile: second).status == 0)
        try home.run(["key", "list"]).expectError(12)
    }

    @Test(arguments: ["add", "passwd"]) func aPasswordIsGenerated(verb: String) throws {
        let file = home.tree.path + "/generated"
        let made = try home.done("key", verb, "--generate-password", "--new-password-file", file)
        #expect(made.output.hasSuffix("its password is in \(file)\n"), "\(made)")
        let text = try home.tree.read("generated")
        #expect(text.wholeMatch(of: /([0-9a-z]{4}-){6}[0-9a-z]{4}\n/) != nil, "\(text.count)")
        #expect(try ToolRun.run("stat", ["-c", "%a", file]).output == Array("600\n".utf8))
        #expect(!made.output.contains(text.dropLast()) && !made.errors.contains(text.dropLast()))
        #expect(try home.restic(["snapshots"], passwordFile: file).status == 0)
        #expect(try (home.restic(["snapshots"]).status == 0) == (verb == "add"))
        let environment = ["RESTIC_PASSWORD_FILE": file]
        try home.run(
            ["key", verb, "--generate-password", "--new-password-file", file], environment: environment
        ).expectError(1, "exists already", "name another")
        try home.run(["key", verb, "--generate-password"], environment: environment)
            .expectError(2, "must be kept somewhere", "--new-password-file")
        #expect(try home.tree.read("generated") == text)
        try home.run(
            ["key", verb, "--generate-password", "--new-password-file", file + "2"],
            environment: ["RESTIC_PASSWORD": "wrong"]
        ).expectError(12)
        #expect(try ToolRun.run("ls", [file + "2"]).status != 0)
    }

    /// It does all that the real run does before it changes something, and changes nothing.
    @Test func aDryRunOnlySays() throws {
        try home.done("key", "add", "--new-password-file", second)
        let keys = try ids()
        let file = home.tree.path + "/generated"
        // Locks come and go.
        let snapshot = { try TreeSnapshot(of: home.tree.directory, ignoring: [entry("repository/locks")]) }
        let before = try snapshot()
        let dry = { (verb: [String]) in try home.run(["key"] + verb + ["--dry-run"]) }
        #expect(try dry(["add", "--new-password-file", second]).output == "to add: a key\n")
        #expect(
            try dry(["add", "--generate-password", "--new-password-file", file]).output
                == "to add: a key\nto write: its password to \(file)\n")
        #expect(
            try dry(["passwd", "--new-password-file", second]).output == "to replace: the key \(keys[0].prefix(8))\n")
        #expect(
            try dry(["remove", String(keys[1].prefix(8))]).output == "to remove: the key \(keys[1].prefix(8))\n")
        #expect(try dry(["remove", keys[1], "--json"]).output.contains("\"dry_run\": true"))
        try dry(["remove", String(keys[0].prefix(8))]).expectError(1, "has opened the repository")
        try dry(["add", "--generate-password", "--new-password-file", second]).expectError(1, "exists already")
        try dry(["passwd", "--new-password-file", home.tree.path + "/none"]).expectError(2, "/none")
        #expect(try home.done("unlock", "--remove-all", "--dry-run").output == "there are no locks\n")
        #expect(try snapshot() == before)
    }

    @Test func resticsKeysAreOurs() throws {
        try home.resticDone("key", "add", "--new-password-file", second)
        #expect(try home.run(["key", "list"], environment: ["RESTIC_PASSWORD_FILE": second]).status == 0)
        let ids = try ids()
        #expect(ids.count == 2)
        try home.resticDone("key", "remove", String(ids[1].prefix(8)))
        try home.run(["key", "list"], environment: ["RESTIC_PASSWORD_FILE": second]).expectError(12)
    }

    @Test func withoutANewPasswordNothingChanges() throws {
        let before = try ids()
        try home.run(["key", "add"], input: "typed\ntyped\n").expectError(2, "no password was given")
        try home.tree.write("empty", "\n")
        try home.run(["key", "passwd", "--new-password-file", "empty"]).expectError(2, "has no password")
        try home.run(["key", "add", "--new-password-file", "nowhere"]).expectError(2, "cannot read")
        #expect(try ids() == before)
    }

    // MARK: Locks

    /// Restic with a lock, until this is ended.
    private final class HoldingRestic {
        private let process = Process()
        private let input = Pipe()

        init(_ home: RepositoryHome) throws {
            process.executableURL = URL(filePath: "/usr/bin/env")
            process.arguments = ["restic", "--repo", home.path, "--no-cache", "backup", "--stdin"]
            process.environment = ProcessInfo.processInfo.environment.merging(
                ["RESTIC_PASSWORD_FILE": home.password, "GOGC": "50"]
            ) { $1 }
            process.standardInput = input
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
            for _ in 0..<1200
            where try !FileManager.default.contentsOfDirectory(atPath: home.path + "/locks").contains(where: {
                $0.utf8.count == 64
            }) {
                usleep(50_000)
            }
        }

        /// It leaves its lock behind.
        func die() {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }

        deinit { die() }
    }

    @Test func whoHoldsALockIsNamedAndNotDisturbed() throws {
        #expect(try home.done("unlock").output == "there are no locks\n")
        try home.done("key", "add", "--new-password-file", second)
        let id = try #require(try ids().last)
        let restic = try HoldingRestic(home)
        for verb in [["remove", id], ["remove", id, "--dry-run"]] {
            try home.run(["key"] + verb).expectError(11, "is locked: ", "last seen", "--retry-lock")
        }
        let began = Date()
        try home.run(["key", "remove", id, "--retry-lock", "2s"]).expectError(11)
        #expect(Date().timeIntervalSince(began) >= 2)
        try home.run(["key", "remove", id, "--retry-lock", "soon"]).expectError(2, "--retry-lock: 'soon'")
        // A shared lock is enough for this.
        try home.done("key", "list")
        let kept = try home.done("unlock")
        #expect(kept.output.hasPrefix("in use: the lock of "), "\(kept)")
        #expect(try home.done("unlock", "--dry-run").output.hasPrefix("in use: the lock of "))
        #expect(try home.done("unlock", "--json").output.contains("\"exclusive\": false"))
        restic.die()
        let planned = try home.done("unlock", "--dry-run")
        #expect(planned.output.hasPrefix("to remove: the lock of "), "\(planned)")
        let unlocked = try home.done("unlock")
        #expect(unlocked.output.hasPrefix("removed the lock of "), "\(unlocked)")
        try home.done("key", "remove", id)
    }

    @Test func allLocksCanBeRemoved() throws {
        let restic = try HoldingRestic(home)
        try home.tree.write("repository/locks/\(String(repeating: "a", count: 64))", "no lock")
        let first = try home.done("unlock")
        #expect(first.errors.contains("cannot be read") && first.output.hasPrefix("in use"), "\(first)")
        let all = try home.done("unlock", "--remove-all")
        #expect(
            all.output.contains("removed the lock of ") && all.output.contains("removed the lock aaaaaaaa"), "\(all)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: home.path + "/locks").isEmpty)
        restic.die()
    }
}
