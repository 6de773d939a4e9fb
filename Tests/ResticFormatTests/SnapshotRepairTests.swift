import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

@Suite struct SnapshotRepairTests {
    private let pool = ThreadPool(threads: 2)

    /// Two backups of a tree that do not share all of their files. The large one is larger than any chunk.
    private func backups(_ random: inout SeededRandom) throws -> (StoredObjects, TemporaryTree) {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        try source.write(entry("a/b/large"), random.bytes(9 << 20))
        try source.write(entry("a/b/small"), random.bytes(3000))
        try source.write(entry("a/other"), random.bytes(3000))
        try place.restic(["backup", ".", "--tag", "x"], in: source.path)
        try source.write(entry("later"), random.bytes(3000))
        try place.restic(["backup", "."], in: source.path)
        return (try StoredObjects(try place.backend()), source)
    }

    private func repair(
        _ backend: any Backend, forgets: Bool = false, damagedPacks: Set<SHA256Digest> = []
    ) throws -> (plan: SnapshotRepair.Plan, made: [SHA256Digest]) {
        var options = SnapshotRepair.Options()
        options.forgets = forgets
        options.damagedPacks = damagedPacks
        let repair = SnapshotRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
        let before = try StoredObjects(backend)
        let plan = try repair.plan(options)
        #expect(try StoredObjects(backend) == before)
        let (made, failures) = try repair.apply(plan)
        #expect(failures == [])
        return (plan, made)
    }

    /// The objects after these blobs were damaged, and the packs that had them repaired.
    private func without(_ lost: Set<BlobKey>, _ stored: StoredObjects) throws -> StoredObjects {
        let index = try WeakRepository.open(try stored.backend()).index(on: pool).index
        var objects = stored
        var packs: Set<SHA256Digest> = []
        for key in lost {
            let location = try #require(index.first(key))
            objects.objects[.pack(location.pack)]?[Int(location.place.offset) + 20] ^= 1
            packs.insert(location.pack)
        }
        let backend = try objects.backend()
        let repair = PackRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
        let plan = try repair.plan(packs)
        #expect(Set(plan.lost) == lost)
        #expect(try repair.apply(plan) == [])
        return try StoredObjects(backend)
    }

    private func node(_ path: String, _ stored: StoredObjects) throws -> TreeNode {
        let repository = try WeakRepository.open(try stored.backend())
        let snapshot = try #require(try repository.snapshots(on: pool).snapshots.last)
        var reader = Reader(repository, try repository.index(on: pool).index)
        return try #require(try reader.entries(of: snapshot.snapshot.tree).nodes[entry(path)])
    }

    @Test func nothingIsWrong() throws {
        var random = SeededRandom.printed(for: "SnapshotRepairTests.nothingIsWrong")
        let (stored, _) = try backups(&random)
        let backend = try stored.backend()
        let (plan, made) = try repair(backend, forgets: true, damagedPacks: Set(stored.keys(.pack).map(\.id)))
        #expect(plan.isEmpty && plan.sound == 2 && plan.damaged.isEmpty && made.isEmpty)
        #expect(try StoredObjects(backend) == stored)
    }

    /// Chunks that are lost: files are shorter, and everything else is as it was, also for restic.
    @Test(arguments: [false, true]) func lostChunks(forgets: Bool) throws {
        var random = SeededRandom.printed(for: "lostChunks")
        let (stored, source) = try backups(&random)
        let chunks = try #require(try node("a/b/large", stored).content)
        try #require(chunks.count > 1)
        let objects = try without([BlobKey(.data, chunks[1])], stored)
        let backend = try objects.backend()
        let (plan, made) = try repair(backend, forgets: forgets)
        #expect(plan.damaged.count == 2 && made.count == 2 && plan.sound == 0 && plan.unreadable.isEmpty)
        for damaged in plan.damaged {
            let path = damaged.stored.snapshot.paths.first ?? ""
            #expect(damaged.losses.map(\.kind) == [.chunks(1, of: chunks.count)], "\(path)")
            #expect(damaged.losses.allSatisfy { "\($0.path)".hasSuffix("a/b/large") })
        }
        let repository = try WeakRepository.open(backend)
        let snapshots = try repository.snapshots(on: pool).snapshots
        #expect(snapshots.count == (forgets ? 2 : 4))
        for (id, damaged) in zip(made, plan.damaged) {
            let new = try #require(snapshots.first { $0.id == id }).snapshot
            #expect(new.original == damaged.stored.id && new.tags == damaged.stored.snapshot.tags + ["repaired"])
            #expect(new.time == damaged.stored.snapshot.time && new.paths == damaged.stored.snapshot.paths)
        }
        // The last has all files, and of the large one what is left.
        let last = try #require(made.last)
        let place = try ResticRepository(try StoredObjects(backend))
        if forgets { try place.restic(["check", "--read-data"]) }
        let restored = try place.restored(last.hex)
        var expected = try source.read(entry("a/b/large"))
        let lost = try location(BlobKey(.data, chunks[1]), stored).contentLength
        let start = try location(BlobKey(.data, chunks[0]), stored).contentLength
        expected.removeSubrange(Int(start)..<Int(start + lost))
        #expect(restored[entry("a/b/large")]?.content == expected)
        for path in ["a/b/small", "a/other", "later"] {
            #expect(restored[entry(path)]?.content == (try source.read(entry(path))))
        }
        // Again it does nothing.
        let (again, more) = try repair(backend)
        #expect(again.isEmpty && more.isEmpty && again.damaged.allSatisfy(\.isReplaced))
    }

