import Codec
import Disk
import Foundation
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// A writer whose storage fails or whose process ends: what was there before is whole, and what is visible is complete.
@Suite struct WriterFaultTests {
    static let changingFaults: [StorageFault] = [
        .kill, .killDone, .fail(.unavailable), .failDone(.unavailable), .fail(.noSpace), .failDone(.other),
    ]

    /// What goes wrong at which call; each combination is tried.
    @Test(arguments: WriterFaultTests.changingFaults.indices) func eachCallThatChanges(_ fault: Int) throws {
        var random = SeededRandom.printed(for: "eachCallThatChanges")
        let (first, second) = (SmallSnapshot(&random), SmallSnapshot(&random))
        let base = MemoryBackend()
        let pool = ThreadPool(threads: 3)
        let before = try first.write(to: try TestRepository.create(base), on: pool)
        var (visible, number) = (0, 0)
        while true {
            let copy = try base.copied()
            let faulty = FaultyBackend(copy)
            let repository = try Repository(faulty, try TestRepository.password())
            faulty.inject(Self.changingFaults[fault], at: number)
            var written: SHA256Digest?
            var thrown: (any Error)?
            do {
                written = try second.write(to: repository, on: pool)
            } catch {
                thrown = error
            }
            let isHit = faulty.calls > number
            let place = "\(Self.changingFaults[fault]) at \(number)"
            let found = try RepositoryContent(copy)
            #expect(found.findings == [], "\(place)")
            #expect(found.snapshots[before] == first.files, "\(place)")
            let others = found.snapshots.filter { $0.key != before }
            #expect(others.allSatisfy { $0.value == second.files } && others.count <= 1, "\(place)")
            if let written { #expect(others.keys.contains(written), "\(place)") }
            // What fails is told, unless the call was one whose failure does no harm: there is none in writing.
            #expect((thrown != nil) == isHit, "\(place): \(String(describing: thrown))")
            visible += others.isEmpty ? 0 : 1
            // The next run is not in the way of what is left.
            let third = try second.write(to: try Repository(copy, try TestRepository.password()), on: pool)
            #expect(try RepositoryContent(copy).snapshots[third] == second.files, "\(place)")
            if !isHit { break }
            number += 1
        }
        #expect(number > 15 && visible >= 1 && visible < 5, "\(number) calls, \(visible) visible")
    }

    /// Nobody may go on after an error: what was told as stored may be missing.
    @Test(arguments: [StorageFault.fail(.unavailable), .failDone(.unavailable)])
    func goingOnIsNoUse(_ fault: StorageFault) throws {
        var random = SeededRandom.printed(for: "goingOnIsNoUse")
        let snapshot = SmallSnapshot(&random)
        let pool = ThreadPool(threads: 2)
        for number in 0..<200 {
            let copy = MemoryBackend()
            let faulty = FaultyBackend(copy)
            let repository = try TestRepository.create(faulty)
            faulty.inject(fault, at: number)
            do {
                _ = try snapshot.write(to: repository, on: pool, ignoringErrors: ())
            } catch is StorageError {
            }
            let found = try RepositoryContent(copy)
            #expect(
                found.findings == [] && found.snapshots.values.allSatisfy { $0 == snapshot.files },
                "\(number): \(found.findings)")
            if faulty.calls <= number { return }
        }
    }

    /// The real restic is asked about a few of the same.
    @Test func resticAfterAKill() throws {
        var random = SeededRandom.printed(for: "resticAfterAKill")
        let (first, second) = (SmallSnapshot(&random), SmallSnapshot(&random))
        let pool = ThreadPool(threads: 3)
        let base = MemoryBackend()
        let before = try first.write(to: try TestRepository.create(base), on: pool)
        let counter = FaultyBackend(try base.copied())
        _ = try second.write(to: try Repository(counter, try TestRepository.password()), on: pool)
        // The last three: the index, the snapshot, and all that is before them.
        let calls = counter.calls
        for number in [1, calls / 2, calls - 4, calls - 2, calls - 1] {
            for fault in [StorageFault.kill, .killDone] {
                let place = try ResticRepository(empty: ())
                let local = try place.backend()
                try local.prepare()
                try base.copy(to: local)
                let faulty = FaultyBackend(local)
                let repository = try Repository(faulty, try TestRepository.password())
                faulty.inject(fault, at: number)
                do { _ = try second.write(to: repository, on: pool) } catch is StorageError {}
                try place.restic(["check", "--read-data"])
                for (path, content) in first.files.prefix(3) {
                    #expect(try place.restic(["dump", before.hex, "/\(path)"]).output == content)
                }
                #expect(try RepositoryContent(local).findings == [])
            }
        }
    }
}

