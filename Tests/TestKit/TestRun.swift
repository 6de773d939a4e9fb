import Glibc
import Model
import Synchronization

/// What a run under test is given, and what it told.
package final class TestRun: Sendable {
    private let told = Mutex<[Event]>([])
    package let stop = StopFlag()

    package init() {}

    package var events: [Event] { told.withLock { $0 } }

    package var warnings: [String] {
        events.compactMap { if case .warning(let text) = $0 { text } else { nil } }
    }

    /// - Parameters:
    ///   - ahead: seconds that the wall clock shows more than the kernel's. 10 by default, so that files just made do
    ///     not count as racy.
    ///   - offset: seconds that local time is east of UTC.
    package func context(threads: Int = 2, ahead: Int64 = 10, offset: Int = 3600) -> RunContext {
        let clock = Clock(
            wall: { Self.time(CLOCK_REALTIME).adding(seconds: ahead) },
            monotonic: {
                let time = Self.time(CLOCK_MONOTONIC)
                return UInt64(time.seconds) * 1_000_000_000 + UInt64(time.nanoseconds)
            }, offset: { _ in offset })
        return RunContext(
            clock: clock, random: { count in (0..<count).map { _ in UInt8.random(in: 0...255) } }, stop: stop,
            threads: threads
        ) { event in self.told.withLock { $0.append(event) } }
    }

    private static func time(_ clock: clockid_t) -> Timestamp {
        var time = timespec()
        clock_gettime(clock, &time)
        return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
    }
}
