import Codec
import Containers
import Disk
import FolderFormat
import Model
import TestKit
import Testing
import Workers

/// Promise 14: damage is found, and never restored.
@Suite struct DamageTests {
    private func fixture() throws -> BackupFixture {
        let fixture = try BackupFixture()
        try fixture.source.write("d/a", "content of a")
        try fixture.source.write("b", "b")
        try fixture.source.makeLink(entry("link"), to: Array("d/a".utf8))
        try fixture.source.makeDirectory(entry("empty"))
        try fixture.create("one")
        return fixture
    }

    @Test(arguments: ["d/a", "b", "backup_metadata.json", "MANIFEST.mtree"])
    func everyChangedByteIsFound(file: String) throws {
        let fixture = try fixture()
        let path = fixture.path("one", entry(file))
        let time = try #require(try fixture.backups.status(path)).modified
        for (offset, byte) in try fixture.backups.read(path).enumerated() {
            for change: UInt8 in [0x01, 0x20, 0xff] {
                try fixture.backups.overwrite(path, at: offset, with: [byte ^ change])
                // Rot changes no times.
                try fixture.backups.change(path) { $0.modified = time }
                let damage = try fixture.damage("one")
                #expect(!damage.isEmpty, "\(file): byte \(offset) changed by \(change)")
                if entry(file) == entry("d/a") { #expect(damage == ["d/a: its content is not what was backed up"]) }
            }
            try fixture.backups.overwrite(path, at: offset, with: [byte])
        }
        try fixture.backups.change(path) { $0.modified = time }
        #expect(try fixture.findings("one") == [])
    }

    @Test(arguments: ["d/a", "b", "backup_metadata.json", "MANIFEST.mtree"])
    func everyCutIsFound(file: String) throws {
        let fixture = try fixture()
        let path = fixture.path("one", entry(file))
        let whole = try fixture.backups.read(path)
        for count in stride(from: 0, to: whole.count, by: 1 + whole.count / 200) {
            try fixture.backups.write(path, Array(whole.prefix(count)))
            #expect(try !fixture.damage("one").isEmpty, "\(file) cut to \(count) bytes")
        }
    }

    @Test func whatIsMissingOrExtraIsNamed() throws {
        let fixture = try fixture()
        try fixture.backups.remove(entry("one/b"))
        try fixture.backups.remove(entry("one/d"))
        try fixture.backups.write("one/extra/x", "x")
        #expect(
            try fixture.damage("one") == [
                "b: missing", "d: missing", "d/a: missing", "extra: not in the manifest",
                "extra/x: not in the manifest",
            ])
    }

    @Test(arguments: ["file to directory", "file to link", "link to file", "directory to link", "link elsewhere"])
    func whatBecameSomethingElseIsNamed(what: String) throws {
        let fixture = try fixture()
        let path: EntryPath
        switch what {
        case "file to directory":
            path = entry("b")
            try fixture.backups.remove(entry("one/b"))
            try fixture.backups.makeDirectory(entry("one/b"))
        case "file to link":
            path = entry("b")
            // Even to a file with the right content.
            try fixture.backups.directory.directory("one".utf8).replace("c".utf8, by: Array("b".utf8))
            try fixture.backups.makeLink(entry("one/b"), to: Array("c".utf8))
        case "link to file":
            path = entry("link")
            try fixture.backups.write("one/link", "d/a")
        case "directory to link":
            path = entry("d")
            try fixture.backups.directory.directory("one".utf8).replace("e".utf8, by: Array("d".utf8))
            try fixture.backups.makeLink(entry("one/d"), to: Array("e".utf8))
        default:
            path = entry("link")
            try fixture.backups.remove(entry("one/link"))
            try fixture.backups.makeLink(entry("one/link"), to: Array("d/b".utf8))
        }
        let damage = try fixture.damage("one")
        #expect(damage.contains { $0.hasPrefix("\(path): ") }, "\(damage)")
        let isRestorable = path == entry("link")
        if !isRestorable { #expect(throws: BackupError.self) { try fixture.restore("one") } }
    }

    @Test func otherAttributesAreNotedAndNoDamage() throws {
        let fixture = try fixture()
        try fixture.backups.change(entry("one/b")) { $0.mode = 0o600 }
        try fixture.backups.change(entry("one/d")) { $0.modified = Timestamp(seconds: 3) }
        try fixture.backups.change(entry("one/d/a")) {
            $0.extended = [ExtendedAttribute(name: Array("user.z".utf8), value: [])]
        }
        try fixture.backups.change(entry("one/link")) { $0.user = 12 }
        #expect(
            try fixture.findings("one").map { "\($0.severity.rawValue) \($0.subject): \($0.message)" } == [
                "note b: mode of the stored entry changed",
                "note d: time of the stored entry changed",
                "note d/a: its extended attributes differ from the recorded ones",
                "note link: owner of the stored entry changed",
            ])
        // The recorded ones are what a restore gives.
        let before = try TreeSnapshot(of: fixture.source.directory)
        #expect(try before.differences(from: fixture.restored("one")) == [])
    }

