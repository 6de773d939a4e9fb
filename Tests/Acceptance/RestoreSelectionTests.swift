import Foundation
import Model
import TestKit
import Testing

/// What a restore brings back and what it leaves (promise 10).
@Suite struct RestoreSelectionTests {
    private func makeChanged() throws -> TestApp {
        let app = try TestApp()
        try app.tree.write("data/venv/bin", "excluded")
        try app.tree.write("notes.txt", "not covered")
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        try app.tree.write("data/app.db", "changed")
        try app.tree.write("data/deep/one", "changed")
        try app.tree.write("data/deep/extra", "extra")
        try app.tree.write("data/venv/bin", "changed, excluded")
        try app.tree.write("notes.txt", "changed, not covered")
        try app.tree.remove(entry("templates"))
        return app
    }

    @Test func oneOrSeveralPathsAreRestoredAndNothingElse() throws {
        let app = try makeChanged()
        try app.done("restore", "one", "--only", "data/deep/", "--only", "./templates")
        #expect(try app.tree.read("data/deep/one") == "one")
        #expect(try app.tree.status(entry("data/deep/extra")) == nil)
        #expect(try app.tree.read("templates/page.html") == "page")
        #expect(try app.tree.read("app.py") == "changed")
        #expect(try app.tree.read("data/app.db") == "changed")
        #expect(try app.tree.read("data/venv/bin") == "changed, excluded")
        try app.done("undo")
        #expect(try app.tree.read("data/deep/extra") == "extra")
        #expect(try app.tree.status(entry("templates")) == nil)
    }

    @Test(arguments: ["data/deep/extra", "nowhere", "notes.txt", "data/venv"])
    func aPathThatTheBackupDoesNotHoldIsRefused(path: String) throws {
        let app = try makeChanged()
        let before = try app.snapshot()
        try app.run("restore", "one", "--only", "app.py", "--only", path).expectError(1, "does not hold \(path)")
        try app.expect(before)
        try app.expectIntact(["one"])
    }

    @Test(arguments: ["../etc", "/etc/passwd", "data/../../x", ""])
    func aPathOutsideTheAppIsWrongUsage(path: String) throws {
        let app = try makeChanged()
        let before = try app.snapshot()
        try app.run("restore", "one", "--only", path).expectError(2, "no path inside the app")
        try app.expect(before)
    }

    /// P4: the way to a place must be directories of the app.
    @Test func aPathThatLeadsThroughALiveLinkIsRefused() throws {
        let app = try makeChanged()
        let outside = try TemporaryTree()
        try outside.write("deep/one", "not the app's")
        let elsewhere = try TreeSnapshot(of: outside.directory)
        try app.tree.remove(entry("data"))
        try app.tree.makeLink(entry("data"), to: Array(outside.path.utf8))
        let before = try app.snapshot()
        try app.run("restore", "one", "--only", "data/deep/one").expectError(1, "data is a", "Nothing was changed")
        try app.expect(before)
        #expect(try TreeSnapshot(of: outside.directory) == elsewhere)
        try app.expectIntact(["one"])
    }

    @Test func excludedAndUncoveredThingsStay() throws {
        let app = try makeChanged()
        try app.tree.write("data/deep/cache.pyc", "made since")
        try app.tree.write("more.txt", "made since, not covered")
        let answer = try app.done("restore", "one", "--verbose")
        #expect(try app.tree.read("data/venv/bin") == "changed, excluded")
        #expect(try app.tree.read("notes.txt") == "changed, not covered")
        #expect(try app.tree.read("data/deep/cache.pyc") == "made since")
        #expect(try app.tree.read("more.txt") == "made since, not covered")
        #expect(try app.tree.status(entry("data/deep/extra")) == nil)
        #expect(answer.errors.contains("keep data/venv") && answer.errors.contains("keep data/deep/cache.pyc"))
    }

    /// Neither the rules that were in force then nor today's may be broken.
    @Test func whatARuleOfThenOrOfTodayExcludesStays() throws {
        let app = try TestApp()
        try app.tree.write("data/then/x", "excluded when the backup was made")
        try app.done("create", "--name", "one", "--exclude", "then")
        try app.tree.write("data/today/x", "excluded today")
        try app.tree.write("data/neither", "excluded never")
        try app.tree.write(".backupignore", "today\n")
        try app.done("restore", "one")
        #expect(try app.tree.status(entry("data/then/x")) != nil)
        #expect(try app.tree.status(entry("data/today/x")) != nil)
        #expect(try app.tree.status(entry("data/neither")) == nil)
    }

    @Test func logsComeBackOnlyWhenAskedFor() throws {
        let app = try TestApp()
        try app.tree.write("logs/app.log", "then")
        try app.tree.write("top.log", "then")
        try app.done("create", "--name", "one", "--include-logs")
        try app.tree.write("logs/app.log", "now")
        try app.tree.write("top.log", "now")
        try app.tree.write("app.py", "now")
        try app.done("restore", "one")
        #expect(try app.tree.read("app.py") == "the app")
        #expect(try app.tree.read("logs/app.log") == "now" && app.tree.read("top.log") == "now")
        try app.done("restore", "one", "--include-logs")
        #expect(try app.tree.read("logs/app.log") == "then" && app.tree.read("top.log") == "then")
    }

    private static let original = """
        {"backup_name": "old", "created_at": "2025-08-01T10:11:12.345678", "version": "1.0",
         "items_backed_up": ["app.py", "data"], "excluded_items": ["__pycache__", "*.pyc", "venv"]}
        """

    /// A backup of the original tool has no manifest: what it does not hold may have been there all the same.
    @Test func aBackupWithoutManifestRemovesNothingUnlessTold() throws {
        let app = try TestApp()
        try app.tree.write("backups/old/backup_metadata.json", Self.original)
        try app.tree.write("backups/old/app.py", "original")
        try app.tree.write("backups/old/data/app.db", "original database")
        try app.tree.write("data/venv/stays", "excluded")
        try app.done("restore", "old", "--skip-safety-backup")
        #expect(try app.tree.read("app.py") == "original")
        #expect(try app.tree.read("data/app.db") == "original database")
        #expect(try app.tree.read("data/deep/one") == "one")
        #expect(try app.tree.status(entry("backup_metadata.json")) == nil)
        try app.done("restore", "old", "--delete-extra")
        #expect(try app.tree.status(entry("data/deep")) == nil)
        #expect(try app.tree.read("data/venv/stays") == "excluded")
        #expect(try app.tree.read("uploads/picture") == "picture")
        try app.done("undo")
        #expect(try app.tree.read("data/deep/one") == "one")
        #expect(try app.run("verify", "old").status == 0)
    }

    /// A name is taken as our own output shows it.
    @Test func aNameThatIsNotTextCanBeNamedByItsEscapes() throws {
        let app = try TestApp()
        try app.shell("printf odd > \"uploads/$(printf '\\377\\376')\"")
        try app.done("create", "--name", "one")
        try app.shell("rm -r uploads app.py; ls")
        try app.done("restore", "one", "--only", "uploads/\\377\\376")
        #expect(try app.shell("cat uploads/*") == "odd")
        #expect(try app.tree.status(entry("app.py")) == nil)
    }
}
