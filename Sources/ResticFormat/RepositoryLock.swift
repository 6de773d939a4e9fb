import Disk
import Model
import Storage
import Synchronization
import Workers

extension Repository {
    /// Takes a lock as restic does. It is no use before ``RepositoryLock/confirm()``, which waits a little: what goes on meanwhile may
    /// read, if the lock is a shared one, and must not write. The caller releases it whatever happens.
    ///
    /// Throws `BackupError(.locked)` with who holds another one, and `StorageError`.
    ///
    /// - Parameters:
    ///   - verb: what the lock is for, for people.
    ///   - patience: seconds in which it is tried again.
    package func lock(
        _ kind: LockKind, for verb: String, patience seconds: Int = 0, times: LockTimes = .standard, in run: RunContext
    ) throws -> RepositoryLock {
        let lock = RepositoryLock(self, kind, verb: verb, patience: seconds, times, in: run)
        do {
            try lock.begin()
        } catch {
            lock.abandon()
            throw error
        }
        return lock
    }

    /// Does `body` under a lock. An exclusive one is confirmed before; under a shared one `body` may begin to read at once. What changes
    /// something uses ``RepositoryLock/guarded``.
    package func withLock<R>(
        _ kind: LockKind, for verb: String, patience seconds: Int = 0, times: LockTimes = .standard, in run: RunContext,
        _ body: (RepositoryLock) throws -> R
    ) throws -> R {
        let lock: RepositoryLock
        do {
            lock = try self.lock(kind, for: verb, patience: seconds, times: times, in: run)
        } catch let error as StorageError where error.code == .noSpace {
            throw BackupError.noRoomForLock(in: backend.place)
        }
        defer { lock.abandon() }
        if kind == .exclusive { try lock.confirm() }
        do {
            return try body(lock)
        } catch {
            // That the lock was lost is why, whatever came of it.
            throw lock.failure ?? error
        }
    }
}

