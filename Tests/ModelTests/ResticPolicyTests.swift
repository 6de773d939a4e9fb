import Foundation
import Model
import TestKit
import Testing

/// Decisions are those of restic's `forget`: `Retention/restic.json` has its own, made by `Retention/make-fixture`.
@Suite struct ResticPolicyTests {
    private struct Fixture: Decodable {
        struct Snapshot: Decodable {
            let time: String
            let tags: [String]

            init(from decoder: any Decoder) throws {
                var list = try decoder.unkeyedContainer()
                time = try list.decode(String.self)
                tags = try list.decode([String].self)
            }
        }

        struct Policy: Decodable {
            let zone: String
            let options: String
            /// The number of a snapshot, and the number of its reasons.
            let kept: [[Int]]
        }

        let restic: String
        let snapshots: [Snapshot]
        let reasons: [[String]]
        let policies: [Policy]

        /// Since 0.16 restic keeps the oldest snapshot too, as long as a rule has slots left.
        var keepsOldest: Bool { restic.compare("0.16", options: .numeric) != .orderedAscending }
    }

    private static func fixture() throws -> Fixture {
        let file = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Retention/restic.json")
        return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: file))
    }

    private func backups(_ fixture: Fixture) throws -> [Backup] {
        try fixture.snapshots.enumerated().map { number, snapshot in
            let time = try #require(LocalTime(rfc3339: snapshot.time), "\(snapshot.time)")
            let name = try BackupName("auto_backup_20260101_000000_\(number + 1)")
            return Backup(name: name, format: .folder, origin: .ours, time: time, tags: snapshot.tags)
        }
    }

    private func policy(_ options: String) throws -> RetentionPolicy {
        var policy = RetentionPolicy()
        let words = options.split(separator: " ").map(String.init)
        for (option, value) in zip(words, words.dropFirst()) where option.hasPrefix("--keep-") {
            let key = String(option.dropFirst("--keep-".count)).replacing("-", with: "_")
            if key == "tag" { policy.keep(tags: value) } else { try policy.set(key, to: value) }
        }
        return policy
    }

    /// Central European time as its law has it since 1996: Foundation's would need the zone of this process.
    private static func berlin(_ moment: Timestamp) -> Int {
        let year = LocalTime(moment: moment, offset: 0).civil.year
        func lastSunday(of month: String) -> Int64 {
            guard let last = LocalTime(rfc3339: "\(year)-\(month)-31T01:00:00Z") else { return 0 }
            let weekday = (last.moment.seconds / 86_400 + 4) % 7
            return last.moment.seconds - weekday * 86_400
        }
        return lastSunday(of: "03")..<lastSunday(of: "10") ~= moment.seconds ? 7200 : 3600
    }

    /// In restic's words; nil for what restic does not know. Its tags and spans are printed alike.
    private func restic(_ reason: RetentionReason, keepsOldest: Bool) -> String? {
        switch reason {
        case .last: "last snapshot"
        case .period(let period, _, _, _, let isOldest):
            isOldest ? (keepsOldest ? "oldest \(period) snapshot" : nil) : "\(period) snapshot"
        case .within(let span): "within \(span)"
        case .periodWithin(let period, let span, _, let isOldest):
            isOldest ? (keepsOldest ? "oldest \(period) within \(span)" : nil) : "\(period) within \(span)"
        case .tagged(let tags): "has tags [\(tags.joined(separator: ", "))]"
        default: nil
        }
    }

    @Test func decisionsAndTheirReasonsAreRestics() throws {
        let fixture = try Self.fixture()
        let backups = try backups(fixture)
        #expect(backups.count >= 150 && Set(fixture.policies.map(\.options)).count >= 40)
        let odd: Set<Int> = [20_700, -34_200, 39_600, 37_800, 3600, 7200, -12_600]
        #expect(odd.isSubset(of: Set(backups.map(\.time.offset))))
        let now = LocalTime(moment: Timestamp(seconds: 2_000_000_000), offset: 0)
        var kept = 0
        for policy in fixture.policies {
            let isUTC = policy.zone == "UTC"
            let decisions = try self.policy(policy.options)
                .decide(on: backups, now: now) { isUTC ? 0 : Self.berlin($0) }
            #expect(decisions.map(\.backup.name) == backups.map(\.name), "the order is another")
            var expected: [Int: [String]] = [:]
            for pair in policy.kept { expected[pair[0]] = fixture.reasons[pair[1]] }
            for (number, decision) in decisions.enumerated() {
                let ours = decision.reasons.compactMap { restic($0, keepsOldest: fixture.keepsOldest) }.sorted()
                #expect(
                    ours == expected[number] ?? [],
                    "\(policy.options) in \(policy.zone): \(fixture.snapshots[number].time)")
                // What restic keeps we keep. What else we keep has reasons of our own.
                #expect(decision.isKept || expected[number] == nil)
                kept += ours.isEmpty ? 0 : 1
            }
        }
        #expect(kept > 1000)
    }

    /// What restic 0.14 does not know: all of a kind is as many as there ever are.
    @Test func unlimitedIsAsManyAsThereAre() throws {
        let backups = try backups(try Self.fixture())
        let now = LocalTime(moment: Timestamp(seconds: 2_000_000_000), offset: 0)
        for key in ["last", "hourly", "daily", "weekly", "monthly", "yearly"] {
            var (unlimited, many, minus) = (RetentionPolicy(), RetentionPolicy(), RetentionPolicy())
            try unlimited.set(key, to: "unlimited")
            try minus.set(key, to: "-1")
            try many.set(key, to: "999999")
            let kept = unlimited.decide(on: backups, now: now).map(\.isKept)
            #expect(kept == many.decide(on: backups, now: now).map(\.isKept))
            #expect(unlimited == minus && kept.contains(true))
        }
    }
}
