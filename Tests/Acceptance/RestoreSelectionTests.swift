import Foundation
import Model
import TestKit
import Testing

/// What a restore brings back and what it leaves (promise 10), and `--to`.
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

    @Test func aRestoreIntoAnEmptyOrMissingDirectoryIsWholeAndLeavesTheAppAlone() throws {
        let app = try makeChanged()
        let before = try app.snapshot()
        let place = try TemporaryTree()
        try place.makeDirectory(entry("empty"))
        for name in ["missing", "empty", "slash/"] {
            try app.done("restore", "one", "--to", "\(place.path)/\(name)")
            let path = name.hasSuffix("/") ? String(name.dropLast()) : name
            #expect(try place.read("\(path)/data/deep/one") == "one")
            #expect(try place.read("\(path)/app.py") == "the app")
            #expect(try place.status(entry("\(path)/backup_metadata.json")) == nil)
            #expect(try place.status(entry("\(path)/notes.txt")) == nil)
        }
        try app.done("restore", "one", "--to", "\(place.path)/part", "--only", "data/deep")
        #expect(try place.status(entry("part/app.py")) == nil)
        #expect(try place.read("part/data/deep/one") == "one")
        try app.expect(before)
        try app.expectIntact(["one"])
        #expect(try app.backups(in: place.path) == ["empty", "missing", "part", "slash"])
    }

    @Test func aRestoreIntoADirectoryThatHoldsSomethingOrCannotBeIsRefused() throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        try place.write("full/mine", "mine")
        try place.write("file", "a file")
        try place.makeLink(entry("link"), to: Array("full".utf8))
        let before = try TreeSnapshot(of: place.directory)
        for name in ["full", "file", "link"] {
            try app.run("restore", "one", "--to", "\(place.path)/\(name)")
                .expectError(1, name, "not an empty directory", "Nothing was changed")
        }
        try app.run("restore", "one", "--to", "\(place.path)/no/such").expectError(1, "\(place.path)/no")
        #expect(try TreeSnapshot(of: place.directory) == before)
    }

    @Test(arguments: [true, false])
    func aFailedRestoreIntoADirectoryLeavesItAsItWasFound(isEmpty: Bool) throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        if isEmpty {
            try place.makeDirectory(entry("target"))
            try place.change(entry("target")) { $0.mode = 0o750 }
        }
        let target = "\(place.path)/target"
        let probe = try Program(app: app.path).countCalls("restore", ["one", "--to", "\(place.path)/probe"])
        try place.remove(entry("probe"))
        for number in 1...probe {
            for fault in ["EIO", "ENOSPC"] {
                let answer = try app.run(
                    "restore", "one", "--to", target, environment: ["CHASTIPI_FAULT": "\(number):\(fault)"])
                if answer.status == 0 {
                    #expect(try place.read("target/app.py") == "the app")
                    try place.remove(entry("target"))
                    if isEmpty {
                        try place.makeDirectory(entry("target"))
                        try place.change(entry("target")) { $0.mode = 0o750 }
                    }
                    continue
                }
                answer.expectError(1)
                #expect(try app.backups(in: place.path) == (isEmpty ? ["target"] : []), "call \(number): \(answer)")
                if isEmpty {
                    #expect(try app.backups(in: target).isEmpty, "call \(number)")
                    #expect(try place.status(entry("target"))?.mode == 0o750, "call \(number)")
                }
            }
        }
    }
}
