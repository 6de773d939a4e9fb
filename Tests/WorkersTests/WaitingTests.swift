import Foundation
import Model
import Synchronization
import Testing
import Workers

@Suite struct WaitingTests {
    @Test func aMonitorWaitsNoLongerThanItIsTold() {
        let monitor = Monitor(0)
        let begin = Date()
        #expect(!monitor.wait(until: { $0 > 0 }, atMost: 120))
        #expect(Date().timeIntervalSince(begin) >= 0.119)
        #expect(!monitor.wait(until: { $0 > 0 }, atMost: 0))
        let other = BackgroundResult {
            usleep(30_000)
            monitor.withLock { $0 = 1 }
        }
        #expect(monitor.wait(until: { $0 > 0 }, atMost: 60_000))
        #expect(throws: Never.self) { try other.get() }
        #expect(Date().timeIntervalSince(begin) < 50)
    }

    @Test func aPauseEndsWhenItsCheckThrows() throws {
        let stop = StopFlag()
        let begin = Date()
        try Pause.wait(milliseconds: 120, checking: stop.check)
        #expect(Date().timeIntervalSince(begin) >= 0.119)
        let other = BackgroundResult {
            usleep(30_000)
            stop.stop(signal: 2)
        }
        #expect(throws: Stopped.self) { try Pause.wait(milliseconds: 100_000, checking: stop.check) }
        try other.get()
        #expect(Date().timeIntervalSince(begin) < 50)
    }

    @Test func workIsRepeatedUntilItIsEnded() throws {
        let calls = Monitor(0)
        let work = try #require(RepeatedWork(every: 5) { calls.withLock { $0 += 1 } })
        #expect(calls.wait(until: { $0 > 3 }, atMost: 60_000))
        work.end()
        work.end()
        let count = calls.withLock { $0 }
        #expect(!calls.wait(until: { $0 > count }, atMost: 100))
    }

    /// What goes on is waited for: what it uses may be gone afterwards.
    @Test func theLastCallIsWaitedFor() throws {
        let (began, isDone) = (Monitor(false), Monitor(false))
        let work = try #require(
            RepeatedWork(every: 1) {
                began.withLock { $0 = true }
                usleep(50_000)
                isDone.withLock { $0 = true }
            })
        #expect(began.wait(until: { $0 }, atMost: 60_000))
        work.end()
        #expect(isDone.withLock { $0 })
    }

    @Test func itEndsWithItsOwner() throws {
        let calls = Monitor(0)
        do {
            let work = try #require(RepeatedWork(every: 5) { calls.withLock { $0 += 1 } })
            #expect(calls.wait(until: { $0 > 0 }, atMost: 60_000))
            withExtendedLifetime(work) {}
        }
        usleep(50_000)
        let count = calls.withLock { $0 }
        #expect(!calls.wait(until: { $0 > count }, atMost: 100))
    }
}
