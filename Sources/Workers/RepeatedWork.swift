/// Something that is done again and again, on a thread of its own, until it is ended.
package final class RepeatedWork: Sendable {
    private struct State: Sendable {
        var isEnded = false
        var isRunning = false
    }

    private let state: Monitor<State>

    /// Calls `body` first when `milliseconds` have passed, and then that long after each call. Nil if the system has no room for another
    /// thread.
    package init?(every milliseconds: Int, _ body: @escaping @Sendable () -> Void) {
        let state = Monitor(State())
        self.state = state
        let thread = ThreadBody {
            while !state.wait(until: { $0.isEnded }, atMost: milliseconds) {
                let goesOn = state.withLock { state in
                    state.isRunning = !state.isEnded
                    return state.isRunning
                }
                guard goesOn else { return }
                body()
                state.withLock { $0.isRunning = false }
            }
        }
        guard thread.launch() else { return nil }
    }

    deinit {
        state.withLock { $0.isEnded = true }
    }

    /// Waits for a call that goes on, and makes it the last one. Must not be called by `body`.
    package func end() {
        state.withLock { $0.isEnded = true }
        state.wait(until: { !$0.isRunning }) { _ in }
    }
}