    @Test func onlyOneOfManifestAndMetadataIsDamage() throws {
        for file in ["MANIFEST.mtree", "backup_metadata.json"] {
            let fixture = try fixture()
            try fixture.backups.remove(fixture.path("one", entry(file)))
            #expect(try fixture.damage("one").contains { $0.contains("\(file) is missing") })
            #expect(throws: BackupError.self) { try fixture.contents("one") }
            let backup = try #require(try fixture.container.backups().backups.first)
            #expect(backup.state == .damaged("\(file) is missing"))
        }
    }

    @Test(arguments: ["MANIFEST.mtree", "backup_metadata.json"])
    func ourFilesAreNeverReachedThroughLinks(file: String) throws {
        let fixture = try fixture()
        let folder = try fixture.backups.directory.directory("one".utf8)
        try folder.replace("moved".utf8, by: Array(file.utf8))
        try folder.makeLink(file.utf8, to: Array("moved".utf8))
        #expect(throws: BackupError.self) { try fixture.contents("one") }
        #expect(try !fixture.damage("one").isEmpty)
        guard case .damaged = try #require(try fixture.container.backups().backups.first).state else {
            Issue.record("it is listed as whole")
            return
        }
    }

    @Test func damagedContentIsNeverGivenOut() throws {
        let fixture = try fixture()
        try fixture.backups.overwrite(entry("one/d/a"), at: 3, with: [0])
        let error = #expect(throws: BackupError.self) { try fixture.restore("one") }
        #expect(error?.code == .damaged)
        #expect(error?.message == "the backup 'one' is damaged: the content of d/a is not what was backed up")
    }

    @Test func countsThatLieAreFound() throws {
        let fixture = try fixture()
        // Metadata and manifest made to agree, so that only the counts betray it.
        let contents = try fixture.contents("one")
        var metadata = contents.metadata
        metadata.details?.files = 1_000_000
        let bytes = metadata.encoded()
        var manifest: [UInt8] = []
        let held = try #require(contents.manifest).held
        _ = try ManifestWriter(contents.table, held: held).write(metadata: bytes) { manifest += $0 }
        try fixture.backups.write(entry("one/backup_metadata.json"), bytes)
        try fixture.backups.write(entry("one/MANIFEST.mtree"), manifest)
        #expect(try fixture.damage("one") == ["backup_metadata.json: its counts are not those of the manifest"])
    }

    @Test func aSampleReadsItsShare() throws {
        let fixture = try BackupFixture()
        for number in 0..<400 { try fixture.source.write("f\(number)", "\(number)") }
        try fixture.create("one")
        let contents = try fixture.contents("one")
        let first = try contents.verify(percent: 25, choice: 1, pool: fixture.pool, in: fixture.run)
        #expect(60..<140 ~= first.files)
        #expect(first.findings == [])
        let second = try contents.verify(percent: 25, choice: 1, pool: fixture.pool, in: fixture.run)
        #expect(first.files == second.files)
        // Whatever is read, what is there and how large it is always is compared.
        try fixture.backups.remove(entry("one/f7"))
        let third = try contents.verify(percent: 0.001, choice: 1, pool: fixture.pool, in: fixture.run)
        #expect(third.findings.map(\.subject) == ["f7"])
    }

    /// Other choices read other files, so that in time all are read.
    @Test func inTimeEverySampleReadsAll() throws {
        let fixture = try BackupFixture()
        for number in 0..<50 { try fixture.source.write("f\(number)", "\(number)") }
        try fixture.create("one")
        for number in 0..<50 { try fixture.backups.overwrite(entry("one/f\(number)"), at: 0, with: [0x78]) }
        let contents = try fixture.contents("one")
        var found: Set<String> = []
        for choice in 0..<60 {
            let verified = try contents.verify(
                percent: 20, choice: UInt64(choice) &* 0x9e37_79b9, pool: fixture.pool, in: fixture.run)
            found.formUnion(verified.findings.filter { $0.severity == .damage }.map(\.subject))
        }
        #expect(found.count == 50)
    }
}
