import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// What is repaired is held against what was there before, and shown to the real restic.
@Suite struct IndexRepairTests {
    private let pool = ThreadPool(threads: 2)

    /// Three backups: several packs and index files.
    private func backups(_ random: inout SeededRandom) throws -> StoredObjects {
        let place = try ResticRepository(weak: .two)
        var source = try ChangingTree()
        for number in 0..<3 {
            try source.change(&random, largest: 20_000)
            try source.tree.write(entry("new/\(number)"), random.bytes(1000))
            try place.restic(["backup", "."], in: source.tree.path)
        }
        return try StoredObjects(try place.backend())
    }

    private func repair(_ backend: any Backend, readingAllHeaders: Bool = false) throws -> IndexRepair.Plan {
        let repair = IndexRepair(try WeakRepository.open(backend), on: pool, in: TestRun().context())
        let before = try StoredObjects(backend)
        let plan = try repair.plan(readingAllHeaders: readingAllHeaders)
        #expect(try StoredObjects(backend) == before)
        try repair.apply(plan)
        return plan
    }

    @Test func nothingIsWrong() throws {
        var random = SeededRandom.printed(for: "IndexRepairTests.nothingIsWrong")
        let stored = try backups(&random)
        let backend = try stored.backend()
        for readsAll in [false, true] {
            #expect(try repair(backend, readingAllHeaders: readsAll).isEmpty)
            #expect(try StoredObjects(backend) == stored)
        }
    }

    /// Index files that are gone or cannot be read: the packs know what is in them.
    @Test func lostIndexFiles() throws {
        var random = SeededRandom.printed(for: "lostIndexFiles")
        let stored = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        let files = stored.keys(.index)
        #expect(files.count == 3)
        for damaged in [[files[0]], [files[1], files[2]], files] {
            for isGone in [false, true] {
                var objects = stored
                for key in damaged {
                    if isGone { objects.objects[key] = nil } else { objects.objects[key]?[40] ^= 1 }
                }
                let backend = try objects.backend()
                #expect(try WeakRepository.open(backend).check(.nothing).isDamaged)
                let plan = try repair(backend)
                #expect(plan.unreadableFiles.count == (isGone ? 0 : damaged.count))
                #expect(!plan.indexedPacks.isEmpty && plan.lostBlobs.isEmpty && plan.brokenPacks.isEmpty)
                let repaired = try WeakRepository.open(backend)
                #expect(try repaired.check().findings == [])
                #expect(try repaired.everything() == expected)
                let place = try ResticRepository(try StoredObjects(backend))
                try place.restic(["check", "--read-data"])
                #expect(try repair(backend).isEmpty)
            }
        }
    }

    /// Each file by itself, cut off anywhere or with another byte anywhere.
    @Test func eachIndexFile() throws {
        var random = SeededRandom.printed(for: "eachIndexFile")
        let stored = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        for key in stored.keys(.index) {
            let bytes = try #require(stored.objects[key])
            let place = Int.random(in: bytes.indices, using: &random)
            var flipped = bytes
            flipped[place] ^= UInt8(1) << UInt8.random(in: 0..<8, using: &random)
            for wrong in [[], Array(bytes.prefix(place)), Array(bytes.dropLast()), flipped, bytes + [0]] {
                var objects = stored
                objects.objects[key] = wrong
                let backend = try objects.backend()
                let plan = try repair(backend)
                #expect(plan.unreadableFiles.map(\.subject) == ["\(key)"] && plan.lostBlobs.isEmpty)
                #expect(try WeakRepository.open(backend).everything() == expected, "\(key) with \(wrong.count) bytes")
                #expect(try WeakRepository.open(backend).check().findings == [])
            }
        }
    }

    /// A pack that is gone, cut off or too long, and one that no header tells of.
    @Test func damagedPacks() throws {
        var random = SeededRandom.printed(for: "damagedPacks")
        let stored = try backups(&random)
        let index = try WeakRepository.open(try stored.backend()).index(on: pool).index
        for key in stored.keys(.pack) {
            let number = try #require(index.packNumber(of: key.id))
            let blobs = Set(index.entries(ofPack: number).map { index.key($0) })

            var gone = stored
            gone.objects[key] = nil
            var backend = try gone.backend()
            var plan = try repair(backend)
            #expect(plan.missingPacks == [key.id] && plan.indexedPacks.isEmpty && Set(plan.lostBlobs) == blobs)
            #expect(try WeakRepository.open(backend).index(on: pool).index.packNumber(of: key.id) == nil)
            #expect(try StoredObjects(backend).keys(.pack) == gone.keys(.pack))

            for wrong in [Array((stored.objects[key] ?? []).dropLast(10)), (stored.objects[key] ?? []) + [0]] {
                var cut = stored
                cut.objects[key] = wrong
                backend = try cut.backend()
                plan = try repair(backend)
                #expect(plan.brokenPacks.map(\.subject) == ["\(key)"] && Set(plan.lostBlobs) == blobs)
                // What cannot be read today is kept.
                #expect(try StoredObjects(backend).objects[key] == wrong)
            }
        }
    }

    /// An index that names wrong places, as a broken program may have written it.
    @Test func wrongPlaces() throws {
        var random = SeededRandom.printed(for: "wrongPlaces")
        var stored = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        let repository = try WeakRepository.open(try stored.backend())
        let index = try repository.index(on: pool).index
        let key = try #require(
            stored.keys(.pack).first { pack in
                index.packNumber(of: pack.id).map { index.entries(ofPack: $0).count > 2 } ?? false
            })
        // Only a part of it.
        let pack = index.pack(try #require(index.packNumber(of: key.id)))
        let wrong = IndexedPack(id: key.id, blobs: Array(pack.blobs.dropFirst()))
        var coder = repository.coder()
        var compressor = ZstdCompressor()
        let sealed = coder.sealDocument(IndexFile.encode([wrong]), &compressor)
        for old in stored.keys(.index) { stored.objects[old] = nil }
        stored.objects[.index(SHA256.digest(of: sealed))] = sealed
        let backend = try stored.backend()
        #expect(try WeakRepository.open(backend).check(.nothing).isDamaged)
        _ = try repair(backend)
        #expect(try WeakRepository.open(backend).check().findings == [])
        #expect(try WeakRepository.open(backend).everything() == expected)
    }

    /// Killed at any change, it leaves what another repair finishes.
    @Test func killed() throws {
        var random = SeededRandom.printed(for: "IndexRepairTests.killed")
        var stored = try backups(&random)
        let expected = try WeakRepository.open(try stored.backend()).everything()
        let files = stored.keys(.index)
        stored.objects[files[0]] = nil
        stored.objects[files[1]]?[50] ^= 4
        var isFinished = false
        for changes in 0..<100 where !isFinished {
            let backend = try stored.backend()
            let killing = KillingBackend(backend, after: changes)
            let repair = IndexRepair(try WeakRepository.open(killing), on: pool, in: TestRun().context())
            do {
                try repair.apply(try repair.plan())
                #expect(changes > 2)
                isFinished = true
            } catch is StorageError {
            } catch let error as BackupError {
                #expect(error.code == .system)
            }
            #expect(try StoredObjects(backend).keys(.pack) == stored.keys(.pack))
            if !isFinished { _ = try self.repair(backend) }
            #expect(try WeakRepository.open(backend).everything() == expected, "after \(changes) changes")
            let findings = try WeakRepository.open(backend).check().findings.filter { $0.subject != "the index" }
            #expect(findings == [], "after \(changes) changes")
            try ResticRepository(try StoredObjects(backend)).restic(["check", "--read-data"])
        }
        #expect(isFinished)
    }
}
