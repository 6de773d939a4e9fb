import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

@Suite struct PackRepairTests {
    private let pool = ThreadPool(threads: 2)

    private func backups(_ random: inout SeededRandom) throws -> (StoredObjects, TemporaryTree) {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        for number in 0..<2 {
            for file in 0..<6 { try source.write(entry("d\(number)/f\(file)"), random.bytes(3000)) }
            try place.restic(["backup", "."], in: source.path)
        }
        return (try StoredObjects(try place.backend()), source)
    }

    private func plan(_ backend: any Backend) throws -> (PackRepair, PackRepair.Plan) {
        let repository = try WeakRepository.open(backend)
        let repair = PackRepair(repository, on: pool, in: TestRun().context())
        return (repair, try repair.plan(try repository.check().damagedPacks))
    }

    /// The pack of a file's only chunk, and where that is in it.
    private func location(_ stored: StoredObjects, _ content: [UInt8]) throws -> BlobIndex.Location {
        let index = try WeakRepository.open(try stored.backend()).index(on: pool).index
        return try #require(index.first(BlobKey(.data, SHA256.digest(of: content))))
    }

    /// One chunk of a pack is lost: all others are saved, and then the repository knows what it lacks.
    @Test func oneBlobIsLost() throws {
        var random = SeededRandom.printed(for: "oneBlobIsLost")
        let (stored, source) = try backups(&random)
        let content = try source.read(entry("d0/f3"))
        let location = try location(stored, content)
        var damaged = stored
        damaged.objects[.pack(location.pack)]?[Int(location.place.offset) + 77] ^= 8
        let backend = try damaged.backend()
        let (repair, plan) = try plan(backend)
        #expect(plan.packs == [location.pack] && plan.lost == [BlobKey(.data, SHA256.digest(of: content))])
        #expect(plan.saved.count == 5)
        #expect(try repair.apply(plan) == [])
        let repository = try WeakRepository.open(backend)
        #expect(try repository.index(on: pool).index.first(plan.lost[0]) == nil)
        let outcome = try repository.check()
        #expect(outcome.damagedPacks.isEmpty)
        #expect(Set(outcome.findings.map(\.subject)).isSuperset(of: ["d0/f3"]))
        #expect(!outcome.findings.contains { $0.subject.hasPrefix("d1/") || $0.subject == "d0/f2" })

        // The app still has the file: its next backup heals all.
        let place = try ResticRepository(try StoredObjects(backend))
        try place.restic(["backup", ".", "--force"], in: source.path)
        try place.restic(["check", "--read-data"])
        let expected = try WeakRepository.open(try stored.backend()).everything()
        let healed = try place.open().everything()
        for (id, files) in expected { #expect(healed[id] == files) }
    }

    /// A pack without a header that can be read, and one whose index is lost: either is enough to find the blobs.
    @Test func headerOrIndex() throws {
        var random = SeededRandom.printed(for: "headerOrIndex")
        let (stored, source) = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        let location = try location(stored, try source.read(entry("d1/f1")))
        var damaged = stored
        let size = try #require(stored.objects[.pack(location.pack)]?.count)
        damaged.objects[.pack(location.pack)]?[size - 1] ^= 0x40
        let backend = try damaged.backend()
        let (repair, plan) = try plan(backend)
        #expect(plan.packs == [location.pack] && plan.lost.isEmpty)
        #expect(try repair.apply(plan) == [])
        #expect(try WeakRepository.open(backend).everything() == expected)
        #expect(try WeakRepository.open(backend).check().findings == [])
        try ResticRepository(try StoredObjects(backend)).restic(["check", "--read-data"])
    }

    @Test func killed() throws {
        var random = SeededRandom.printed(for: "PackRepairTests.killed")
        let (stored, source) = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        var damaged = stored
        for file in ["d0/f0", "d1/f0"] {
            let location = try location(stored, try source.read(entry(file)))
            let size = try #require(stored.objects[.pack(location.pack)]?.count)
            damaged.objects[.pack(location.pack)]?[size - 1] ^= 0x40
        }
        var isFinished = false
        for changes in 0..<100 where !isFinished {
            let backend = try damaged.backend()
            let (_, plan) = try plan(backend)
            #expect(plan.packs.count == 2)
            let killing = PackRepair(
                try WeakRepository.open(KillingBackend(backend, after: changes)), on: pool, in: TestRun().context())
            do {
                isFinished = try killing.apply(plan) == []
                #expect(!isFinished || changes > 4)
            } catch is StorageError {
            } catch let error as BackupError {
                #expect(error.code == .system)
            }
            #expect(try WeakRepository.open(backend).everything() == expected, "after \(changes) changes")
            let (again, rest) = try self.plan(backend)
            if !rest.isEmpty { #expect(try again.apply(rest) == []) }
            #expect(try !WeakRepository.open(backend).check().isDamaged, "after \(changes) changes")
            #expect(try WeakRepository.open(backend).everything() == expected, "after \(changes) changes")
        }
        #expect(isFinished)
    }
}
