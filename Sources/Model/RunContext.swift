import Synchronization

/// What a run needs from outside: below the executable nothing prints, asks the clock or reads the environment.
public struct RunContext: Sendable {
    /// 16 random bytes in hexadecimal: names the run in logs and in folders of restores.
    public let runID: String
    public let clock: Clock
    /// Fills a buffer with random bytes.
    public let random: @Sendable (Int) -> [UInt8]
    public let report: @Sendable (Event) -> Void
    public let stop: StopFlag
    /// What opens and encrypts backups.
    public let passwords: PasswordSource
    public let repositoryPasswords: RepositoryPasswords
    /// How many threads may work at once.
    public let threads: Int

    public init(
        clock: Clock, random: @escaping @Sendable (Int) -> [UInt8], stop: StopFlag = StopFlag(), threads: Int,
        passwords: PasswordSource = PasswordSource(nil),
        repositoryPasswords: RepositoryPasswords = RepositoryPasswords(), report: @escaping @Sendable (Event) -> Void
    ) {
        self.clock = clock
        self.random = random
        self.stop = stop
        self.passwords = passwords
        self.repositoryPasswords = repositoryPasswords
        self.threads = max(1, threads)
        self.report = report
        runID = random(16).map { padded2Hex($0) }.joined()
    }

    /// `count` random bytes as lower-case hexadecimal digits.
    package func randomHex(bytes count: Int) -> String {
        random(count).map { padded2Hex($0) }.joined()
    }

    package func now() -> LocalTime {
        let moment = clock.wall()
        return LocalTime(moment: moment, offset: clock.offset(moment))
    }
}

private func padded2Hex(_ byte: UInt8) -> String {
    (byte < 16 ? "0" : "") + String(byte, radix: 16)
}

/// The clocks of a run.
public struct Clock: Sendable {
    /// The wall clock, which may jump.
    public let wall: @Sendable () -> Timestamp
    /// Nanoseconds that only grow, for durations.
    public let monotonic: @Sendable () -> UInt64
    /// Seconds that local time is east of UTC at a moment.
    public let offset: @Sendable (Timestamp) -> Int

    public init(
        wall: @escaping @Sendable () -> Timestamp, monotonic: @escaping @Sendable () -> UInt64,
        offset: @escaping @Sendable (Timestamp) -> Int
    ) {
        self.wall = wall
        self.monotonic = monotonic
        self.offset = offset
    }
}

/// Counts what the workers of one phase have done and reports it now and then.
package final class ProgressMeter: Sendable {
    private let phase: Event.Phase
    private let run: RunContext
    private let entries = Atomic<Int>(0)
    private let bytes = Atomic<UInt64>(0)
    private let nextReport: Atomic<UInt64>
    private static let interval: UInt64 = 100_000_000

    package init(_ phase: Event.Phase, entries: Int, bytes: UInt64, in run: RunContext) {
        self.phase = phase
        self.run = run
        nextReport = Atomic(run.clock.monotonic() + Self.interval)
        run.report(.started(phase, entries: entries, bytes: bytes))
    }

    /// Adds to the counts. `current` is asked for its path only if it is time to report.
    package func advance(entries newEntries: Int = 0, bytes newBytes: UInt64 = 0, current: () -> EntryPath) {
        let entries = entries.add(newEntries, ordering: .relaxed).newValue
        let bytes = bytes.wrappingAdd(newBytes, ordering: .relaxed).newValue
        let now = run.clock.monotonic()
        let due = nextReport.load(ordering: .relaxed)
        guard now >= due,
            nextReport.compareExchange(expected: due, desired: now + Self.interval, ordering: .relaxed).exchanged
        else { return }
        run.report(.progress(phase, entries: entries, bytes: bytes, current: current().description))
    }
}
