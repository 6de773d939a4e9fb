import Synchronization

/// One state for each worker of a pool: a hash context, a buffer. A worker takes its own, so the lock is always free.
package final class PerWorker<State: ~Copyable>: Sendable {
    private final class Slot: Sendable {
        let state: Mutex<State>

        init(_ state: consuming sending State) {
            self.state = Mutex(state)
        }
    }

    private let slots: [Slot]

    package init(_ pool: ThreadPool, make: () -> sending State) {
        slots = (0..<pool.workers).map { _ in Slot(make()) }
    }

    package func with<R: Sendable, E: Error>(
        _ worker: Int, _ body: (inout State) throws(E) -> R
    ) throws(E) -> R {
        try slots[worker].state.withLock { state throws(E) in try body(&state) }
    }
}

/// A piece of memory that is used again and again.
package struct Buffer: ~Copyable {
    package let bytes: UnsafeMutableRawBufferPointer

    package init(size: Int) {
        bytes = .allocate(byteCount: size, alignment: 4096)
    }

    deinit {
        bytes.deallocate()
    }
}
