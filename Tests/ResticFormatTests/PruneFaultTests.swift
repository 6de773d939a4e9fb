import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// A prune whose storage fails once, or brings something else than was stored: what snapshots need is never lost.
@Suite struct PruneFaultTests {
    /// Three snapshots that share some blobs, the second of which is gone.
    private static func worn() throws -> (stored: StoredObjects, files: [SHA256Digest: [EntryPath: [UInt8]]]) {
        var random = SeededRandom.printed(for: "PruneFaultTests")
        let backend = MemoryBackend()
        let repository = try TestRepository.create(backend)
        let pool = ThreadPool(threads: 1)
        var files: [SHA256Digest: [EntryPath: [UInt8]]] = [:]
        for number in 0..<3 {
            let snapshot = SmallSnapshot(&random, files: 10, size: 1..<4000)
            let id = try snapshot.write(to: repository, on: pool)
            if number == 1 { try backend.remove(.snapshot(id)) } else { files[id] = snapshot.files }
        }
        return (try StoredObjects(backend), files)
    }

    private static let all: [(FaultyBackend.Counted, StorageFault)] = [
        (.changing, .kill), (.changing, .killDone), (.changing, .fail(.unavailable)),
        (.changing, .failDone(.unavailable)),
        (.all, .fail(.unavailable)), (.all, .fail(.notFound)), (.all, .short), (.all, .flip),
    ]

    @Test(arguments: PruneFaultTests.all.indices) func eachCall(_ fault: Int) throws {
        let (stored, files) = try Self.worn()
        let (counted, fault) = Self.all[fault]
        var options = PruneOptions()
        options.maxUnused = .percent(0)
        options.packSize = 10_000
        // Small packs are joined now and then: not here.
        options.smallPackSize = 0
        let pool = ThreadPool(threads: 1)
        var (number, done) = (0, 0)
        while true {
            let backend = try stored.backend()
            let faulty = FaultyBackend(backend, counting: counted)
            let repository = try Repository(faulty, try TestRepository.password())
            faulty.inject(fault, at: number)
            let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
            do {
                _ = try prune.apply(try prune.plan(options))
                done += 1
            } catch {
                #expect(error is StorageError || error is BackupError || error is FormatError, "\(error)")
            }
            let place = "\(fault) at \(number)"
            let found = try RepositoryContent(backend)
            #expect(found.findings == [] && found.snapshots == files, "\(place): \(found.findings)")
            if faulty.calls <= number { break }
            // The next one finishes it.
            let next = RepositoryPrune(
                try Repository(backend, try TestRepository.password()), on: pool, in: TestRun().context())
            _ = try next.apply(try next.plan(options))
            #expect(try RepositoryContent(backend).snapshots == files, "\(place)")
            let plan = try next.plan(options)
            #expect(plan.repacked.count == 0 && plan.unindexed.count == 0 && plan.unused.count == 0, "\(place)")
            number += 1
        }
        #expect(number > 5 && done >= 1, "\(number) calls, \(done) done")
    }
}
