import Codec
import Foundation
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

private func environment(_ name: String) -> String? { ProcessInfo.processInfo.environment[name] }

private let fuzzSeconds = environment("CHASTIPI_FUZZ_SECONDS").flatMap { Double($0) }

/// Reads what repositories hold, changed at random: a little in each run of the tests, and for as long as `make fuzz` says. Whatever
/// it is, it is refused or read, in little time, and the process lives. With CHASTIPI_FUZZ_LAST each input is written to a file before it
/// is read, so that one that kills the process is there afterwards.
@Suite struct RepositoryFuzzTests {
    /// How many inputs each target gets in a run of the tests.
    private static let least = 1500

    @Test(arguments: try FuzzTarget.all()) func changed(_ target: FuzzTarget) throws {
        for seed in target.seeds { try target.read(seed) }
        var random = SeededRandom.printed(for: "RepositoryFuzzTests.changed \(target.name)")
        let (count, read) = try Self.repeating { _ in
            let seed = random.pick(target.seeds)
            let bytes = Mutation.changed(
                seed, others: target.seeds, tokens: target.isJSON ? Mutation.tokens : [], &random)
            try Self.keep(bytes, target.name)
            do {
                try target.read(bytes)
            } catch is NotTheSame {
                Issue.record("\(target.name): not the same when it is written and read again: \(hexText(bytes))")
                return false
            } catch {
                return false
            }
            #expect(!target.isSealed || target.seeds.contains(bytes), "\(target.name) took \(hexText(bytes))")
            return true
        }
        print("\(target.name): \(count) inputs, \(read) of which were read")
    }

    /// Somebody who has the password stores what they like: index, tree, snapshot and pack header are changed, and all hashes are right.
    @Test func wholeRepositories() throws {
        var random = SeededRandom.printed(for: "RepositoryFuzzTests.wholeRepositories")
        let run = TestRun()
        let made = try HostileRepository(in: run.context())
        let unchanged = try made.read(changing: nil) { $0 }
        #expect(unchanged == [])
        let (count, read) = try Self.repeating { _ in
            let part = random.pick(HostileRepository.Part.allCases)
            var random = random
            let findings = try made.read(changing: part) { bytes in
                let isJSON = part != .header && part != .blob
                let changed = Mutation.changed(
                    bytes, others: [bytes], tokens: isJSON ? Mutation.tokens : [], &random)
                try Self.keep(changed, "repository \(part)")
                return changed
            }
            return findings.isEmpty
        }
        print("repositories: \(count), \(read) of which were read")
    }

    // MARK: Aids

    /// Calls `body` again and again. Each call may take a few seconds at most.
    private static func repeating(_ body: (Int) throws -> Bool) rethrows -> (count: Int, read: Int) {
        let share = fuzzSeconds.map { $0 / 16 }
        let end = Date(timeIntervalSinceNow: share ?? 0)
        var (count, read) = (0, 0)
        while share == nil ? count < least : Date() < end {
            let begin = Date()
            if try body(count) { read += 1 }
            let took = Date().timeIntervalSince(begin)
            #expect(took < 10, "\(took) s for input \(count)")
            count += 1
        }
        return (count, read)
    }

    private static func keep(_ bytes: [UInt8], _ name: String) throws {
        guard let file = environment("CHASTIPI_FUZZ_LAST") else { return }
        try Data(bytes).write(to: URL(filePath: "\(file)-\(name.replacing(" ", with: "-"))"))
    }
}
