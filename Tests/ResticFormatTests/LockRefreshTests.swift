import Codec
import Foundation
import Model
import Storage
import Synchronization
import TestKit
import Testing

@testable import ResticFormat

/// A lock that is held for long.
@Suite struct LockRefreshTests {
    /// A run whose clocks a test sets.
    private final class SetClock: Sendable {
        private let ahead = Mutex((wall: Int64(0), monotonic: Int64(0)))
        let run = TestRun()

        func add(wall: Int64 = 0, monotonic: Int64 = 0) {
            ahead.withLock { $0 = ($0.wall + wall, $0.monotonic + monotonic) }
        }

        func context() -> RunContext {
            let base = run.context()
            let clock = Clock(
                wall: { base.clock.wall().adding(seconds: self.ahead.withLock { $0.wall }) },
                monotonic: { base.clock.monotonic() + UInt64(self.ahead.withLock { $0.monotonic }) * 1_000_000_000 },
                offset: { _ in 0 })
            return RunContext(clock: clock, random: base.random, stop: run.stop, threads: 2, report: base.report)
        }
    }

    /// Nothing is refreshed by itself.
    private static func still() -> LockTimes {
        var times = LockTests.times
        (times.tick, times.refresh, times.retry) = (3_600_000, 300, 60)
        return times
    }

    private static func waitUntil(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<2000 {
            if try condition() { return true }
            usleep(10_000)
        }
        return false
    }

    @Test func itIsWrittenAnew() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let lock = try repository.lock(.exclusive, for: "x", times: LockTests.times, in: run.context())
        try lock.confirm()
        var seen: Set<ObjectKey> = []
        let refreshed = try Self.waitUntil {
            let keys = try repository.backend.list(.lock).map(\.key)
            #expect(1...2 ~= keys.count)
            seen.formUnion(keys)
            return seen.count > 3
        }
        #expect(refreshed)
        try lock.check()
        try lock.release()
        #expect(try repository.backend.list(.lock).isEmpty)
        usleep(300_000)
        #expect(try repository.backend.list(.lock).isEmpty)
    }

    @Test func somebodyRemovesIt() throws {
        let (repository, run) = (try TestRepository.create(MemoryBackend()), TestRun())
        let lock = try repository.lock(.shared, for: "x", times: LockTests.times, in: run.context())
        try lock.confirm()
        // Between two refreshes there is one file; which is never made again.
        let lost = try Self.waitUntil {
            _ = try repository.unlock(.all, in: run.context())
            return lock.failure != nil
        }
        #expect(lost)
        #expect(LockTests.refusal { try lock.check() }?.message.contains("somebody has removed it") == true)
        let error = LockTests.storageError { try lock.guarded.backend.create(.pack(SHA256Digest()), [1]) }
        #expect(error?.reason.contains("somebody has removed it") == true)
        try lock.release()
        #expect(try repository.backend.list(.lock).isEmpty)
        // What is thrown at the end is the reason.
        let times = LockTests.times
        let thrown = LockTests.refusal {
            try repository.withLock(.shared, for: "x", times: times, in: run.context()) { lock in
                try lock.confirm()
                _ = try Self.waitUntil {
                    _ = try repository.unlock(.all, in: run.context())
                    return lock.failure != nil
                }
                try lock.guarded.backend.remove(.pack(SHA256Digest()))
            }
        }
        #expect(thrown?.code == .locked)
    }

    /// The machine slept, or its clock was set: if nobody has removed the lock meanwhile, it is taken up again.
    @Test(arguments: [(2000, 0), (0, 2000), (2000, 2000)]) func afterALongTime(_ wall: Int, _ monotonic: Int) throws {
        let (repository, clock) = (try TestRepository.create(MemoryBackend()), SetClock())
        let lock = try repository.lock(.shared, for: "x", times: Self.still(), in: clock.context())
        try lock.check()
        let before = try repository.backend.list(.lock).map(\.key)
        clock.add(wall: 1300, monotonic: 1300)
        try lock.check()
        #expect(try repository.backend.list(.lock).map(\.key) == before)
        clock.add(wall: Int64(wall), monotonic: Int64(monotonic))
        try lock.check()
        let after = try repository.backend.list(.lock).map(\.key)
        #expect(after.count == 1 && after != before)
        for key in after { try repository.backend.remove(key) }
        try lock.check()
        clock.add(wall: Int64(wall), monotonic: Int64(monotonic))
        #expect(LockTests.refusal { try lock.check() }?.code == .locked)
        try lock.release()
        #expect(try repository.backend.list(.lock).isEmpty)
    }

    @Test func theStorageFails() throws {
        let faulty = FaultyBackend(MemoryBackend())
        let (repository, clock) = (try TestRepository.create(faulty), SetClock())
        let lock = try repository.lock(.shared, for: "x", times: Self.still(), in: clock.context())
        try lock.check()
        faulty.inject(.kill)
        clock.add(wall: 1300)
        try lock.check()
        clock.add(wall: 100)
        #expect(LockTests.refusal { try lock.check() }?.message.contains("cannot be refreshed") == true)
        // A lock that was lost stays so.
        faulty.inject(nil)
        #expect(LockTests.refusal { try lock.check() } != nil)
        try lock.release()
        #expect(try faulty.list(.lock).isEmpty)
    }

    /// Each call that changes something fails once, done or not: a lock is had or an error told, and in the end none is left.
    @Test(arguments: [StorageFault.fail(.unavailable), .failDone(.unavailable)]) func faults(
        _ fault: StorageFault
    ) throws {
        for number in 0..<6 {
            let faulty = FaultyBackend(MemoryBackend())
            let (repository, clock) = (try TestRepository.create(faulty), SetClock())
            faulty.inject(fault, at: number)
            do {
                let lock = try repository.lock(.shared, for: "x", times: Self.still(), in: clock.context())
                clock.add(wall: 2000)
                // Create, remove.
                try? lock.check()
                clock.add(wall: 2000)
                try? lock.check()
                do { try lock.release() } catch { try lock.release() }
                #expect(number > 0)
            } catch is StorageError {
                #expect(number == 0)
            }
            #expect(try faulty.list(.lock).isEmpty, "\(number)")
        }
    }

    @Test func aLockThatCannotBeRemoved() throws {
        let faulty = FaultyBackend(MemoryBackend())
        let (repository, run) = (try TestRepository.create(faulty), TestRun())
        let result = try repository.withLock(.shared, for: "x", times: LockTests.times, in: run.context()) { lock in
            try lock.confirm()
            faulty.inject(.kill)
            return 7
        }
        #expect(result == 7 && run.warnings.count == 1 && run.warnings[0].contains("unlock"))
    }
}
