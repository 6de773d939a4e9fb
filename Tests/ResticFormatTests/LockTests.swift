import Codec
import Disk
import Foundation
import Model
import Storage
import Synchronization
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// Locks of ours among each other.
@Suite struct LockTests {
    static func quick() -> LockTimes {
        var times = LockTimes()
        (times.settling, times.tick, times.refresh, times.retry) = (50, 10, 0.1, 0.05)
        (times.unreadable, times.patience) = ([10, 20], 50...100)
        return times
    }

    static let times = quick()

    /// Where a repository lies: a lock is looked for again after a moment, or at once.
    enum Place: CaseIterable {
        case waited, immediate, local

        func backend(_ tree: TemporaryTree) throws -> any Backend {
            switch self {
            case .waited: MemoryBackend(promisesConsistency: false)
            case .immediate: MemoryBackend()
            case .local: try LocalBackend(path: tree.path)
            }
        }
    }

    // MARK: Files

    @Test func documents() throws {
        let text =
            #"{"time":"2024-05-06T07:08:09.12+02:00","exclusive":true,"hostname":"h\u003c","username":"u","pid":77,"uid":1,"gid":2}"#
        let read = try LockFile(json: Array(text.utf8))
        #expect(read.kind == .exclusive && read.hostName == "h<" && read.userName == "u" && read.process == 77)
        #expect(read.user == 1 && read.group == 2 && read.stamp == nil && read.verb == "")
        #expect(String(decoding: read.json, as: UTF8.self) == text)
        let own = LockFile.own(.shared, verb: "b\"ck\nup", at: TestRepository.now)
        #expect(own.stamp != nil && own.process == getpid())
        #expect(try LockFile(json: own.json) == own)
        #expect(!own.holder.contains("\n"))
        // Whatever others say of themselves, it is read.
        let odd = text.replacing("77", with: "-99999999999999999999").replacing("1,", with: "\"x\",")
        #expect(try LockFile(json: Array(odd.utf8)).process == 0)
        for (old, new) in [("exclusive", "e"), ("true", "1"), ("time", "t"), ("2024-05", "2024-13"), ("}", "")] {
            #expect(throws: FormatError.self) { try LockFile(json: Array(text.replacing(old, with: new).utf8)) }
        }
    }

    @Test func stale() throws {
        var lock = LockFile.own(.shared, verb: "backup", at: TestRepository.now)
        let (own, then) = (lock, TestRepository.now.moment)
        #expect(!lock.isStale(at: then, seenBy: own) && !lock.isOrphan(seenBy: own))
        // This process is there, whatever the clock says.
        #expect(!lock.isStale(at: then.adding(seconds: 366 * 86_400), seenBy: own))
        lock.stamp = nil
        #expect(!lock.isStale(at: then.adding(seconds: 1800), seenBy: own))
        #expect(lock.isStale(at: then.adding(seconds: 1801), seenBy: own))
        #expect(!lock.isStale(at: then.adding(seconds: -100_000), seenBy: own))
        lock.stamp = own.stamp
        lock.process = try Self.endedProcess()
        #expect(lock.isStale(at: then, seenBy: own) && lock.isOrphan(seenBy: own))
        lock.hostName = "another"
        #expect(!lock.isStale(at: then, seenBy: own) && !lock.isOrphan(seenBy: own))
        lock.hostName = own.hostName
        lock.stamp = nil
        #expect(lock.isStale(at: then, seenBy: own) && !lock.isOrphan(seenBy: own))
        // The number is another process's since.
        lock.process = getpid()
        lock.stamp = Self.stamp { $0.started -= 1 }
        #expect(lock.isStale(at: then, seenBy: own) && lock.isOrphan(seenBy: own))
        // It means another process elsewhere, or did before the machine was started.
        for stamp in [Self.stamp { $0.boot += "x" }, Self.stamp { $0.process += 1 }, Self.stamp { $0.time += 1 }] {
            lock.stamp = stamp
            #expect(!lock.isOrphan(seenBy: own))
        }
    }

    /// One whose parent does not ask what became of it is there as a number, and holds nothing.
    @Test func aZombieHasEnded() throws {
        // Its parent becomes another program, which knows nothing of it.
        let parent = Process()
        let output = Pipe()
        parent.executableURL = URL(filePath: "/bin/sh")
        parent.arguments = ["-c", "/bin/true & echo $!; exec sleep 20"]
        parent.standardOutput = output
        try parent.run()
        defer { parent.terminate() }
        let text = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let number = try #require(Int32(text.filter(\.isNumber)))
        func stat() throws -> [Substring] {
            try String(contentsOfFile: "/proc/\(number)/stat", encoding: .utf8).split(separator: " ")
        }
        for _ in 0..<2000 where try stat()[2] != "Z" { usleep(1000) }
        #expect(try stat()[2] == "Z")
        let own = LockFile.own(.shared, verb: "backup", at: TestRepository.now)
        var lock = own
        lock.process = number
        let started = try #require(UInt64(try stat()[21]))
        lock.stamp = Self.stamp { $0.started = started }
        #expect(lock.isOrphan(seenBy: own) && lock.isStale(at: TestRepository.now.moment, seenBy: own))
    }

