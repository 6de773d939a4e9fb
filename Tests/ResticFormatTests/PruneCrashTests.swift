import Codec
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

/// A prune that is killed at any change leaves a repository in which every snapshot is whole, and that another prune finishes.
@Suite struct PruneCrashTests {
    private let pool = ThreadPool(threads: 2)

    /// Some of everything that a prune does: unindexed packs, packs to be stored anew, packs and index files to go.
    private func worn(_ random: inout SeededRandom) throws -> StoredObjects {
        let place = try ResticRepository(weak: .two)
        var source = try ChangingTree()
        for number in 0..<5 {
            try source.change(&random, largest: 20_000)
            // Of each backup's new files one stays and one goes: its pack is needed in part.
            if number > 0 { try source.tree.remove(entry("goes/\(number - 1)")) }
            for path in ["stays", "goes"] { try source.tree.write(entry("\(path)/\(number)"), random.bytes(1000)) }
            try place.restic(["backup", "."], in: source.tree.path)
        }
        let ids = try place.snapshotIDs()
        try place.restic(["forget", ids[0], ids[2]])
        var stored = try StoredObjects(try place.backend())
        // An index file that got lost together with the snapshot, and a pack of which only that knew.
        let repository = try WeakRepository.open(try stored.backend())
        let writer = RepositoryWriter(
            try WeakRepository.open(KillingBackend(repository.backend, after: 1)), index: BlobIndex(), on: pool)
        let bytes = random.bytes(5000)
        _ = try bytes.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
        #expect(throws: StorageError.self) { try writer.finish() }
        stored = try StoredObjects(repository.backend)
        return stored
    }

    @Test func atEveryChange() throws {
        var random = SeededRandom.printed(for: "PruneCrashTests.atEveryChange")
        let stored = try worn(&random)
        var options = PruneOptions()
        options.maxUnused = .percent(0)
        options.packSize = 30_000
        let expected = try WeakRepository.open(try stored.backend()).everything()
        var finished: StoredObjects?
        for changes in 0..<1000 {
            let backend = try stored.backend()
            let killing = KillingBackend(backend, after: changes)
            let repository = try WeakRepository.open(killing)
            let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
            do {
                let plan = try prune.plan(options)
                let packs = plan.repacked.count + plan.removed.count
                #expect(plan.unindexed.count == 1 && packs > 1 && plan.replacedIndexFiles > 1)
                _ = try prune.apply(plan)
                #expect(changes > 0)
            } catch is StorageError {
            } catch let error as BackupError {
                #expect(error.code == .system)
            }
            let left = try WeakRepository.open(backend)
            #expect(try left.everything() == expected, "after \(changes) changes")
            #expect(try !left.check().isDamaged, "after \(changes) changes")
            let state = try StoredObjects(backend)
            if killing.changesLeft > 0 {
                finished = state
                #expect(changes > 10)
                break
            }
            try requireRestic(state, expected)
            let again = RepositoryPrune(left, on: pool, in: TestRun().context())
            _ = try again.apply(try again.plan(options))
            #expect(try left.everything() == expected, "after \(changes) changes")
            // That a pack stands in two index files harms nobody.
            let findings = try left.check().findings.filter { $0.subject != "the index" }
            #expect(findings == [], "after \(changes) changes")
        }
        #expect(finished != nil)
    }

    private func requireRestic(
        _ state: StoredObjects, _ expected: [SHA256Digest: [EntryPath: [UInt8]]]
    ) throws {
        let place = try ResticRepository(state)
        try place.restic(["check", "--read-data"])
        let snapshot = try #require(expected.keys.min { $0.hex < $1.hex })
        let restored = try place.restored(snapshot.hex)
        let files = restored.entries.filter { $0.value.kind == .file }.mapValues(\.content)
        #expect(files == expected[snapshot])
    }
}
