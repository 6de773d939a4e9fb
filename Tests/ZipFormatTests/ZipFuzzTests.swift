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
            let bytes = Mutation.changed(random.pick(seeds), others: seeds, &random)
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
}
