import Codec
import Foundation
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

@Suite struct RepositoryStatisticsTests {
    private let pool = ThreadPool(threads: 2)

    private func statistics(_ repository: Repository) throws -> RepositoryStatistics {
        try repository.statistics(on: pool, in: TestRun().context())
    }

    /// A number that restic prints as JSON.
    private func number(_ place: ResticRepository, _ name: String, _ mode: String, _ snapshot: [String] = []) throws
        -> Int
    {
        let run = try place.restic(["stats", "--json", "--mode", mode] + snapshot)
        let json = try #require(try JSONSerialization.jsonObject(with: Data(run.output)) as? [String: Any])
        return try #require(json[name] as? Int)
    }

    /// Numbers that restic counts, too, are the same.
    @Test func asResticCounts() throws {
        var random = SeededRandom.printed(for: "asResticCounts")
        let source = try OddTree(&random)
        let place = try ResticRepository(version: 2)
        for number in 0..<3 {
            try source.tree.write(entry("added/\(number)"), random.bytes(5000))
            try place.restic(["backup", "."], in: source.tree.path)
        }
        let repository = try place.open()
        let statistics = try statistics(repository)
        #expect(statistics.findings == [] && statistics.snapshots.count == 3)
        // All blobs are in use: what restic counts, in bytes and in number.
        #expect(Int(statistics.stored) == (try number(place, "total_size", "raw-data")))
        #expect(statistics.dataBlobs + statistics.treeBlobs == (try number(place, "total_blob_count", "raw-data")))
        // Restic counts that since 0.15.
        let index = try repository.index(on: pool).index
        var coder = repository.coder()
        let content = try index.blobKeys.reduce(0) { try $0 + repository.blob($1, in: index, &coder).count }
        #expect(Int(statistics.content) == content)
        #expect(statistics.compressionRatio > 1 && statistics.unused == 0)
        // A file with two names counts once there.
        let again = try TreeSnapshot(of: source.tree.directory).entries.values
            .reduce(0) { $0 + ($1.sameFileAs == nil ? 0 : $1.content.count) }
        #expect(again >= 100_000)
        for growth in statistics.snapshots {
            let size = try number(place, "total_size", "restore-size", [growth.snapshot.id.hex])
            #expect(Int(growth.restored) == size + again)
        }
        let sizes = try ObjectKind.allCases.map { kind in
            try place.backend().list(kind).reduce(0) { $0 + $1.size }
        }
        #expect(statistics.total == sizes.reduce(0, +))
        #expect(statistics.packs == (try place.backend().list(.pack).count))
    }

    /// What each snapshot adds, and what nobody needs when one is forgotten.
    @Test func growth() throws {
        var random = SeededRandom.printed(for: "growth")
        let source = try TemporaryTree()
        let place = try ResticRepository(weak: .two)
        for number in 0..<3 {
            try source.write(entry("only"), random.bytes(10_000 * (number + 1)))
            try source.write(entry("all"), Array("the same".utf8))
            try place.restic(["backup", "."], in: source.path)
        }
        var statistics = try statistics(try place.open())
        #expect(statistics.snapshots.map(\.files) == [2, 2, 2])
        #expect(statistics.snapshots.map(\.restored) == [10_008, 20_008, 30_008])
        #expect(statistics.restored == 60_024)
        // Trees come on top.
        for (number, growth) in statistics.snapshots.enumerated() {
            let file = UInt64(10_000 * (number + 1))
            #expect(growth.content > file && growth.content < file + 2000)
            #expect(growth.stored > file && growth.stored < file + 2000)
        }
        #expect(statistics.snapshots.map(\.stored).reduce(0, +) == statistics.stored && statistics.unused == 0)

        let second = statistics.snapshots[1]
        try place.restic(["forget", second.snapshot.id.hex])
        statistics = try self.statistics(try place.open())
        #expect(statistics.unused == second.stored && statistics.snapshots.count == 2)
    }

    @Test func emptyAndDamaged() throws {
        let empty = try statistics(try WeakRepository.create(MemoryBackend()))
        #expect(empty.snapshots.isEmpty && empty.stored == 0 && empty.packed == 0 && empty.compressionRatio == 1)
        #expect(empty.others > 0 && empty.findings == [])

        var random = SeededRandom.printed(for: "emptyAndDamaged")
        let backend = MemoryBackend()
        let repository = try WeakRepository.create(backend)
        _ = try SmallSnapshot(&random).write(to: repository, on: pool)
        let index = try repository.index(on: pool).index
        let tree = try #require(index.blobKeys.first { $0.type == .tree })
        try backend.remove(.pack(try #require(index.first(tree)).pack))
        #expect(try !statistics(repository).findings.isEmpty)
    }
}
