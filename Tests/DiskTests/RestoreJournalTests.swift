import Model
import Testing

@testable import Disk

@Suite struct RestoreStateTests {
    static let example =
        "chastipi-state 1 0f1e2d3c4b5a69788796a5b4c3d2e1f0 forward 5e0c1f7a90b34d2286a1c3e4f5061728.1 - cf63daf5626815a7\n"

    @Test func checksumIsTheStandardOne() {
        #expect(CRC64.hex(of: "123456789".utf8) == "995dc9bbdf1939fa")
    }

    @Test func theSpecificationsExampleIsRead() throws {
        let state = try #require(RestoreState(line: Array(Self.example.utf8)))
        #expect(state.phase == .forward)
        #expect(state.current?.text == "5e0c1f7a90b34d2286a1c3e4f5061728.1")
        #expect(state.previous == nil)
        #expect(state.line == Array(Self.example.utf8))
    }

    @Test func everyFlippedBitAndEveryTruncationIsRefused() {
        let line = Array(Self.example.utf8)
        for index in line.indices {
            for bit in 0..<8 {
                var damaged = line
                damaged[index] ^= 1 << UInt8(bit)
                #expect(RestoreState(line: damaged) == nil, "byte \(index), bit \(bit)")
            }
            #expect(RestoreState(line: Array(line[..<index])) == nil, "cut at \(index)")
        }
    }
}

@Suite struct RestoreJournalTests {
    /// A journal with everything that a journal can hold.
    static func sample() throws -> RestoreJournal {
        let attributes = Attributes(
            mode: 0o4755, user: 0, group: 12, modified: Timestamp(seconds: -5, nanoseconds: 7),
            extended: [ExtendedAttribute(name: Array("user.a b".utf8), value: [0, 10, 32, 58, 61, 255])])
        var old = EntryTable(root: EntryRecord(kind: .directory, mode: 0o700))
        try old.append(EntryRecord(kind: .file, mode: 0o644, size: 99), path: try #require(EntryPath("x\ny")))
        try old.append(EntryRecord(kind: .link), path: try #require(EntryPath([0xff, 0x20])))
        let new = EntryTable(root: EntryRecord(kind: .fifo))
        let odd = try #require(EntryPath("data/new line\n\u{7f}".utf8))
        return RestoreJournal(
            id: String(repeating: "ab", count: 16), number: 3, note: Array("note of\nours".utf8),
            mounts: [try #require(EntryPath("data"))],
            directories: [
                .init(path: .root, old: attributes, new: attributes), .init(path: odd, old: nil, new: attributes),
            ],
            steps: [
                .init(place: odd, old: old, new: nil), .init(place: EntryPath(unchecked: [0x61]), old: nil, new: new),
            ])
    }

    @Test func comesBackAsItWas() throws {
        let journal = try Self.sample()
        let bytes = journal.encoded()
        let read = try #require(RestoreJournal(parsing: bytes))
        #expect(read.encoded() == bytes)
        #expect(read.directories == journal.directories)
        #expect(read.note == journal.note)
        #expect(read.steps[0].old?.path(of: 1) == journal.steps[0].old?.path(of: 1))
        #expect(read.steps[1].new?[0].kind == .fifo)
    }

    @Test func everyByteInANameComesBack() throws {
        for byte in UInt8(1)...255 where byte != UInt8(ascii: "/") {
            var line: [UInt8] = []
            EscapedBytes.append([0x61, byte], to: &line)
            #expect(EscapedBytes.decode(line[...]) == [0x61, byte])
            #expect(!line.contains(0x20) && !line.contains(0x0a))
        }
    }

    @Test func everyFlippedByteAndEveryTruncationIsRefused() throws {
        let bytes = try Self.sample().encoded()
        for index in bytes.indices {
            var damaged = bytes
            damaged[index] ^= 0x41
            #expect(RestoreJournal(parsing: damaged) == nil, "byte \(index)")
            #expect(RestoreJournal(parsing: Array(bytes[..<index])) == nil, "cut at \(index)")
        }
    }
}
