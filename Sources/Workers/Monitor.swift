import Glibc

/// State that threads share and wait on: a mutex with a condition variable.
///
/// `@unchecked Sendable`: the state is reached only inside ``withLock(_:)`` and ``wait(until:_:)``, which hold the mutex;
/// mutex, condition and state lie in memory that the object owns until its last reference is gone.
package final class Monitor<State: Sendable>: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let changed: UnsafeMutablePointer<pthread_cond_t>
    private var state: State

    package init(_ state: State) {
        self.state = state
        mutex = .allocate(capacity: 1)
        changed = .allocate(capacity: 1)
        mutex.initialize(to: pthread_mutex_t())
        changed.initialize(to: pthread_cond_t())
        pthread_mutex_init(mutex, nil)
        // Times of ``wait(until:atMost:)`` are not those of the wall clock, which may jump.
        var attributes = pthread_condattr_t()
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(changed, &attributes)
        pthread_condattr_destroy(&attributes)
    }

    deinit {
        pthread_mutex_destroy(mutex)
        pthread_cond_destroy(changed)
        mutex.deallocate()
        changed.deallocate()
    }

    /// Changes the state and wakes everyone who waits.
    package func withLock<R>(_ body: (inout State) throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        return try body(&state)
    }

    /// Waits until `condition` holds, then changes the state.
    package func wait<R>(until condition: (State) -> Bool, _ body: (inout State) throws -> R) rethrows -> R {
        pthread_mutex_lock(mutex)
        defer {
            pthread_cond_broadcast(changed)
            pthread_mutex_unlock(mutex)
        }
        while !condition(state) { pthread_cond_wait(changed, mutex) }
        return try body(&state)
    }

    /// Waits until `condition` holds, or until the time is over. Says whether it holds.
    package func wait(until condition: (State) -> Bool, atMost milliseconds: Int) -> Bool {
        var end = timespec()
        clock_gettime(CLOCK_MONOTONIC, &end)
        let nanoseconds = end.tv_nsec + milliseconds % 1000 * 1_000_000
        end.tv_sec += milliseconds / 1000 + nanoseconds / 1_000_000_000
        end.tv_nsec = nanoseconds % 1_000_000_000
        pthread_mutex_lock(mutex)
        defer { pthread_mutex_unlock(mutex) }
        while !condition(state) {
            if pthread_cond_timedwait(changed, mutex, &end) != 0 { return condition(state) }
        }
        return true
    }
}

/// Doing nothing for a while.
package enum Pause {
    private static let slice = 50

    /// Waits, and calls `check` now and then, which ends the wait by throwing.
    package static func wait(milliseconds: Int, checking check: () throws -> Void) rethrows {
        let never = Monitor(false)
        var left = milliseconds
        while left > 0 {
            try check()
            _ = never.wait(until: { $0 }, atMost: min(left, slice))
            left -= slice
        }
        try check()
    }
}
