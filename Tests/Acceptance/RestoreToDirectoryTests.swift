import Foundation
import Model
import TestKit
import Testing

/// `restore --to`: whole, or as it was found.
@Suite struct RestoreToDirectoryTests {
    private func makeChanged() throws -> TestApp {
        let app = try TestApp()
        try app.tree.write("notes.txt", "not covered")
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "changed")
        try app.tree.write("data/app.db", "changed")
        return app
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

    /// Whoever waits for the directory never finds none, and what a kill leaves beside it the next run removes.
    @Test(arguments: [true, false])
    func aKillLeavesTheDirectoryAsItWasOrWhole(isEmpty: Bool) throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        var ends: Set<Bool> = []
        for number in 1...1000 {
            if isEmpty { try place.makeDirectory(entry("target")) }
            let answer = try app.run(
                "restore", "one", "--to", "\(place.path)/target", environment: ["CHASTIPI_FAULT": "\(number):kill"])
            #expect([0, 137].contains(answer.status), "call \(number): \(answer)")
            let exists = try app.backups(in: place.path).contains("target")
            let isWhole = try exists && place.status(entry("target/app.py")) != nil
            #expect(exists || !isEmpty, "call \(number)")
            #expect(exists == isWhole || isEmpty, "call \(number)")
            if isWhole { #expect(try place.read("target/data/deep/one") == "one") }
            ends.insert(isWhole)
            if exists { try place.remove(entry("target")) }
            if answer.status == 0 { break }
        }
        #expect(ends.count == 2)
        try app.done("restore", "one", "--to", "\(place.path)/target")
        #expect(try app.backups(in: place.path) == ["target"])
    }

    @Test func anExistingDirectoryKeepsWhoseItIsAndWhoMayEnter() throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        try place.makeDirectory(entry("private"))
        let result = try ToolRun.run(
            "sh", ["-ec", "chmod 2710 private; setfattr -n user.note -v mine private"], in: place.path)
        #expect(result.status == 0)
        if Needs.isRoot { #expect(try ToolRun.run("chown", ["7:8", place.path + "/private"]).status == 0) }
        #expect(try ToolRun.run("chmod", ["2710", place.path + "/private"]).status == 0)
        let before = try #require(try place.status(entry("private")))
        try app.done("restore", "one", "--to", "\(place.path)/private")
        let after = try #require(try place.status(entry("private")))
        #expect(after.mode == before.mode && after.user == before.user && after.group == before.group)
        #expect(try place.read("private/app.py") == "the app")
    }

    @Test func noDirectoryOfBackupsIsATarget() throws {
        let app = try makeChanged()
        try app.done("restore", "one", "--skip-safety-backup")
        try app.tree.makeDirectory(entry("backups/empty"))
        for target in ["backups/new", "backups/empty", "backups/one/new", ".chastipi/new", ".chastipi/restores/new"] {
            try app.run("restore", "one", "--to", "\(app.path)/\(target)")
                .expectError(1, "lies where backups are kept", "Nothing was changed")
            #expect(try app.tree.status(entry(target))?.kind == (target.hasSuffix("empty") ? .directory : nil))
        }
        try app.tree.remove(entry("backups/empty"))
        try app.expectIntact(["one"])
    }

    @Test func thePlanIsShownAndNothingIsMade() throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        let answer = try app.done("restore", "one", "--to", "\(place.path)/target", "--dry-run")
        #expect(answer.output.contains("add app.py") && answer.output.contains("add data (4 entries)"), "\(answer)")
        #expect(try app.backups(in: place.path).isEmpty)
        try place.write("full/mine", "mine")
        try app.run("restore", "one", "--to", "\(place.path)/full", "--dry-run").expectError(
            1, "not an empty directory")
    }

    @Test func namesOfManyBytesAreNoProblemAndOddOnesAreRefused() throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        let name = String(repeating: "\u{6f22}", count: 80)
        try app.done("restore", "one", "--to", "\(place.path)/\(name)")
        #expect(try place.read("\(name)/app.py") == "the app")
        let odd = try ToolRun.run(
            "sh", ["-c", "exec \"$0\" restore one --app \"$1\" --to \"$(printf 'x/\\377')\"", Program.path, app.path],
            in: place.path)
        #expect(odd.status == 2)
        #expect(String(decoding: odd.errors, as: UTF8.self).contains("'x/\\377' is not UTF-8"))
        #expect(try app.backups(in: place.path) == [name])
    }

    @Test func aNewDirectoryIsMadeAsAnyOther() throws {
        let app = try makeChanged()
        let place = try TemporaryTree()
        let run = try ToolRun.run(
            "sh", ["-c", "umask 027; exec \"$0\" restore one --app \"$1\" --to new", Program.path, app.path],
            in: place.path)
        #expect(run.status == 0)
        #expect(try place.status(entry("new"))?.mode == 0o750)
    }
}
