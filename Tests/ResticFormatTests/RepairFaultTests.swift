import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// Repairs and copies whose storage fails once, or brings something else than was stored: what could be read before still can.
@Suite struct RepairFaultTests {
    private typealias Files = [SHA256Digest: [EntryPath: [UInt8]]]

    private static let all: [(FaultyBackend.Counted, StorageFault)] = [
        (.changing, .kill), (.changing, .killDone), (.changing, .fail(.unavailable)),
        (.changing, .failDone(.unavailable)),
        (.all, .fail(.unavailable)), (.all, .fail(.notFound)), (.all, .short), (.all, .flip),
    ]

    private let pool = ThreadPool(threads: 1)

    /// Two snapshots that share some blobs, in several packs and two index files.
    private func snapshots() throws -> (stored: StoredObjects, files: Files) {
        var random = SeededRandom.printed(for: "RepairFaultTests")
        let backend = MemoryBackend()
        let repository = try WeakRepository.create(backend)
        var files: Files = [:]
        for _ in 0..<2 {
            let snapshot = SmallSnapshot(&random, files: 6)
            files[try snapshot.write(to: repository, on: pool)] = snapshot.files
        }
        return (try StoredObjects(backend), files)
    }

    /// Does something with a fault at each call of it, and then without one, and looks at what is left each time.
    private func eachCall(
        _ fault: Int, of stored: StoredObjects, _ body: (Repository) throws -> Void,
        then check: (MemoryBackend, String) throws -> Void
    ) throws {
        let (counted, fault) = Self.all[fault]
        var (number, done) = (0, 0)
        while true {
            let backend = try stored.backend()
            let faulty = FaultyBackend(backend, counting: counted)
            let repository = try WeakRepository.open(faulty)
            faulty.inject(fault, at: number)
            do {
                try body(repository)
                done += 1
            } catch {
                #expect(error is StorageError || error is BackupError || error is FormatError, "\(error)")
            }
            try check(backend, "\(fault) at \(number)")
            if faulty.calls <= number { break }
            number += 1
        }
        #expect(number > 2 && done >= 1, "\(number) calls, \(done) done")
    }

    private func repairIndex(_ repository: Repository) throws {
        let repair = IndexRepair(repository, on: pool, in: TestRun().context())
        try repair.apply(try repair.plan())
    }

    private func requireWhole(_ backend: any Backend, _ files: Files, _ place: String) throws {
        let repository = try WeakRepository.open(backend)
        #expect(try repository.everything() == files, "\(place)")
        #expect(try !repository.check().isDamaged, "\(place)")
    }

    @Test(arguments: RepairFaultTests.all.indices) func index(_ fault: Int) throws {
        var (stored, files) = try snapshots()
        let indexes = stored.keys(.index)
        #expect(indexes.count == 2)
        stored.objects[indexes[0]]?[40] ^= 1
        try eachCall(fault, of: stored, repairIndex) { backend, place in
            #expect(try StoredObjects(backend).keys(.pack) == stored.keys(.pack), "\(place)")
            try repairIndex(try WeakRepository.open(backend))
            try requireWhole(backend, files, place)
        }
    }

    /// A pack with a broken header, of which the index knows all.
    @Test(arguments: RepairFaultTests.all.indices) func packs(_ fault: Int) throws {
        var (stored, files) = try snapshots()
        let broken = Set(stored.keys(.pack).prefix(2))
        for key in broken {
            let size = try #require(stored.objects[key]?.count)
            stored.objects[key]?[size - 10] ^= 1
        }
        func repair(_ repository: Repository) throws {
            let repair = PackRepair(repository, on: pool, in: TestRun().context())
            _ = try repair.apply(try repair.plan(Set(broken.map(\.id))))
        }
        try eachCall(fault, of: stored, repair) { backend, place in
            #expect(try WeakRepository.open(backend).everything() == files, "\(place)")
            try repair(try WeakRepository.open(backend))
            try requireWhole(backend, files, place)
        }
    }

    /// A lost chunk: the snapshot without damage stays as it is, and the other is there, damaged or repaired.
    @Test(arguments: RepairFaultTests.all.indices) func snapshots(_ fault: Int) throws {
        var (stored, files) = try snapshots()
        let intact = try WeakRepository.open(try stored.backend())
        let index = try intact.index(on: pool).index
        let first = try #require(files.keys.min { $0.hex < $1.hex })
        var reader = Reader(intact, index)
        let tree = try #require(try intact.snapshots(on: pool).snapshots.first { $0.id == first }).snapshot.tree
        let nodes = try reader.entries(of: tree).nodes
        let chunk = try #require(nodes[entry("d1/f1")]?.content?.first)
        let location = try #require(index.first(BlobKey(.data, chunk)))
        stored.objects[.pack(location.pack)]?[Int(location.place.offset) + 5] ^= 1
        let damaged = files[first] ?? [:]
        files[first] = nil
        func repair(_ repository: Repository) throws {
            var options = SnapshotRepair.Options()
            options.forgets = true
            options.damagedPacks = [location.pack]
            let repair = SnapshotRepair(repository, on: pool, in: TestRun().context())
            _ = try repair.apply(try repair.plan(options))
        }
        try eachCall(fault, of: stored, repair) { backend, place in
            try repairIndex(try WeakRepository.open(backend))
            try repair(try WeakRepository.open(backend))
            let repository = try WeakRepository.open(backend)
            var found = try repository.everything()
            let ids = try repository.snapshots(on: pool).snapshots.filter { $0.snapshot.original == first }.map(\.id)
            // A retry may have made a second one, of another time or not.
            #expect(!ids.isEmpty, "\(place)")
            for id in ids {
                var rest = found[id] ?? [:]
                found[id] = nil
                rest[entry("d1/f1")] = nil
                #expect(rest == damaged.filter { $0.key != entry("d1/f1") }, "\(place)")
            }
            #expect(found == files, "\(place)")
        }
    }

    /// Faults of the source, and of the target.
    @Test(arguments: RepairFaultTests.all.indices, [false, true]) func copy(_ fault: Int, atTarget: Bool) throws {
        // Nothing is changed at the source.
        if !atTarget, Self.all[fault].0 == .changing { return }
        let (stored, files) = try snapshots()
        let target = MemoryBackend()
        _ = try WeakRepository.create(target)
        let empty = try StoredObjects(target)
        var latest = MemoryBackend()
        func copy(_ source: Repository, _ target: Repository) throws {
            let copy = SnapshotCopy(from: source, to: target, on: pool, in: TestRun().context())
            _ = try copy.apply(try copy.plan(try source.snapshots(on: pool).snapshots))
        }
        func requireCopies(_ backend: any Backend, _ place: String, areAll: Bool) throws {
            let repository = try WeakRepository.open(backend)
            let content = try repository.everything()
            for stored in try repository.snapshots(on: pool).snapshots {
                let original = try #require(stored.snapshot.original)
                #expect(content[stored.id] == files[original], "\(place)")
            }
            if areAll { #expect(content.count >= files.count, "\(place)") }
            #expect(try !repository.check().isDamaged, "\(place)")
        }
        try eachCall(fault, of: atTarget ? empty : stored) { repository in
            latest = try empty.backend()
            if atTarget {
                try copy(try WeakRepository.open(try stored.backend()), repository)
            } else {
                try copy(repository, try WeakRepository.open(latest))
            }
        } then: { backend, place in
            let target = atTarget ? backend : latest
            try requireCopies(target, place, areAll: false)
            try copy(try WeakRepository.open(try stored.backend()), try WeakRepository.open(target))
            try requireCopies(target, place, areAll: true)
        }
    }
}
