import Foundation
import Model
import TestKit
import Testing

/// Who may add to a repository and not remove what others have made.
@Suite struct RepositoryOfOthersTests {
    private let kept: RepositoryApp

    /// A backup of root's, in directories where everyone may add and remove what is his own.
    init() throws {
        kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.app.shell(
            """
            find '\(kept.path)' -type d -exec chmod 1777 {} +; find '\(kept.path)' -type f -exec chmod 0444 {} +
            chmod 0755 '\(kept.home.path)'; chown 65534 '\(kept.home.path)/password'
            rm -rf backups/.state; chown -hR 65534:65534 .; echo new > data/new; chown 65534 data/new
            """)
    }

    private func run(_ arguments: String...) throws -> Program.Answer {
        let run = try ToolRun.run(
            "setpriv",
            ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path] + arguments
                + ["--repository", kept.path, "--app", kept.app.path], environment: kept.environment)
        return Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    private func expectNoLocks(_ answer: Program.Answer) throws {
        let left = try ToolRun.run("find", [kept.path, "-path", "*/locks/*", "-o", "-name", "*-tmp-*"])
        #expect(String(decoding: left.output, as: UTF8.self) == "", "\(answer)")
    }

    /// One line that says what is still there and what is not.
    @Test func backupsAreAddedAndThoseOfOthersStay() throws {
        let created = try run("create", "--name", "two")
        #expect(created.status == 0, "\(created)")
        try expectNoLocks(created)
        let deleted = try run("delete", "one", "--yes")
        deleted.expectError(1, "cannot remove the snapshot", "not permitted")
        try expectNoLocks(deleted)
        let pruned = try run("prune", "--keep-last", "1", "--include-named", "--yes", "--yes-remove-many")
        pruned.expectError(1, "cannot remove the snapshot", "not permitted")
        #expect(try kept.names() == ["one", "two"])
        // His own goes; the index files are another's as well, so nothing is freed.
        let own = try run("delete", "two", "--yes")
        own.expectError(1, "deleted: two; space was not freed: ")
        try expectNoLocks(own)
        #expect(try kept.names() == ["one"])
        try kept.done("verify", "one")
        try kept.expectSound()
    }
}

/// Promise 16: whatever is run and whatever fails, no password is told or stored.
@Suite struct RepositorySecretTests {
    private static let verbs: [[String]] = [
        ["create", "--name", "one"], ["create", "--name", "one"], ["list"], ["show", "one"], ["verify", "one"],
        ["diff", "one"], ["status"], ["doctor"], ["copy", "one", "--to", "folder"], ["restore", "one", "--yes"],
        ["restore", "none", "--yes"], ["prune", "--keep-last", "1", "--dry-run"], ["delete", "one", "--yes"],
        ["delete", "none", "--yes"],
    ]
    private static let repositoryVerbs: [[String]] = [
        ["check", "--read-data"], ["stats"], ["key", "list"], ["key", "remove", "ffff"], ["prune"],
        ["repair", "index"],
        ["repair", "packs"], ["repair", "snapshots"], ["unlock"], ["init"], ["init", "--generate-password"],
    ]

    @Test(arguments: [[], ["--json"], ["--verbose"]]) func noPasswordIsToldOrStored(options: [String]) throws {
        let kept = try RepositoryApp(isCheap: true)
        let secrets = [RepositoryApp.password, "not the right one"]
        try kept.home.write("wrong", secrets[1] + "\n")
        func expectNothing(_ arguments: [String], _ environment: [String: String]) throws {
            let answer = try Program.run(arguments + options, environment: environment)
            for secret in secrets {
                #expect(!(answer.output + answer.errors).contains(secret), "\(arguments): \(answer)")
            }
        }
        let wrong = ["CHASTIPI_BACKUP_PASSWORD_FILE": kept.home.path + "/wrong"]
        for verb in Self.verbs {
            let arguments = verb + ["--repository", kept.path, "--app", kept.app.path]
            if verb == ["list"] { try expectNothing(arguments, wrong) }
            try expectNothing(arguments, kept.environment)
        }
        for verb in Self.repositoryVerbs {
            try expectNothing(["repository"] + verb + ["--repository", kept.path], kept.environment)
        }
        try expectNothing(["list", "--repository", kept.path, "--app", kept.app.path], ["RESTIC_PASSWORD": secrets[1]])
        for secret in secrets {
            let found = try ToolRun.run("grep", ["-rlaF", secret, kept.path, kept.app.path])
            #expect(String(decoding: found.output, as: UTF8.self) == "", "\(secret)")
        }
    }
}

@Suite struct RepositoryOddPathTests {
    /// A snapshot has the app's path as a text, in which such bytes are lost.
    @Test func anAppWhosePathIsNotUTF8IsRestored() throws {
        let kept = try RepositoryApp(isCheap: true)
        let script = """
            cd "$1"; app=$(printf 'a\\377\\376b'); mkdir "$app" axb; cp -a "$2"/. "$app"; cd "$app"
            for verb in "create --name one" "verify one" "restore one --to $1/to"; do
              "$3" $verb --app . --repository "$1/repository"
            done
            diff -r "$1/to/data" data
            """
        try ToolRun.run(
            "sh", ["-euc", script, "sh", kept.home.path, kept.app.path, Program.path], environment: kept.environment
        ).expectDone()
    }
}
