import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

@Suite struct SnapshotCopyTests {
    private let pool = ThreadPool(threads: 2)

    private func backups(_ random: inout SeededRandom) throws -> (ResticRepository, OddTree) {
        let source = try OddTree(&random)
        let place = try ResticRepository(version: 2)
        try place.restic(["backup", ".", "--tag", "first"], in: source.tree.path)
        try source.tree.write(entry("added"), random.bytes(5000))
        try place.restic(["backup", "."], in: source.tree.path)
        return (place, source)
    }

    private func copy(_ source: Repository, _ target: Repository) throws -> (SnapshotCopy.Plan, [SHA256Digest]) {
        let copy = SnapshotCopy(from: source, to: target, on: pool, in: TestRun().context())
        let plan = try copy.plan(try source.snapshots(on: pool).snapshots)
        return (plan, try copy.apply(plan))
    }

    /// To one of the other version and with other keys: what restic brings back is the same, and trees keep their IDs.
    @Test(arguments: [RepositoryConfiguration.Version.one, .two]) func all(version: RepositoryConfiguration.Version)
        throws
    {
        var random = SeededRandom.printed(for: "SnapshotCopyTests.all")
        let (place, _) = try backups(&random)
        let source = try place.open()
        let other = try ResticRepository(weak: version)
        let (plan, made) = try copy(source, try other.open())
        #expect(plan.snapshots.count == 2 && plan.present.isEmpty && made.count == 2 && plan.missing.count > 10)
        #expect(!plan.cutsAlike)
        try other.restic(["check", "--read-data"])
        #expect(try other.open().check().findings == [])
        let copies = try other.open().snapshots(on: pool).snapshots
        for (id, stored) in zip(made, plan.snapshots) {
            let copied = try #require(copies.first { $0.id == id }).snapshot
            #expect(copied.original == stored.id && copied.parent == nil && copied.tree == stored.snapshot.tree)
            #expect(copied.tags == stored.snapshot.tags && copied.time == stored.snapshot.time)
            #expect(try other.restored(id.hex).differences(from: place.restored(stored.id.hex)) == [])
        }
        let used = try source.index(on: pool).index.blobKeys
        #expect(Set(try other.open().index(on: pool).index.blobKeys) == Set(used))

        // Everything is there now: for us and for restic.
        let before = try StoredObjects(try other.backend())
        let (again, none) = try copy(source, try other.open())
        #expect(again.present.count == 2 && again.missing.count == 0 && none.isEmpty)
        #expect(try StoredObjects(try other.backend()) == before)
    }

    /// Only what is missing is copied; a copy of a copy has the first one as its original.
    @Test func theRest() throws {
        var random = SeededRandom.printed(for: "theRest")
        let (place, source) = try backups(&random)
        let other = try ResticRepository(weak: .two)
        _ = try copy(try place.open(), try other.open())
        try source.tree.write(entry("more"), random.bytes(5000))
        try place.restic(["backup", "."], in: source.tree.path)
        let (plan, made) = try copy(try place.open(), try other.open())
        // The file, and the tree that has it.
        #expect(plan.snapshots.count == 1 && plan.present.count == 2 && plan.missing.count == 2)
        let third = try ResticRepository(weak: .two)
        let (_, copies) = try copy(try other.open(), try third.open())
        #expect(copies.count == 3)
        let originals = try third.open().snapshots(on: pool).snapshots.compactMap(\.snapshot.original)
        #expect(Set(originals) == Set(try place.open().snapshots(on: pool).snapshots.map(\.id)))
        #expect(try third.restored(copies[2].hex).differences(from: other.restored(made[0].hex)) == [])
    }

    /// What is damaged is not copied, and no snapshot that needs it.
    @Test func damaged() throws {
        var random = SeededRandom.printed(for: "SnapshotCopyTests.damaged")
        let (place, source) = try backups(&random)
        var objects = try StoredObjects(try place.backend())
        let content = try source.tree.read(entry("added"))
        let key = BlobKey(.data, SHA256.digest(of: content))
        let location = try #require(place.open().index(on: pool).index.first(key))
        objects.objects[.pack(location.pack)]?[Int(location.place.offset) + 30] ^= 2
        let backend = MemoryBackend()
        let target = try WeakRepository.create(backend)
        let damaged = try WeakRepository.open(try objects.backend())
        #expect(throws: (any Error).self) { try copy(damaged, target) }
        #expect(try backend.list(.snapshot).isEmpty)
        #expect(try !target.check().isDamaged)
        // Also if it is gone.
        objects.objects[.pack(location.pack)] = nil
        let gone = try WeakRepository.open(try objects.backend())
        #expect(throws: (any Error).self) { try copy(gone, target) }
        #expect(try backend.list(.snapshot).isEmpty)
    }

    /// Killed at any change, the target is sound, and another copy completes it.
    @Test func killed() throws {
        var random = SeededRandom.printed(for: "SnapshotCopyTests.killed")
        let source = try WeakRepository.create(MemoryBackend())
        var expected: [SHA256Digest: [EntryPath: [UInt8]]] = [:]
        for _ in 0..<2 {
            let snapshot = SmallSnapshot(&random, files: 5)
            expected[try snapshot.write(to: source, on: pool)] = snapshot.files
        }
        let empty = MemoryBackend()
        _ = try WeakRepository.create(empty)
        let start = try StoredObjects(empty)
        var isFinished = false
        for changes in 0..<50 where !isFinished {
            let backend = try start.backend()
            do {
                _ = try copy(source, try WeakRepository.open(KillingBackend(backend, after: changes)))
                isFinished = true
                #expect(changes > 3)
            } catch is StorageError {}
            #expect(try !WeakRepository.open(backend).check().isDamaged, "after \(changes) changes")
            let target = try WeakRepository.open(backend)
            if !isFinished { _ = try copy(source, target) }
            let content = try target.everything()
            let found = Dictionary(
                uniqueKeysWithValues: try target.snapshots(on: pool).snapshots.compactMap { stored in
                    stored.snapshot.original.map { ($0, content[stored.id]) }
                })
            #expect(found == expected.mapValues { Optional($0) }, "after \(changes) changes")
        }
        #expect(isFinished)
    }
}
