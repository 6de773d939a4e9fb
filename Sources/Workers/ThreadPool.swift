import Glibc
import Model
import Synchronization

/// A few threads of our own that share out numbered pieces of work. Blocking calls belong here and never on Swift's
/// cooperative pool.
package final class ThreadPool: Sendable {
    /// One round of work: every thread calls it with its own number.
    private typealias Round = @Sendable (_ worker: Int) -> Void

    private struct State: Sendable {
        var round: Round?
        var number = 0
        var running = 0
        var isClosed = false
    }

    /// How many threads work, the calling one included.
    package let workers: Int
    private let state: Monitor<State>
    /// For how many computations of other threads a worker rests.
    private let lent = Monitor(0)

    package init(threads: Int) {
        let state = Monitor(State())
        var started = 1
        // Where the system has no room for another thread, those that there are do the work.
        while started < threads, Self.start(started, state) { started += 1 }
        workers = started
        self.state = state
    }

    deinit {
        state.withLock { $0.isClosed = true }
    }

    /// Calls `body` with every number in `0..<count`, each on some worker, in rising order of starting. Returns when all
    /// are done. After an error no new number is started, and the first error is thrown.
    ///
    /// Worker numbers are `0..<workers`; one worker does one thing at a time. Must not be called from within `body`.
    package func forEach(
        _ count: Int, _ body: @escaping @Sendable (_ worker: Int, _ index: Int) throws -> Void
    ) throws {
        guard count > 0 else { return }
        if count == 1 || workers == 1 {
            for index in 0..<count { try body(0, index) }
            return
        }
        let next = Counter()
        let failure = FirstFailure()
        run { worker in
            // Who rests need not wait for anything any more.
            defer { self.lent.withLock { _ in } }
            while true {
                if worker == self.workers - 1, !next.isAt(count) {
                    self.lent.wait(until: { $0 == 0 || next.isAt(count) }) { _ in }
                }
                let index = next.take()
                guard index < count else { return }
                do {
                    try body(worker, index)
                } catch {
                    failure.record(error)
                    next.skip(to: count)
                }
            }
        }
        if let error = failure.error { throw error }
    }

    /// Calls `body`, which computes for a while, in the place of a worker, which rests meanwhile, if there are two or more: what others wait
    /// for should not share a core with what can be done later as well. The worker finishes what it has begun.
    package func lending<R>(_ body: () throws -> R) rethrows -> R {
        lent.withLock { $0 += 1 }
        defer { lent.withLock { $0 -= 1 } }
        return try body()
    }

    /// The same for a body that needs not know its worker.
    package func forEach(_ count: Int, _ body: @escaping @Sendable (Int) throws -> Void) throws {
        try forEach(count) { _, index in try body(index) }
    }

    /// The results of `body` for every number in `0..<count`, in order.
    package func map<R: Sendable>(
        _ count: Int, _ body: @escaping @Sendable (_ worker: Int, _ index: Int) throws -> R
    ) throws -> [R] {
        let results = Monitor([R?](repeating: nil, count: count))
        try forEach(count) { worker, index in
            let result = try body(worker, index)
            results.withLock { $0[index] = result }
        }
        return results.withLock { $0.compactMap { $0 } }
    }

    private func run(_ round: @escaping Round) {
        state.withLock { state in
            state.round = round
            state.number += 1
            state.running = workers - 1
        }
        round(0)
        state.wait(until: { $0.running == 0 }) { $0.round = nil }
    }

    private static func start(_ worker: Int, _ state: Monitor<State>) -> Bool {
        let body = ThreadBody {
            var seen = 0
            while true {
                let round: Round? = state.wait(until: { $0.isClosed || $0.number != seen }) { state in
                    guard !state.isClosed else { return nil }
                    seen = state.number
                    return state.round
                }
                guard let round else { return }
                round(worker)
                state.withLock { $0.running -= 1 }
            }
        }
        return body.launch()
    }
}

/// Hands out numbers.
private final class Counter: Sendable {
    private let next = Atomic<Int>(0)

    func take() -> Int {
        next.wrappingAdd(1, ordering: .relaxed).oldValue
    }

    /// Whether all numbers below `end` were taken.
    func isAt(_ end: Int) -> Bool { next.load(ordering: .relaxed) >= end }

    func skip(to number: Int) {
        next.store(number, ordering: .relaxed)
    }
}

private final class FirstFailure: Sendable {
    private let first = Mutex<(any Error)?>(nil)

    func record(_ error: any Error) {
        first.withLock { if $0 == nil { $0 = error } }
    }

    var error: (any Error)? { first.withLock { $0 } }
}

/// What a new thread runs.
final class ThreadBody: Sendable {
    private let body: @Sendable () -> Void

    init(_ body: @escaping @Sendable () -> Void) {
        self.body = body
    }

    /// Starts a detached thread; false if the system refuses.
    func launch() -> Bool {
        var thread = pthread_t()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        let context = Unmanaged.passRetained(self)
        let result = pthread_create(
            &thread, &attributes,
            { raw in
                guard let raw else { return nil }
                Unmanaged<ThreadBody>.fromOpaque(raw).takeRetainedValue().body()
                return nil
            }, context.toOpaque())
        if result != 0 { context.release() }
        return result == 0
    }
}