    private func location(_ key: BlobKey, _ stored: StoredObjects) throws -> BlobPlace {
        let index = try WeakRepository.open(try stored.backend()).index(on: pool).index
        return try #require(index.first(key)).place
    }

    /// A directory whose tree is lost is empty afterwards.
    @Test func lostTree() throws {
        var random = SeededRandom.printed(for: "lostTree")
        let (stored, source) = try backups(&random)
        let tree = try #require(try node("a/b", stored).subtree)
        let backend = try without([BlobKey(.tree, tree)], stored).backend()
        let (plan, made) = try repair(backend, forgets: true)
        #expect(plan.damaged.count == 2 && plan.damaged.allSatisfy { !$0.isLost && $0.losses.count == 1 })
        #expect(plan.damaged.allSatisfy { "\($0.losses[0].path)".hasSuffix("a/b") })
        let place = try ResticRepository(try StoredObjects(backend))
        try place.restic(["check", "--read-data"])
        let restored = try place.restored(try #require(made.last).hex)
        #expect(restored[entry("a/b")]?.kind == .directory && restored[entry("a/b/small")] == nil)
        #expect(restored[entry("a/other")]?.content == (try source.read(entry("a/other"))))
    }

    /// Of a snapshot without a tree nothing is left. It goes only if that is asked for.
    @Test func lostRoot() throws {
        var random = SeededRandom.printed(for: "lostRoot")
        let (stored, _) = try backups(&random)
        let snapshots = try WeakRepository.open(try stored.backend()).snapshots(on: pool).snapshots
        let backend = try without([BlobKey(.tree, snapshots[0].snapshot.tree)], stored).backend()
        var (plan, made) = try repair(backend)
        #expect(plan.isEmpty && plan.sound == 1 && plan.damaged.map(\.isLost) == [true] && made.isEmpty)
        #expect(try backend.list(.snapshot).count == 2)
        (plan, made) = try repair(backend, forgets: true)
        #expect(!plan.isEmpty && made.isEmpty)
        #expect(try backend.list(.snapshot).map(\.key.id) == [snapshots[1].id])
        #expect(try !WeakRepository.open(backend).check().isDamaged)
    }

    /// A replacement whose own trees are lost later replaces nothing: what it was made of does not go for it.
    @Test(arguments: [false, true]) func lostReplacement(forgets: Bool) throws {
        var random = SeededRandom.printed(for: "lostReplacement")
        let (stored, source) = try backups(&random)
        let content = try source.read(entry("later"))
        let backend = try without([BlobKey(.data, SHA256.digest(of: content))], stored).backend()
        let packs = Set(try StoredObjects(backend).keys(.pack))
        let first = try repair(backend)
        let (damaged, replacement) = (try #require(first.plan.damaged.first?.stored.id), try #require(first.made.first))
        #expect(try repair(backend).plan.damaged.map(\.isReplaced) == [true])

        let added = Set(try StoredObjects(backend).keys(.pack)).subtracting(packs)
        #expect(!added.isEmpty && backend.remove(Array(added)).isEmpty)
        let index = IndexRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
        try index.apply(try index.plan())
        let (plan, made) = try repair(backend, forgets: forgets)
        #expect(Set(plan.damaged.map(\.stored.id)) == [damaged, replacement])
        #expect(plan.damaged.allSatisfy { !$0.isReplaced && $0.isLost == ($0.stored.id == replacement) })
        #expect(made.count == 1)
        let left = Set(try backend.list(.snapshot).map(\.key.id))
        #expect(left.isSuperset(of: made) && left.contains(damaged) != forgets)
        let place = try ResticRepository(try StoredObjects(backend))
        let restored = try place.restored(try #require(made.first).hex)
        #expect(restored[entry("later")]?.content == [])
        for file in ["a/other", "a/b/small"] {
            #expect(restored[entry(file)]?.content == (try source.read(entry(file))))
        }
        if forgets { try place.restic(["check", "--read-data"]) }
    }

    /// What is damaged in a pack counts as lost if the pack is named.
    @Test func damagedPack() throws {
        var random = SeededRandom.printed(for: "damagedPack")
        let (stored, source) = try backups(&random)
        let content = try source.read(entry("later"))
        let index = try WeakRepository.open(try stored.backend()).index(on: pool).index
        let location = try #require(index.first(BlobKey(.data, SHA256.digest(of: content))))
        var objects = stored
        objects.objects[.pack(location.pack)]?[Int(location.place.offset) + 20] ^= 1
        let backend = try objects.backend()
        #expect(try repair(backend).plan.sound == 2)
        let (plan, made) = try repair(backend, damagedPacks: [location.pack])
        #expect(plan.sound == 1 && made.count == 1)
        #expect(plan.damaged[0].losses.map(\.kind) == [.chunks(1, of: 1)])
        let restored = try ResticRepository(try StoredObjects(backend)).restored(made[0].hex)
        #expect(restored[entry("later")]?.content == [])
        #expect(restored[entry("a/other")]?.content == (try source.read(entry("a/other"))))
    }

    /// What an index does not name, or names wrongly, is not lost: no snapshot goes for that.
    @Test func wrongIndex() throws {
        var random = SeededRandom.printed(for: "wrongIndex")
        let (stored, _) = try backups(&random)
        let (index, pack) = (stored.keys(.index)[0], stored.keys(.pack)[0])
        var (gone, cut, flipped, missing) = (stored, stored, stored, stored)
        gone.objects[index] = nil
        cut.objects[index]?.removeLast()
        flipped.objects[index]?[40] ^= 1
        missing.objects[pack] = nil
        for damaged in [gone, cut, flipped, missing] {
            let backend = try damaged.backend()
            #expect(throws: BackupError.self) { try repair(backend, forgets: true) }
            #expect(try StoredObjects(backend) == damaged)
            let index = IndexRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
            try index.apply(try index.plan())
            // Then it tells what is lost: nothing, unless a pack is.
            #expect(try repair(backend).plan.damaged.isEmpty == (damaged != missing))
        }
    }

    /// Killed at any change: no damaged snapshot goes before its replacement is there, which is whole.
    @Test func killed() throws {
        var random = SeededRandom.printed(for: "SnapshotRepairTests.killed")
        let (stored, _) = try backups(&random)
        let chunks = try #require(try node("a/b/small", stored).content)
        let objects = try without(Set(chunks.map { BlobKey(.data, $0) }), stored)
        var isFinished = false
        for changes in 0..<50 where !isFinished {
            let backend = try objects.backend()
            let killing = KillingBackend(backend, after: changes)
            var options = SnapshotRepair.Options()
            options.forgets = true
            let repair = SnapshotRepair(try WeakRepository.open(killing), on: pool, in: TestRun().context())
            let plan = try repair.plan(options)
            do {
                isFinished = try repair.apply(plan).failures == []
                #expect(!isFinished || changes > 4)
            } catch is StorageError {}
            let left = try WeakRepository.open(backend).snapshots(on: pool).snapshots
            for damaged in plan.damaged {
                #expect(left.contains { $0.id == damaged.stored.id || $0.snapshot.original == damaged.stored.id })
            }
            // Packs that the killed one has left must not count as lost.
            let index = IndexRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
            try index.apply(try index.plan())
            _ = try self.repair(backend, forgets: true)
            let repository = try WeakRepository.open(backend)
            #expect(try !repository.check().isDamaged, "after \(changes) changes")
            let final = try repository.snapshots(on: pool).snapshots
            #expect(Set(final.compactMap(\.snapshot.original)) == Set(plan.damaged.map(\.stored.id)))
        }
        #expect(isFinished)
    }
}
