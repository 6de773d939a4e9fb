import Foundation
import Model
import TestKit
import Testing

/// Undo, nothing to do, damage, and media that cannot be written.
@Suite struct RestoreHistoryTests {
    @Test func anUndoKeepsWhatWasEditedSince() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "before the restore")
        try app.tree.remove(entry("templates"))
        let old = try app.snapshot()
        try app.done("restore", "one")
        try app.tree.write("app.py", "edited since")
        try app.tree.write("data/since", "made since")
        try app.tree.write("templates/since", "made since in a directory that the restore brought")
        let edited = try app.snapshot()

        let answer = try app.done("undo")
        #expect(answer.errors.contains("changed since, kept for the next undo: app.py"), "\(answer)")
        #expect(try app.tree.read("app.py") == "before the restore")
        #expect(try app.tree.read("data/since") == "made since")
        #expect(try app.tree.status(entry("templates")) == nil)
        try app.tree.remove(entry("data/since"))
        try app.expect(old, but: "data: time")
        try app.tree.write("data/since", "made since")
        try app.done("undo")
        try app.expect(edited, but: "data: time", "data/since: time", "templates: time")
    }

    @Test func withoutARestoreThereIsNothingToUndo() throws {
        let app = try TestApp()
        let before = try app.snapshot()
        try app.run("undo").expectError(1, "no restore to undo")
        try app.run("undo", "--dry-run").expectError(1, "no restore to undo")
        let discarded = try app.run("undo", "--discard", "--yes")
        #expect(discarded.status == 0 && discarded.output.contains("nothing to do"), "\(discarded)")
        let recovered = try app.run("recover")
        #expect(recovered.status == 0 && recovered.output.contains("nothing to do"), "\(recovered)")
        try app.expect(before, but: ".: time")
    }

    @Test func aDiscardGivesUpTheUndoAndNothingElse() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("app.py", "before the restore")
        try app.done("restore", "one", "--skip-safety-backup")
        let restored = try app.snapshot()
        try app.run("undo", "--discard").expectError(2, "--yes")
        let dry = try app.done("undo", "--discard", "--dry-run")
        #expect(dry.output.hasPrefix("giving up:"), "\(dry)")
        try app.expect(restored)
        try app.done("undo", "--discard", "--yes")
        try app.expect(restored)
        try app.run("undo").expectError(1, "no restore to undo")
        #expect(try app.shell("grep -rl 'before the restore' . | wc -l").trimmingCharacters(in: .whitespaces) == "0\n")
        try app.expectIntact(["one"])
    }

    @Test func whereNothingDiffersThereIsNothingToDoAndNoSafetyBackup() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        let before = try app.snapshot()
        for _ in 1...2 {
            let answer = try app.done("restore", "one")
            #expect(answer.output == "nothing to do\n", "\(answer)")
        }
        try app.expect(before)
        try app.expectIntact(["one"])
        // An undo that was possible before still is.
        try app.tree.write("app.py", "changed")
        try app.done("restore", "one", "--skip-safety-backup")
        try app.done("restore", "one", "--skip-safety-backup")
        try app.done("undo")
        #expect(try app.tree.read("app.py") == "changed")
    }

    /// Promise 14.
    @Test func aDamagedBackupIsNeverRestoredAsIfItWereWhole() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.tree.write("data/app.db", "changed since")
        let before = try app.snapshot()
        try app.tree.overwrite(entry("backups/one/data/app.db"), at: 3, with: [UInt8(ascii: "!")])
        try app.run("restore", "one").expectError(20, "data/app.db")
        try app.expect(before)
        #expect(try app.backups() == ["one"])
        try app.run("restore", "one", "--to", "\(app.path)/elsewhere").expectError(20, "data/app.db")
        try app.expect(before, but: ".: time")
        let verified = try app.run("verify", "one")
        #expect(verified.status == 20 && verified.output.contains("data/app.db"), "\(verified)")
        // Now that the damage is known, not by any way.
        #expect(try app.run("restore", "one").status == 20)
        try app.expect(before, but: ".: time")
    }

    @Test(arguments: ["MANIFEST.mtree", "backup_metadata.json"])
    func aDamagedManifestOrMetadataIsNeverRestored(file: String) throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        try app.done("create", "--name", "two")
        try app.tree.write("data/app.db", "changed since")
        let before = try app.snapshot()
        let bytes = try app.tree.read(entry("backups/two/\(file)"))
        try app.tree.overwrite(entry("backups/two/\(file)"), at: bytes.count / 2, with: [bytes[bytes.count / 2] ^ 1])
        try app.run("restore", "two").expectError(20, "two")
        try app.expect(before)
        try app.done("restore", "one")
        #expect(try app.tree.read("data/app.db") == "database")
    }

    @Test func anUnknownBackupIsNamed() throws {
        let app = try TestApp()
        try app.done("create", "--name", "one")
        for verb in ["restore", "show", "verify"] {
            for name in ["two", "latest2", "../one", "a/b", "", "/nowhere/two"] {
                let answer = try app.run(verb, name)
                answer.expectError(10)
            }
        }
        try app.run("delete", "one", "two", "--yes").expectError(10, "two")
        try app.expectIntact(["one"])
    }

    @Test(.enabled(if: Needs.isRoot, Needs.isRootText))
    func aBackupOnAReadOnlyMediumIsListedShownVerifiedAndRestored() throws {
        guard let medium = try Needs.system("ext4", megabytes: 16) else { return }
        let app = try TestApp()
        try app.done("create", "--name", "one", "--backup-dir", medium.path)
        #expect(try ToolRun.run("mount", ["-o", "remount,ro", medium.path]).status == 0)
        let before = try app.snapshot()
        try app.tree.write("data/app.db", "changed since")
        let changed = try app.snapshot()

        let listed = try app.done("list", "--backup-dir", medium.path)
        #expect(listed.output.contains("one"))
        for name in ["one", "\(medium.path)/one"] {
            let shown = try app.done("show", name, "--files", "--backup-dir", medium.path)
            #expect(shown.output.contains("data/app.db"))
            try app.done("verify", name, "--backup-dir", medium.path)
        }
        try app.run("create", "--backup-dir", medium.path).expectError(1, medium.path, "read-only")
        try app.run("delete", "one", "--yes", "--backup-dir", medium.path).expectError(1, "read-only")
        try app.done("restore", "\(medium.path)/one")
        try app.expect(before, but: ".: time")
        try app.done("undo")
        try app.expect(changed, but: ".: time")
        // With the medium as the backup directory there is no room for a safety backup, and that is said.
        try app.run("restore", "one", "--backup-dir", medium.path).expectError(1)
        try app.expect(changed, but: ".: time")
        try app.done("restore", "one", "--backup-dir", medium.path, "--skip-safety-backup")
        #expect(try app.tree.read("data/app.db") == "database")
    }
}