/// Keeps others from changing a repository in ways that would harm what the holder does. A thread refreshes it.
///
/// Two programs may look at the same moment, see nothing and both write a lock: so each looks again, when the other's is to be
/// seen. That is what ``confirm()`` does. Where listings are consistent it need not wait: of two that write and then look, the one
/// that writes later sees the other.
package final class RepositoryLock: Sendable {
    private struct State: Sendable {
        /// The file that others see.
        var current: ObjectKey?
        /// All files that may be there.
        var stored: Set<ObjectKey> = []
        /// When the current one was made.
        var written: Moment
        /// When it is next tried to refresh it.
        var due: Moment
        var isConfirmed = false
        var isReleased = false
        /// Why it is no use any more.
        var failure: (any Error)?
        var shield: HangupShield?
        var refreshing: RepeatedWork?
    }

    package let kind: LockKind
    private let repository: Repository
    private let verb: String
    private let times: LockTimes
    private let run: RunContext
    /// Until when it is tried to get it; monotonic nanoseconds.
    private let deadline: UInt64
    private let state: Mutex<State>
    /// Who holds this may change the files.
    private let turn = Mutex(())

    fileprivate init(
        _ repository: Repository, _ kind: LockKind, verb: String, patience seconds: Int, _ times: LockTimes,
        in run: RunContext
    ) {
        self.repository = repository
        self.kind = kind
        self.verb = verb
        self.times = times
        self.run = run
        // Whoever waits for three hundred years waits for ever.
        let wait = UInt64(max(0, seconds)).multipliedReportingOverflow(by: 1_000_000_000)
        let end = run.clock.monotonic().addingReportingOverflow(wait.partialValue)
        deadline = wait.overflow || end.overflow ? .max : end.partialValue
        let now = Moment(run.clock)
        state = Mutex(State(written: now, due: now.adding(seconds: times.refresh)))
    }

    /// Makes the file, and keeps it fresh from then on.
    fileprivate func begin() throws {
        try turn.withLock { _ in try acquire() }
        // Without a thread for it, check() does it.
        let refreshing = RepeatedWork(every: times.tick) { [weak self] in self?.refreshIfDue() }
        state.withLock { $0.refreshing = refreshing }
    }

    // MARK: Use

    /// The same repository; nothing is created or removed in it unless the lock is confirmed and held.
    package var guarded: Repository { Repository(repository, LockedBackend(repository.backend, self)) }

    /// Why the lock is no use any more; nil while it is. A `BackupError`, or that the run was asked to stop before it was confirmed.
    package var failure: (any Error)? { state.withLock { $0.failure } }

    /// Waits until others can be expected to see the lock, unless listings are consistent, and looks whether they have made one at the
    /// same moment. Nothing may be written before this has returned once.
    package func confirm() throws {
        try turn.withLock { _ in try confirmInTurn() }
    }

    /// Throws `BackupError(.locked)` if the lock is lost: it could not be refreshed for so long that others may remove it, or somebody has
    /// removed it. Must be called before each object is created or removed, which ``guarded`` does. Confirms the lock if that was not done.
    package func check() throws {
        let (failure, isConfirmed, isOld) = state.withLock { state in
            let now = Moment(run.clock)
            let isDue = state.refreshing == nil && state.due.isPassed(at: now)
            return (
                state.failure, state.isConfirmed && !state.isReleased,
                isDue || now.seconds(since: state.written) > times.limit
            )
        }
        if let failure { throw failure }
        if isConfirmed, !isOld { return }
        try turn.withLock { _ in
            try confirmInTurn()
            if isOld { refreshInTurn() }
            try throwIfLost()
        }
    }

    /// Removes the lock. Does nothing where that is done already; may be called again after an error.
    package func release() throws {
        let refreshing = state.withLock { state in
            state.isReleased = true
            defer { state.refreshing = nil }
            return state.refreshing
        }
        // Not in our turn, for which it may wait.
        refreshing?.end()
        try turn.withLock { _ in
            try removeFiles()
            state.withLock { $0.shield = nil }
        }
    }

    /// Releases the lock at the end of what has succeeded or failed for another reason: that it cannot be removed is only told.
    package func abandon() {
        do {
            try release()
        } catch {
            run.report(
                .warning("the lock of the repository stays behind, until 'repository unlock' removes it: \(error)"))
        }
    }

    // MARK: In turn

    private func acquire() throws {
        var pause = times.patience.lowerBound
        while let obstacle = try obstacle() {
            let now = run.clock.monotonic()
            guard now < deadline else { throw obstacle }
            if pause == times.patience.lowerBound { run.report(.warning("\(obstacle.message); waiting for it")) }
            let left = Int((deadline - now) / 1_000_000) + 1
            // Two that wait for each other do not try again at the same moment.
            let jitter = Int(run.random(1).first ?? 0) * pause / 1024
            try Pause.wait(milliseconds: min(pause + jitter, left), checking: run.stop.check)
            pause = min(pause * 2, times.patience.upperBound)
        }
        state.withLock { if $0.shield == nil { $0.shield = HangupShield() } }
        try write()
    }

    private func obstacle() throws -> BackupError? {
        try repository.obstacle(to: kind, except: state.withLock { $0.stored }, times, in: run)
    }

    private func confirmInTurn() throws {
        try throwIfLost()
        while !state.withLock({ $0.isConfirmed }) {
            do {
                try lookAgain()
            } catch {
                // Told to who asked for a change, and in the end: what comes between may tell it as something else.
                if error is BackupError || error is Stopped { state.withLock { $0.failure = error } }
                throw error
            }
        }
    }

    /// Confirms the lock, or makes another one, if there is time.
    private func lookAgain() throws {
        let settling = repository.backend.abilities.contains(.consistentListing) ? 0 : times.settling
        let age = Moment(run.clock).seconds(since: state.withLock { $0.written })
        try Pause.wait(milliseconds: max(0, settling - Int(age * 1000)), checking: run.stop.check)
        guard let obstacle = try obstacle() else { return state.withLock { $0.isConfirmed = true } }
        try removeFiles()
        guard run.clock.monotonic() < deadline else { throw obstacle }
        try acquire()
    }

    private func throwIfLost() throws {
        let (failure, isReleased) = state.withLock { ($0.failure, $0.isReleased) }
        if let failure { throw failure }
        if isReleased { throw lost("it was released") }
    }

    private func refreshIfDue() {
        let isDue = state.withLock { $0.due.isPassed(at: Moment(run.clock)) }
        if isDue { turn.withLock { _ in refreshInTurn() } }
    }

    /// Writes the lock anew and removes the old one. Notes a failure, if the lock is lost by it.
    private func refreshInTurn() {
        let (current, written, old, isOver) = state.withLock { state in
            state.due = Moment(run.clock).adding(seconds: times.retry)
            return (state.current, state.written, state.stored, state.isReleased || state.failure != nil)
        }
        guard let current, !isOver else { return }
        let isOld = Moment(run.clock).seconds(since: written) > times.limit
        let backend = repository.backend
        do {
            // Whoever has removed it may have begun what ours forbids.
            _ = try backend.info(current)
            try write()
            if isOld {
                // They may be about to do so, and have not seen the new one.
                Pause.wait(milliseconds: times.settling) {}
                _ = try backend.info(current)
            }
        } catch let error as StorageError where error.code == .notFound {
            state.withLock { $0.failure = lost("somebody has removed it") }
            return
        } catch {
            if isOld { state.withLock { $0.failure = lost("it cannot be refreshed: \(error)") } }
            return
        }
        remove(old)
    }

    private func lost(_ reason: String) -> BackupError {
        BackupError(
            .locked, "the lock of the repository \(repository.backend.place) is lost: \(reason)", advice: "Run it again"
        )
    }

    // MARK: Files

    private func write() throws {
        let written = Moment(run.clock)
        let (key, bytes) = repository.sealed(.own(kind, verb: verb, at: run.now()))
        // After an error it may be there.
        state.withLock { _ = $0.stored.insert(key) }
        try repository.backend.create(key, bytes)
        state.withLock { state in
            (state.current, state.written) = (key, written)
            state.due = written.adding(seconds: times.refresh)
        }
    }

    private func removeFiles() throws {
        if let error = remove(state.withLock { $0.stored }) { throw error }
    }

    private func isMissing(_ key: ObjectKey) -> Bool {
        do throws(StorageError) {
            _ = try repository.backend.info(key)
            return false
        } catch {
            return error.code == .notFound
        }
    }

    /// What cannot be removed is tried again later.
    @discardableResult
    private func remove(_ keys: Set<ObjectKey>) -> StorageError? {
        guard !keys.isEmpty else { return nil }
        // What was never made, on a disk that is only read, need not go.
        let failures = repository.backend.remove(Array(keys)).filter { key, _ in !isMissing(key) }
        state.withLock { state in
            for key in keys where failures[key] == nil {
                state.stored.remove(key)
                if state.current == key { state.current = nil }
            }
        }
        return failures.values.first
    }
}

