import Codec
import Containers
import Model
import TestKit
import Testing

@Suite struct ManifestTests {
    @Test func whatIsReadIsWhatWasWritten() throws {
        var random = SeededRandom.printed(for: "whatIsReadIsWhatWasWritten")
        for round in 0..<40 {
            let table = try ManifestFixture.table(&random, entries: round)
            var held: [Int: Manifest.Held] = [:]
            for index in 1..<max(1, table.count) where random.once(in: 5) {
                held[index] = .init(user: 5, group: 6, mode: 0o600, lacksExtended: random.once(in: 2))
            }
            let bytes = try ManifestFixture.bytes(table, held: held)
            let manifest = try ManifestReader.read(bytes)
            #expect(manifest.held == held)
            #expect(manifest.metadataSize == 2)
            #expect(manifest.metadataDigest == SHA256.digest(of: Array("{}".utf8)))
            #expect(ManifestReader.seal(inTail: Array(bytes.suffix(100))) == manifest.seal)
            expectEqual(manifest.table, table)
            // Written again it is the same, byte for byte.
            #expect(try ManifestFixture.bytes(manifest.table, held: manifest.held) == bytes)
        }
    }

    @Test func thePiecesItComesInMakeNoDifference() throws {
        var random = SeededRandom.printed(for: "thePiecesItComesInMakeNoDifference")
        for size in [1, 2, 73, 74, 75, 100, 1000] {
            let bytes = try ManifestFixture.bytes(try ManifestFixture.table(&random, entries: 20))
            var reader = ManifestReader()
            for start in stride(from: 0, to: bytes.count, by: size) {
                let piece = Array(bytes[start..<min(start + size, bytes.count)])
                try piece.withUnsafeBytes { try reader.take($0) }
            }
            let manifest = try reader.finish()
            #expect(try ManifestFixture.bytes(manifest.table, held: manifest.held) == bytes)
        }
    }

    private func expectEqual(_ a: EntryTable, _ b: EntryTable) {
        #expect(a.count == b.count)
        for index in 0..<min(a.count, b.count) {
            #expect(a.path(of: index) == b.path(of: index))
            let isBareRoot = index == 0 && b[0].flags.contains(.ancestor)
            if !isBareRoot { #expect(a.attributes(of: index) == b.attributes(of: index)) }
            #expect(a.target(of: index) == b.target(of: index))
            #expect(a[index].kind == b[index].kind)
            #expect(a[index].flags == b[index].flags)
            #expect(a[index].size == b[index].size)
            #expect(a[index].digest == b[index].digest)
            #expect(a[index].linkGroup == b[index].linkGroup)
        }
    }

    @Test func everyChangedByteIsFound() throws {
        var random = SeededRandom.printed(for: "everyChangedByteIsFound")
        let bytes = try ManifestFixture.bytes(try ManifestFixture.table(&random, entries: 6))
        #expect(ManifestFixture.refusal(of: bytes) == nil)
        for index in bytes.indices {
            // 0x20 makes a capital of a letter.
            for change: UInt8 in [0x01, 0x20, 0x80, 0xff] {
                var changed = bytes
                changed[index] ^= change
                #expect(ManifestFixture.refusal(of: changed) != nil, "byte \(index) changed by \(change)")
            }
        }
    }

    @Test func everyCutIsFound() throws {
        var random = SeededRandom.printed(for: "everyCutIsFound")
        let bytes = try ManifestFixture.bytes(try ManifestFixture.table(&random, entries: 12))
        for count in 0..<bytes.count {
            #expect(ManifestFixture.refusal(of: Array(bytes.prefix(count))) != nil, "cut after \(count) bytes")
        }
        #expect(ManifestFixture.refusal(of: bytes + [0x0a]) != nil)
    }

    @Test func theBytesAreAsDocumented() throws {
        var table = EntryTable(root: EntryRecord(kind: .directory, flags: .ancestor))
        table.userNames = [0: "root"]
        var file = EntryRecord(
            kind: .file, flags: [.hashed, .sparse], mode: 0o4755, user: 0, group: 33, size: 5,
            modified: Timestamp(seconds: -7, nanoseconds: 1_000))
        file.linkGroup = 3
        let directory = EntryRecord(
            kind: .directory, flags: .ancestor, mode: 0o700, modified: Timestamp(seconds: 1_700_000_000))
        try table.append(directory, path: entry("a b"))
        let comment = ExtendedAttribute(name: Array("user.c d".utf8), value: Array("hello".utf8))
        try table.append(file, path: EntryPath(unchecked: Array("a b/".utf8) + [0xff]), extended: [comment])
        try table.append(EntryRecord(kind: .link, mode: 0o777), path: entry("z"), target: Array("to there".utf8))
        let bytes = try ManifestFixture.bytes(
            table, held: [3: .init(user: 9, group: 8, mode: 0o777, lacksExtended: false)])
        let text = String(decoding: bytes, as: UTF8.self)
        #expect(
            text.hasPrefix(
                #"""
                #mtree
                # chastipi-backup manifest 1: check it with mtree -p . -f MANIFEST.mtree
                #: ancestor=yes
                . type=dir
                #: ancestor=yes
                ./a\040b type=dir mode=00700 uid=0 uname=root gid=0 time=1700000000.000000000
                #: sparse=yes group=3 xattr.user.c\040d=aGVsbG8=
                ./a\040b/\377 type=file mode=04755 uid=0 uname=root gid=33 size=5 time=-7.000001000 sha256=0000
                """#))
        #expect(
            text.contains(
                #"""
                #: mode=00777 uid=0 uname=root gid=0
                ./z type=link mode=00777 uid=9 gid=8 time=0.000000000 link=to\040there
                ./backup_metadata.json type=file size=2 sha256=44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
                ./MANIFEST.mtree type=file optional
                # sha256 
                """#))
    }
}
