import Codec
import Containers
import Model
import TestKit
import Testing

@Suite struct BackupMetadataTests {
    private func example() throws -> BackupMetadata {
        var details = BackupMetadata.Details()
        details.host = "pi"
        details.toolVersion = "1.2.3"
        details.trigger = .preRestore
        details.tags = ["before \"upgrade\"", "é"]
        details.absentItems = ["plugins"]
        details.rules = [
            .init(pattern: Array("*.pyc".utf8), origin: "default"),
            .init(pattern: [0xff, 0x2a], origin: ".backupignore:3"),
        ]
        details.skipped = [
            Skipped(path: entry("a"), reason: "permission denied"),
            Skipped(path: EntryPath(unchecked: [0x64, 0x2f, 0xff, 0x0a]), reason: "it changed", isKept: true),
            Skipped(path: .root, reason: "x"),
        ]
        details.entries = 7
        details.files = 5
        details.bytes = .max
        details.bytesWritten = 12
        details.sharedFiles = 3
        details.parent = "chastipi_backup_20261124_020000"
        details.sharing = .hardLink
        details.isFull = true
        details.milliseconds = 1234
        let time = try #require(LocalTime(rfc3339: "2026-11-25T14:03:09.123456789+01:00"))
        return BackupMetadata(
            backupName: "one", time: time, items: [.root, entry("data/x")], excludedItems: ["*.pyc"], details: details)
    }

    @Test func whatIsReadIsWhatWasWritten() throws {
        let written = try example()
        let read = try BackupMetadata.read(written.encoded())
        #expect(read.encoded() == written.encoded())
        #expect(read.time == written.time)
        #expect(read.items == written.items)
        #expect(read.excludedItems == written.excludedItems)
        let (a, b) = (try #require(read.details), try #require(written.details))
        #expect(a.skipped == b.skipped)
        #expect(a.rules == b.rules)
        #expect(a.tags == b.tags)
        #expect(a.bytes == b.bytes)
        #expect(a.trigger == b.trigger)
        #expect(a.sharing == b.sharing)
        #expect(!read.isOfOriginal)
    }

    /// The original tool and its readers find their keys, with their meaning.
    @Test func theOriginalsKeysComeFirst() throws {
        let text = String(decoding: try example().encoded(), as: UTF8.self)
        #expect(
            text.hasPrefix(
                """
                {
                  "backup_name": "one",
                  "created_at": "2026-11-25T14:03:09.123456",
                  "version": "1.0",
                  "items_backed_up": [
                    ".",
                    "data/x"
                  ],
                  "excluded_items": [
                    "*.pyc"
                  ],
                  "time": "2026-11-25T14:03:09.123456789+01:00",
                  "format": "folder",

                """))
        #expect(text.contains(#""path_base64": "ZC//Cg==""#))
    }

    @Test func theOriginalsAreRecognised() throws {
        let text = """
            {"backup_name": "old", "created_at": "2025-08-01T10:11:12", "version": "1.0",
             "items_backed_up": ["app.py"], "excluded_items": []}
            """
        let read = try BackupMetadata.read(Array(text.utf8))
        #expect(read.isOfOriginal)
        #expect(read.time.naiveISO == "2025-08-01T10:11:12")
        #expect(read.items == [entry("app.py")])
    }

    private func refusal(_ bytes: [UInt8]) -> String? {
        do throws(MetadataError) {
            _ = try BackupMetadata.read(bytes)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// Each key is missing, and of each wrong type, once; none of that may pass for a backup, let alone crash.
    @Test func everyKeyIsChecked() throws {
        guard case .object(let members) = try JSONReader.read(example().encoded()) else { return }
        // What may be missing in metadata that an older version wrote, or says nothing that anything depends on.
        let optional: Set<String> = ["version", "created_at", "format", "parent", "full", "last_full"]
        for (index, member) in members.enumerated() where !optional.contains(member.key) {
            var without = members
            without.remove(at: index)
            #expect(refusal(JSONValue.object(without).encode()) != nil, "without \(member.key)")
            for value in [JSONValue.null, .number(try #require(JSONNumber(-1.5))), .array([.null]), .object([])] {
                var wrong = members
                wrong[index].value = value
                #expect(refusal(JSONValue.object(wrong).encode()) != nil, "\(member.key): \(value)")
            }
        }
    }

    @Test(
        arguments: [
            "../etc", "/etc", "a/../b", "", "a\u{0}b", "a//b",
        ])
    func itemsAndSkippedPathsStayInside(path: String) throws {
        guard case .object(var members) = try JSONReader.read(example().encoded()),
            let items = members.firstIndex(where: { $0.key == "items_backed_up" }),
            let skipped = members.firstIndex(where: { $0.key == "skipped" })
        else { return }
        let original = members
        members[items].value = .array([.string(path)])
        // The empty text is `.` to EntryPath, which is inside.
        #expect((refusal(JSONValue.object(members).encode()) == nil) == path.isEmpty)
        members = original
        members[skipped].value = [["path": .string(path), "reason": "x", "kept": false]]
        #expect((refusal(JSONValue.object(members).encode()) == nil) == path.isEmpty)
    }

    @Test func unknownKeysDoNoHarm() throws {
        guard case .object(let members) = try JSONReader.read(example().encoded()) else { return }
        let bytes = JSONValue.object(members + [JSONMember("new", ["of": "a later version"])]).encode()
        #expect(refusal(bytes) == nil)
    }

    @Test func incompleteMustAgreeWithWhatWasSkipped() throws {
        let text = String(decoding: try example().encoded(), as: UTF8.self)
        let lying = text.replacing(#""incomplete": true"#, with: #""incomplete": false"#)
        #expect(refusal(Array(lying.utf8)) == "'incomplete' contradicts 'skipped'")
    }

    @Test func garbageIsRefused() {
        var random = SeededRandom.printed(for: "garbageIsRefused")
        for _ in 0..<200 { #expect(refusal(random.bytes(100)) != nil) }
        #expect(refusal(Array(String(repeating: "{\"a\":", count: 100_000).utf8)) != nil)
        #expect(refusal([]) != nil)
    }
}