/// A moment by both clocks: one stands still while the machine sleeps, the other may jump. What is farther away counts.
private struct Moment: Sendable {
    let wall: Timestamp
    let monotonic: UInt64

    private init(wall: Timestamp, monotonic: UInt64) {
        self.wall = wall
        self.monotonic = monotonic
    }

    init(_ clock: Clock) {
        self.init(wall: clock.wall(), monotonic: clock.monotonic())
    }

    func seconds(since other: Moment) -> Double {
        let byWall =
            Double(wall.seconds) - Double(other.wall.seconds)
            + (Double(wall.nanoseconds) - Double(other.wall.nanoseconds)) / 1e9
        let byMonotonic = (Double(monotonic) - Double(other.monotonic)) / 1e9
        return max(byWall, byMonotonic)
    }

    func adding(seconds: Double) -> Moment {
        let nanoseconds = UInt64(wall.nanoseconds) + UInt64(seconds * 1e9)
        return Moment(
            wall: Timestamp(
                seconds: wall.seconds + Int64(nanoseconds / 1_000_000_000),
                nanoseconds: UInt32(nanoseconds % 1_000_000_000)),
            monotonic: monotonic + UInt64(seconds * 1e9))
    }

    /// By either clock.
    func isPassed(at now: Moment) -> Bool { now.seconds(since: self) >= 0 }
}
