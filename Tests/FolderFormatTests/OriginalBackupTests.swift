import Disk
import FolderFormat
import Model
import TestKit
import Testing

/// Backups that the original Python tool made.
@Suite struct OriginalBackupTests {
    private static let metadata = """
        {
          "backup_name": "chastipi_backup_20250801_101112",
          "created_at": "2025-08-01T10:11:12.345678",
          "version": "1.0",
          "items_backed_up": [
            "app.py",
            "templates"
          ],
          "excluded_items": [
            "__pycache__",
            "*.pyc"
          ]
        }
        """

    private func fixture() throws -> BackupFixture {
        let fixture = try BackupFixture()
        try fixture.backups.write("old/backup_metadata.json", Self.metadata)
        try fixture.backups.write("old/app.py", "print()")
        try fixture.backups.write("old/templates/index.html", "<p>")
        return fixture
    }

    @Test func theyAreListed() throws {
        let fixture = try fixture()
        let backup = try #require(try fixture.container.backups().backups.first)
        #expect(backup.origin == .original)
        #expect(backup.name.text == "old")
        #expect(backup.state == .unverified)
        #expect(backup.seal == nil)
        // Naive local time, an hour east of UTC in these tests.
        #expect(backup.time.rfc3339 == "2025-08-01T10:11:12.345678000+01:00")
    }

    @Test func theyAreVerifiedAsFarAsPossible() throws {
        let fixture = try fixture()
        #expect(try fixture.damage("old") == [])
        #expect(try fixture.findings("old").map(\.severity) == [.note])
        try fixture.backups.remove(entry("old/templates"))
        #expect(try fixture.damage("old") == ["templates: missing"])
    }

    @Test func theyAreRestoredAndDeleted() throws {
        let fixture = try fixture()
        let tree = try fixture.restore("old")
        #expect(try tree.read("app.py") == "print()")
        #expect(try tree.read("templates/index.html") == "<p>")
        #expect(try tree.status(entry("backup_metadata.json")) == nil)
        try fixture.container.remove(BackupName("old"))
        #expect(try fixture.container.backups().backups.isEmpty)
    }

    /// With a key of ours it is one of ours, of which the manifest is gone.
    @Test func oursWithoutManifestAreNotTakenForTheirs() throws {
        let fixture = try BackupFixture()
        try fixture.create("one")
        try fixture.backups.remove(entry("one/MANIFEST.mtree"))
        #expect(try fixture.container.backups().backups.first?.origin == .ours)
        #expect(throws: BackupError.self) { try fixture.contents("one") }
    }
}
