import Synchronization

/// Says that a run should stop. Workers look at it between buffers; whoever catches signals sets it.
public final class StopFlag: Sendable {
    private let signal = Atomic<Int32>(0)

    public init() {}

    /// The number of the signal that asked to stop; nil while none did.
    public var reason: Int32? {
        let number = signal.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Asks the run to stop. The first reason counts.
    public func stop(signal number: Int32) {
        _ = signal.compareExchange(expected: 0, desired: number, ordering: .relaxed)
    }

    /// Throws ``Stopped`` if the run should stop.
    @inline(__always)
    package func check() throws(Stopped) {
        let number = signal.load(ordering: .relaxed)
        if number != 0 { throw Stopped(signal: number) }
    }
}

/// The run was asked to stop and has taken back what it had begun.
package struct Stopped: Error {
    package let signal: Int32
}
