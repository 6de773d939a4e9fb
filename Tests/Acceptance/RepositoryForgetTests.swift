import Disk
import Foundation
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

/// `prune` and real restic's `forget`, asked about one repository: with snapshots at odd times in odd zones.
@Suite struct RepositoryForgetTests {
    /// Of `Retention/restic.json`: what `ResticPolicyTests` compares the policy with, without a repository.
    private struct Fixture: Decodable {
        struct Policy: Decodable {
            let options: String
        }

        let snapshots: [[Field]]
        let policies: [Policy]

        enum Field: Decodable {
            case time(String)
            case tags([String])

            init(from decoder: any Decoder) throws {
                let value = try decoder.singleValueContainer()
                self = try (try? value.decode(String.self)).map { .time($0) } ?? .tags(value.decode([String].self))
            }
        }

        static func read() throws -> Fixture {
            let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "ModelTests/Retention/restic.json")
            return try JSONDecoder().decode(Fixture.self, from: Data(contentsOf: file))
        }
    }

    /// Snapshots of one tree, four years earlier than in the fixture: none may lie in the future.
    private func fill(_ kept: RepositoryApp, _ fixture: Fixture) throws {
        try kept.done("create", "--name", "one")
        let password = try #require(Password(RepositoryApp.password.utf8))
        let repository = try Repository(try LocalBackend(path: kept.path), password)
        let pool = ThreadPool(threads: 1)
        let made = try #require(try repository.snapshots(on: pool).snapshots.first)
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        for fields in fixture.snapshots {
            guard case .time(let text) = fields[0], case .tags(let tags) = fields[1] else { continue }
            let year = try #require(Int(text.prefix(4))) - 4
            let time = try #require(LocalTime(rfc3339: "\(year)\(text.dropFirst(4))"), "\(text)")
            var snapshot = Snapshot(time: time, tree: made.snapshot.tree, paths: made.snapshot.paths)
            snapshot.hostName = HostName.current
            snapshot.tags = tags
            _ = try writer.save(snapshot)
        }
        try writer.finish()
        try repository.backend.remove(.snapshot(made.id))
    }

    private struct Forgotten: Decodable {
        struct Snapshot: Decodable {
            let id: String
        }

        let keep: [Snapshot]?
    }

    private struct Pruned: Decodable {
        struct Decision: Decodable {
            struct Backup: Decodable {
                let name: String
            }

            let kept: Bool
            let reasons: [String]
            let backup: Backup
        }

        let decisions: [Decision]
    }

    @Test func whatRemainsIsWhatResticKeeps() throws {
        let fixture = try Fixture.read()
        let kept = try RepositoryApp(isCheap: true)
        try fill(kept, fixture)
        var policies: [String] = []
        for policy in fixture.policies.map(\.options) where !policies.contains(policy) { policies.append(policy) }
        #expect(policies.count >= 40 && fixture.snapshots.count >= 150)
        var decisions = 0
        for policy in policies {
            let words = policy.split(separator: " ").map(String.init)
            let asked = try ToolRun.run(
                "restic",
                ["--repo", kept.path, "--no-cache", "--no-lock", "forget", "--dry-run", "--json", "--group-by", ""]
                    + words,
                environment: ["RESTIC_PASSWORD": RepositoryApp.password, "TZ": "UTC"])
            let theirs = Set(
                try JSONDecoder().decode([Forgotten].self, from: Data(asked.output))[0].keep?.map { $0.id.prefix(16) }
                    ?? [])
            let answer = try Program.run(
                ["prune", "--dry-run", "--json", "--include-named", "--repository", kept.path, "--app", kept.app.path]
                    + words,
                environment: kept.environment.merging(["TZ": "UTC"]) { $1 })
            #expect(answer.status == 0, "\(policy): \(answer.errors)")
            let ours = try JSONDecoder().decode(Pruned.self, from: Data(answer.output.utf8)).decisions
            #expect(ours.count == fixture.snapshots.count, "\(policy)")
            let remaining = Set(ours.filter(\.kept).map { $0.backup.name.prefix(16) })
            #expect(theirs.isSubset(of: remaining), "\(policy): \(theirs.subtracting(remaining))")
            decisions += theirs.count
            // Ours are the newest, which is always kept, and the oldest, which newer releases of restic keep too.
            for decision in ours where decision.kept && !theirs.contains(decision.backup.name.prefix(16)) {
                let isOurs = decision.reasons.allSatisfy {
                    $0.hasPrefix("newest complete") || $0.hasSuffix(" as the oldest")
                }
                #expect(isOurs, "\(policy): \(decision)")
            }
        }
        #expect(decisions > 500)
    }
}
