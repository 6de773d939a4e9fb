import Foundation
import Model
import TestKit
import Testing

@testable import ZipFormat

private let fuzzSeconds = ProcessInfo.processInfo.environment["CHASTIPI_FUZZ_SECONDS"].flatMap { Int($0) } ?? 0

/// Reads zips that are changed at random, for as long as `make fuzz` says: whatever is in them, they are refused or read, and
/// the process lives. Each is written to a file before it is read, so that one that kills the process is there afterwards.
@Suite(.enabled(if: fuzzSeconds > 0, "make fuzz")) struct ZipFuzzTests {
    /// Zips to begin with: ours, encrypted and not, and those of a folder.
    private func seeds(_ fixture: ZipFixture) throws -> [[UInt8]] {
        var seeds = [fixture.bytes, try ZipFixture().bytes]
        guard let folder = ProcessInfo.processInfo.environment["CHASTIPI_FUZZ_SEEDS"] else { return seeds }
        for name in try FileManager.default.contentsOfDirectory(atPath: folder).sorted() {
            let file = URL(filePath: folder).appending(path: name)
            let size = try file.resourceValues(forKeys: [.fileSizeKey]).fileSize ?? 0
            if size < 20_000 { seeds.append(Array(try Data(contentsOf: file))) }
        }
        return seeds
    }

    @Test func changedZipsAreRefusedOrRead() throws {
        let fixture = try ZipFixture(password: "a password")
        let seeds = try seeds(fixture)
        var random = SeededRandom.printed(for: "changedZipsAreRefusedOrRead")
        let end = Date(timeIntervalSinceNow: Double(fuzzSeconds))
        var (count, passed) = (0, 0)
        while Date() < end {
            let bytes = Self.changed(random.pick(seeds), others: seeds, &random)
            if let file = ProcessInfo.processInfo.environment["CHASTIPI_FUZZ_LAST"] {
                try Data(bytes).write(to: URL(filePath: file))
            }
            let begin = Date()
            if try fixture.problems(of: bytes).allSatisfy({ $0.hasPrefix("not made as") }) { passed += 1 }
            let took = Date().timeIntervalSince(begin)
            #expect(took < 10, "\(took) s for \(bytes.count) bytes")
            if took >= 10 { return }
            count += 1
        }
        print("\(count) zips of \(seeds.count) seeds, \(passed) of which were read")
    }

    private static let odd: [UInt32] = [0, 1, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]

    private static func changed(_ seed: [UInt8], others: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            let at = Int.random(in: bytes.indices, using: &random)
            let length = Int.random(in: 1...min(64, bytes.count - at), using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[at] = UInt8.random(in: 0...255, using: &random)
            case 2, 3:
                // A number of a header, most likely at the end of the file.
                let near = random.once(in: 2) ? max(0, bytes.count - 1 - at % 200) : at
                let number = random.pick(odd)
                for place in 0..<random.pick([2, 4, 8]) where near + place < bytes.count {
                    bytes[near + place] = place < 4 ? UInt8(truncatingIfNeeded: number >> (8 * UInt32(place))) : 0xff
                }
            case 4: bytes.removeSubrange(at..<at + length)
            case 5: bytes.insert(contentsOf: bytes[at..<at + length], at: at)
            case 6: bytes.removeLast(length)
            default:
                let other = random.pick(others)
                if other.isEmpty { continue }
                let from = Int.random(in: other.indices, using: &random)
                let part = other[from..<min(other.count, from + length)]
                bytes.replaceSubrange(at..<min(bytes.count, at + part.count), with: part)
            }
        }
        return bytes
    }
}
