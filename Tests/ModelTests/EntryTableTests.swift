import Model
import TestKit
import Testing

/// Tables against what is plain to see in a list of paths.
@Suite struct EntryTableTests {
    /// Paths in order, each with its directories: names that differ early, late or not at all up to their ends.
    private static func paths(_ random: inout SeededRandom) -> [EntryPath] {
        let names = [
            "a", "aa", "a-", "a0", "aaaaaaaa", "aaaaaaaaa", "aaaaaaab", "b", "é", "aaaaaaaaaaaaaaaab",
            "aaaaaaaaaaaaaaaac",
        ]
        var paths: Set<EntryPath> = []
        for _ in 0..<Int.random(in: 1...200, using: &random) {
            var path = EntryPath.root
            for _ in 0..<Int.random(in: 1...5, using: &random) {
                path = path.appending(Array(random.pick(names).utf8))
                paths.insert(path)
            }
        }
        return paths.sorted()
    }

    private static func table(_ paths: [EntryPath]) throws -> EntryTable {
        var table = EntryTable(root: EntryRecord(kind: .directory))
        for path in paths { try table.append(EntryRecord(kind: .directory), path: path) }
        return table
    }

    @Test func subtreesAndPlaces() throws {
        var random = SeededRandom.printed(for: "subtreesAndPlaces")
        for _ in 0..<60 {
            let paths = Self.paths(&random)
            let table = try Self.table(paths)
            for (index, path) in paths.enumerated() {
                let below = paths[(index + 1)...].prefix { $0.isAtOrBelow(path) }.count
                #expect(table.endOfSubtree(at: index + 1) == index + 2 + below)
                #expect(table.index(of: path) == index + 1)
                #expect(table.index(of: path.appending([1])) == nil)
            }
            #expect(table.endOfSubtree(at: 0) == paths.count + 1)
        }
    }

    @Test func orderAcrossTables() throws {
        var random = SeededRandom.printed(for: "orderAcrossTables")
        for _ in 0..<10 {
            let (a, b) = (Self.paths(&random), Self.paths(&random))
            let (first, second) = (try Self.table(a), try Self.table(b))
            for (i, left) in a.enumerated() {
                for (j, right) in b.enumerated() {
                    let order = first.order(of: i + 1, comparedTo: j + 1, in: second)
                    #expect(order.signum() == (left < right ? -1 : left == right ? 0 : 1), "\(left), \(right)")
                }
            }
        }
    }

    @Test func contentIsTakenOver() throws {
        let paths = ["a", "b", "c"].map { EntryPath.root.appending(Array($0.utf8)) }
        var (table, old) = (try Self.table(paths), try Self.table(paths))
        var random = SeededRandom.printed(for: "contentIsTakenOver")
        let digest = try #require(SHA256Digest(random.bytes(32)))
        let extended = [ExtendedAttribute(name: [1], value: [2])]
        old[2].digest = digest
        old[2].flags.insert([.hashed, .sparse])
        old.setExtended(extended, of: 2)
        table.setExtended(extended, of: 3)
        for index in 1...3 { table.takeContent(of: index, in: old, for: index) }
        #expect(table[2].digest == digest && table[2].flags == .hashed && table.extended(of: 2) == extended)
        #expect(table[1].flags == [] && table.extended(of: 3) == [] && table[1].digest == SHA256Digest())
    }

    @Test func bytesAreComparedEightAtATime() {
        for length in 0...40 {
            let bytes = (0..<length).map { UInt8($0) }
            for place in 0..<length {
                var other = bytes
                other[place] ^= 0x80
                #expect(bytes.withRawBytes { a in other.withRawBytes { a.firstDifference(from: $0) } } == place)
                #expect(other.withRawBytes { !$0.isASCII && !$0.isEqual(to: bytes) })
            }
            #expect(bytes.withRawBytes { $0.isASCII && $0.isEqual(to: bytes) && !$0.isEqual(to: bytes + [0]) })
            let longer = bytes + [7]
            #expect(bytes.withRawBytes { a in longer.withRawBytes { a.firstDifference(from: $0) } } == length)
        }
        #expect(Array("packs".utf8).withRawBytes { $0.isEqual(to: "packs") && !$0.isEqual(to: "pack") })
    }
}
