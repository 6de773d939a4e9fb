/// Something that is worked out on a thread of its own while the caller goes on.
package final class BackgroundResult<Value: Sendable>: Sendable {
    private let result: Monitor<Result<Value, any Error>?>

    /// Starts `body`. Where the system has no room for another thread, it is done at once.
    package init(_ body: @escaping @Sendable () throws -> Value) {
        let result = Monitor<Result<Value, any Error>?>(nil)
        self.result = result
        let work = ThreadBody {
            let value = Result { try body() }
            result.withLock { $0 = value }
        }
        if !work.launch() {
            let value = Result { try body() }
            result.withLock { $0 = value }
        }
    }

    /// Waits for the result.
    package func get() throws -> Value {
        guard let value = result.wait(until: { $0 != nil }, { $0 }) else { preconditionFailure("waited for a result") }
        return try value.get()
    }
}
