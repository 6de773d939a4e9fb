import Foundation
import Model
import TestKit
import Testing

/// Items, exclusions, tags, and what cannot be read.
@Suite struct CreateSelectionTests {
    /// What backup `name` holds, files only.
    private func files(_ name: String, in app: TestApp) throws -> Set<String> {
        let list = try app.shell("cd backups/\(name) && find . -type f | sed 's,^./,,'")
        return Set(list.split(separator: "\n").map(String.init)).subtracting(["backup_metadata.json", "MANIFEST.mtree"])
    }

    private static let plain: Set<String> = [
        "app.py", "config.json", "data/app.db", "data/deep/one", "templates/page.html", "uploads/picture",
    ]

    private func makeApp() throws -> TestApp {
        let app = try TestApp()
        for path in [
            "templates/myvenv.html", "data/venv/bin/python", "data/a/b.pyc", "data/a/__pycache__/c", "data/.DS_Store",
            "data/x.log", "logs/app.log", "top.log", "data/keep/x", "settings.ini", "sub/settings.ini", "notes.txt",
            ".env", "uploads/node_modules/y",
        ] { try app.tree.write(path, path) }
        return app
    }

    /// The original matched substrings: `venv` excluded myvenv.html and `*.pyc` excluded nothing.
    @Test func theDefaultExclusionsMeanNamesAndNotPartsOfNames() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one")
        let wanted: Set<String> = ["templates/myvenv.html", "data/keep/x", "settings.ini", ".env"]
        #expect(try files("one", in: app) == Self.plain.union(wanted))
    }

    @Test func aBackupignoreFileIsHonouredAndMayBringBack() throws {
        let app = try makeApp()
        try app.tree.write(".backupignore", "# mine\nkeep/\n/data/app.db\n*.html\n!page.html\n!x.log\n")
        try app.done("create", "--name", "one")
        let held = try files("one", in: app)
        #expect(held.isDisjoint(with: ["data/keep/x", "data/app.db", "templates/myvenv.html"]))
        #expect(held.isSuperset(of: ["templates/page.html", "data/x.log"]))
        let explained = try app.done("config", "show", "--explain", "data/app.db").output
        #expect(explained.contains(".backupignore:3"), "\(explained)")
    }

    @Test func exclusionsOfTheCommandLineWinAndMayBringBack() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one", "--exclude", "*.html", "--exclude", "!myvenv.html", "--exclude=!b.pyc")
        let held = try files("one", in: app)
        #expect(!held.contains("templates/page.html") && held.contains("templates/myvenv.html"))
        #expect(held.contains("data/a/b.pyc") && !held.contains("data/a/__pycache__/c"))
        try app.run("create", "--exclude", "[a").expectError(2, "[a")
    }

    @Test func withoutDefaultExclusionsEverythingBelowTheItemsIsSaved() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one", "--no-default-exclusions")
        #expect(
            try files("one", in: app).isSuperset(of: [
                "data/venv/bin/python", "data/a/b.pyc", "data/a/__pycache__/c", "data/.DS_Store", "data/x.log",
            ]))
    }

    @Test func itemsOfTheCommandLineStandInPlaceOfTheConfiguredOnes() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one", "--item", "notes.txt", "--item", "data/deep/", "--item", "*.ini")
        #expect(try files("one", in: app) == ["notes.txt", "data/deep/one", "settings.ini"])
        try app.done("create", "--name", "all", "--item", ".")
        #expect(try files("all", in: app).isSuperset(of: ["notes.txt", "sub/settings.ini", "app.py"]))
        // An item named by its path is wanted, whatever the rules say.
        try app.done("create", "--name", "env", "--item", "data/venv")
        #expect(try files("env", in: app) == ["data/venv/bin/python"])
        for bad in ["../x", "/etc", ""] { try app.run("create", "--item", bad).expectError(2, "cannot be an item") }
    }

    @Test func logsAreSavedAtTheirOwnPathsWhenAskedFor() throws {
        let app = try makeApp()
        try app.done("create", "--name", "one", "--include-logs")
        #expect(try files("one", in: app).isSuperset(of: ["logs/app.log", "top.log"]))
        #expect(try !files("one", in: app).contains("logs/backup.log"))
    }

    @Test func tagsAreKept() throws {
        let app = try makeApp()
        try app.tree.write("backups/backup.yaml", "tags:\n  - weekly\nitems: [app.py]\nexclude: ['*.x']\n")
        try app.done("create", "--name", "one", "--tag", "before=2.0", "--tag", "mine")
        let shown = try app.done("show", "one").output
        #expect(shown.contains("before=2.0") && shown.contains("mine"), "\(shown)")
        #expect(try files("one", in: app) == ["app.py"])
        try app.run("create", "--tag", "a b").expectError(2, "a b")
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func whatCannotBeReadIsNamedCountedAndRecorded() throws {
        let app = try TestApp()
        try app.tree.write("data/secret", "nobody may read this")
        try app.tree.write("data/closed/inner", "nor this")
        try app.shell("chown -R 65534:65534 . && chmod 000 data/secret data/closed")
        let arguments = ["--reuid=65534", "--regid=65534", "--clear-groups", Program.path, "create", "--app", app.path]
        let made = try ToolRun.run("setpriv", arguments + ["--name", "one"])
        let errors = String(decoding: made.errors, as: UTF8.self)
        #expect(made.status == 3, "\(errors)")
        #expect(errors.contains("skipped: data/secret: ") && errors.contains("skipped: data/closed: "), "\(errors)")
        #expect(String(decoding: made.output, as: UTF8.self).contains("2 entries not read"), "\(errors)")
        let metadata = try app.tree.read("backups/one/backup_metadata.json")
        #expect(metadata.contains("data/secret") && metadata.contains("data/closed"))
        #expect(try app.done("show", "one").output.contains("data/secret: "))
        #expect(try app.done("list").output.contains("incomplete"))
        #expect(try app.run("show", "latest").status == 10)
        // Those are in no backup: a restore never removes them.
        try app.tree.write("data/extra", "extra")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try app.tree.read("data/secret") == "nobody may read this")
        #expect(try app.tree.read("data/closed/inner") == "nor this")
        #expect(try app.tree.status(entry("data/extra")) == nil)
    }
}