// MARK: Reading

/// What is read where storage fails, or brings something else than was stored.
@Suite struct ReadFaultTests {
    private static func stored() throws -> (backend: MemoryBackend, files: [EntryPath: [UInt8]]) {
        var random = SeededRandom.printed(for: "ReadFaultTests")
        let backend = MemoryBackend()
        let snapshot = SmallSnapshot(&random, files: 3, size: 10..<60)
        let repository = try TestRepository.create(backend)
        _ = try snapshot.write(to: repository, on: ThreadPool(threads: 1))
        let (key, bytes) = repository.sealed(.own(.shared, verb: "x", at: TestRepository.now))
        try backend.create(key, bytes)
        return (backend, snapshot.files)
    }

    static let faults: [StorageFault] = [.fail(.unavailable), .fail(.notFound), .fail(.invalid), .short, .flip, .kill]

    /// One call fails, or brings another byte: what is read is right, or it is told.
    @Test(arguments: ReadFaultTests.faults.indices) func eachCall(_ fault: Int) throws {
        let (backend, files) = try Self.stored()
        let faulty = FaultyBackend(backend, counting: .all)
        var (number, told) = (0, 0)
        while true {
            faulty.inject(Self.faults[fault], at: number)
            do {
                let found = try RepositoryContent(faulty)
                if found.findings.isEmpty {
                    #expect(found.snapshots.count == 1 && found.snapshots.values.allSatisfy { $0 == files })
                } else {
                    told += 1
                }
            } catch {
                #expect(error is StorageError || error is BackupError || error is FormatError, "\(error)")
                told += 1
            }
            if faulty.calls <= number { break }
            number += 1
        }
        // What is read twice need not be told.
        #expect(number > 10 && told > 2, "\(number) calls, \(told) told")
    }

    /// Whatever byte of whatever object is another one, it is found.
    @Test func eachByte() throws {
        let (backend, _) = try Self.stored()
        let faulty = FaultyBackend(backend)
        let opened = try Repository(faulty, try TestRepository.password())
        #expect(try RepositoryContent(of: opened).findings == [])
        var bytes = 0
        for kind in ObjectKind.allCases {
            let objects = try backend.list(kind)
            #expect(!objects.isEmpty)
            for object in objects {
                for offset in 0..<Int(object.size) {
                    faulty.flip(object.key, at: offset)
                    bytes += 1
                    let findings: Int
                    do {
                        let isNeededToOpen = kind == .key || kind == .configuration
                        findings = try (isNeededToOpen ? RepositoryContent(faulty) : RepositoryContent(of: opened))
                            .findings.count
                    } catch {
                        #expect(error is BackupError || error is FormatError, "\(object.key) at \(offset): \(error)")
                        continue
                    }
                    #expect(findings > 0, "\(object.key) at \(offset)")
                }
                faulty.flip(object.key, at: nil)
            }
        }
        #expect(bytes > 1500, "\(bytes)")
        #expect(try RepositoryContent(faulty).findings == [])
    }

    /// An object of which the end is missing, byte by byte, or that has more.
    @Test func otherLengths() throws {
        let (backend, _) = try Self.stored()
        for kind in ObjectKind.allCases {
            for object in try backend.list(kind) {
                let bytes = try backend.read(object.key, limit: Int(object.size))
                for other in [bytes + [0]] + stride(from: 0, to: bytes.count, by: 7).map({ Array(bytes[..<$0]) }) {
                    let copy = try backend.copied()
                    try copy.remove(object.key)
                    try copy.create(object.key, other)
                    // An empty file is no lock: it is what a cut-off upload leaves.
                    if kind == .lock, other.isEmpty { continue }
                    do {
                        #expect(try !RepositoryContent(copy).findings.isEmpty, "\(object.key) of \(other.count) bytes")
                    } catch {
                        #expect(error is BackupError || error is FormatError, "\(object.key): \(error)")
                    }
                }
            }
        }
    }
}