    // MARK: Holding

    @Test func sharedAndExclusive() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let times = Self.times
        let first = try repository.lock(.shared, for: "backup", times: times, in: run.context())
        let second = try repository.lock(.shared, for: "restore", times: times, in: run.context())
        try first.confirm()
        try second.confirm()
        let refused = Self.refusal {
            _ = try repository.lock(.exclusive, for: "prune", times: times, in: run.context())
        }
        #expect(refused?.code == .locked)
        #expect(refused?.message.contains("(process \(getpid()), ") == true, "\(String(describing: refused))")
        #expect(try repository.locks().locks.count == 2)
        try first.release()
        try second.release()
        try second.release()
        #expect(try repository.locks().locks.isEmpty)
        try repository.withLock(.exclusive, for: "prune", times: times, in: run.context()) { lock in
            let locks = try repository.locks().locks
            #expect(locks.count == 1 && locks[0].lock.kind == .exclusive && locks[0].lock.verb == "prune")
            #expect(Self.refusal { _ = try repository.lock(.shared, for: "x", times: times, in: run.context()) } != nil)
            try lock.check()
        }
        #expect(try repository.locks().locks.isEmpty)
        #expect(throws: FormatError.self) {
            try repository.withLock(.shared, for: "x", times: times, in: run.context()) { _ in throw FormatError("") }
        }
        #expect(try repository.locks().locks.isEmpty && run.warnings.isEmpty)
        // Nothing is allowed by one that was released.
        #expect(Self.refusal { try first.check() } != nil)
    }

    /// Of those who want the repository for themselves at the same moment never two have it, and with patience all get it.
    @Test(.timeLimit(.minutes(5)), arguments: [Place.waited, .immediate, .local]) func atTheSameMoment(place: Place)
        throws
    {
        let tree = try TemporaryTree()
        let (repository, run) = (try TestRepository.create(try place.backend(tree)), TestRun())
        let holders = Mutex(0)
        let times = Self.times
        let pool = ThreadPool(threads: 4)
        let got = try pool.map(12) { _, number -> Int in
            do {
                return try repository.withLock(
                    .exclusive, for: "prune", patience: 120, times: times, in: run.context()
                ) { lock in
                    try lock.check()
                    #expect(
                        holders.withLock {
                            $0 += 1; return $0
                        } == 1)
                    usleep(5000)
                    holders.withLock { $0 -= 1 }
                    return 1
                }
            } catch let error as BackupError where error.code == .locked {
                return 0
            }
        }
        #expect(got.reduce(0, +) == 12)
        #expect(try repository.locks().locks.isEmpty)
    }

    /// A lock that appears between the first look and the second is seen by the second.
    @Test(arguments: [Place.waited, .immediate]) func theSecondLook(place: Place) throws {
        let (repository, run) = (try TestRepository.create(try place.backend(try TemporaryTree())), TestRun())
        let lock = try repository.lock(.exclusive, for: "prune", times: Self.times, in: run.context())
        let (key, bytes) = repository.sealed(Self.lock(of: "somebody", .shared))
        try repository.backend.create(key, bytes)
        let guarded = lock.guarded
        let written = Self.storageError { try guarded.backend.create(.pack(SHA256Digest()), [1]) }
        #expect(written?.reason.contains("somebody") == true)
        #expect(guarded.backend.remove([.pack(SHA256Digest())]).count == 1)
        #expect(Self.refusal { try lock.confirm() } != nil)
        // The own one is gone at once, so that it is in nobody's way.
        #expect(try repository.backend.list(.lock).map(\.key) == [key])
        #expect(Self.refusal { try lock.check() } != nil)
        try lock.release()
        #expect(try repository.backend.list(.pack).isEmpty)
    }

    /// Who is interrupted while the lock is looked for again is told that, and not that something cannot be stored.
    @Test func aStopBeforeTheSecondLook() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let times = Self.times
        #expect(throws: Stopped.self) {
            try repository.withLock(.shared, for: "x", times: times, in: run.context()) { lock in
                run.stop.stop(signal: 2)
                try lock.guarded.backend.create(.pack(SHA256Digest()), [1])
            }
        }
        #expect(try repository.backend.list(.lock).isEmpty && repository.backend.list(.pack).isEmpty)
    }

    @Test func patience() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let first = try repository.lock(.exclusive, for: "prune", times: Self.times, in: run.context())
        let release = BackgroundResult {
            usleep(300_000)
            try first.release()
        }
        let second = try repository.lock(.shared, for: "x", patience: 60, times: Self.times, in: run.context())
        try release.get()
        try second.confirm()
        let notes = run.warnings
        #expect(notes.count == 1)
        let begin = Date()
        #expect(
            Self.refusal {
                _ = try repository.lock(.exclusive, for: "x", patience: 1, times: Self.times, in: run.context())
            } != nil)
        #expect(Date().timeIntervalSince(begin) > 0.9)
        // Whoever asks to stop need not wait.
        run.stop.stop(signal: 2)
        #expect(throws: Stopped.self) {
            _ = try repository.lock(.exclusive, for: "x", patience: 600, times: Self.times, in: run.context())
        }
        try second.release()
        #expect(try repository.locks().locks.isEmpty)
    }

    // MARK: What others left

    @Test func orphans() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        var dead = LockFile.own(.exclusive, verb: "prune", at: run.context().now())
        dead.process = try Self.endedProcess()
        var foreign = dead
        foreign.stamp = nil
        let (key, bytes) = repository.sealed(dead)
        try repository.backend.create(key, bytes)
        let lock = try repository.lock(.exclusive, for: "x", times: Self.times, in: run.context())
        try lock.confirm()
        try lock.release()
        let notes = run.warnings
        #expect(notes.count == 1 && notes[0].contains("(process \(dead.process), prune)"), "\(notes)")
        // Another program's is not touched, though its process is gone.
        let (other, otherBytes) = repository.sealed(foreign)
        try repository.backend.create(other, otherBytes)
        let refused = Self.refusal { _ = try repository.lock(.shared, for: "x", times: Self.times, in: run.context()) }
        #expect(refused?.advice.contains("'repository unlock'") == true, "\(String(describing: refused))")
        let result = try repository.unlock(.stale, in: run.context())
        #expect(result.removed.map(\.id) == [other.id] && result.kept.isEmpty)
        try repository.lock(.shared, for: "x", times: Self.times, in: run.context()).release()
    }

    @Test func filesThatAreNoLocks() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let backend = repository.backend
        let empty = ObjectKey.lock(SHA256.digest(of: []))
        try backend.create(empty, [])
        try repository.lock(.exclusive, for: "x", times: Self.times, in: run.context()).release()
        #expect(try repository.locks().locks.isEmpty && repository.locks().findings.isEmpty)

        let damaged = ObjectKey.lock(SHA256.digest(of: [1]))
        try backend.create(damaged, [2])
        #expect(try repository.locks().findings.count == 1)
        let refused = Self.refusal { _ = try repository.lock(.shared, for: "x", times: Self.times, in: run.context()) }
        #expect(refused?.message.contains("cannot be read") == true)
        let stale = try repository.unlock(.stale, in: run.context())
        #expect(stale.removed.isEmpty && stale.removedUnread.isEmpty && stale.findings.count == 1)
        // It may be one that is just being written.
        var slow = Self.times
        slow.unreadable = [50, 5000, 5000]
        let remove = BackgroundResult {
            usleep(100_000)
            try backend.remove(damaged)
        }
        try repository.lock(.shared, for: "x", times: slow, in: run.context()).release()
        try remove.get()
        try backend.create(damaged, [2])
        let all = try repository.unlock(.all, in: run.context())
        #expect(Set(all.removedUnread) == [empty.id, damaged.id])
        #expect(try backend.list(.lock).isEmpty)
    }

    // MARK: Aids

    static func refusal(_ body: () throws -> Void) -> BackupError? {
        do { try body() } catch { return error as? BackupError }
        return nil
    }

    static func storageError(_ body: () throws -> Void) -> StorageError? {
        do { try body() } catch { return error as? StorageError }
        return nil
    }

    static func lock(of host: String, _ kind: LockKind) -> LockFile {
        var lock = LockFile(time: TestRepository.now, kind: kind)
        (lock.hostName, lock.process) = (host, 77)
        return lock
    }

    /// The number of a process that is there no more.
    static func endedProcess() throws -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/true")
        try process.run()
        process.waitUntilExit()
        return process.processIdentifier
    }

    private static func stamp(
        _ change: (inout (boot: String, process: UInt64, time: UInt64, started: UInt64)) -> Void
    ) -> ProcessStamp? {
        guard let own = ProcessStamp.own() else { return nil }
        var parts = (boot: own.bootID, process: own.processNamespace, time: own.timeNamespace, started: own.started)
        change(&parts)
        return ProcessStamp(
            bootID: parts.boot, processNamespace: parts.process, timeNamespace: parts.time, started: parts.started)
    }
}
