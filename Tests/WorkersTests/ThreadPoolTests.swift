import Foundation
import Synchronization
import Testing
import Workers

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 4]) func everyNumberIsDoneOnce(threads: Int) throws {
        let pool = ThreadPool(threads: threads)
        for count in [0, 1, 2, 1000] {
            #expect(try pool.map(count) { _, number in number } == Array(0..<count))
        }
    }

    /// A worker rests while somebody else computes in its place, and works again afterwards; nothing waits for it.
    @Test func aWorkerRestsWhileAnotherThreadComputes() throws {
        let pool = ThreadPool(threads: 2)
        #expect(pool.workers == 2)
        let (isLent, isOver) = (Monitor(false), Monitor(false))
        let computing = BackgroundResult {
            pool.lending {
                isLent.withLock { $0 = true }
                isOver.wait(until: { $0 }) { _ in }
            }
        }
        isLent.wait(until: { $0 }) { _ in }
        // This ends although it is lent all the time.
        #expect(Set(try pool.map(200) { worker, _ in worker }) == [0])
        // The first number ends when another worker has begun the second, which it may when the computation is over.
        let isBegun = Monitor(false)
        let workers = try pool.map(2) { worker, number in
            if number == 0 {
                isOver.withLock { $0 = true }
                isBegun.wait(until: { $0 }) { _ in }
            } else {
                isBegun.withLock { $0 = true }
            }
            return worker
        }
        #expect(Set(workers) == [0, 1])
        try computing.get()
        #expect(throws: CancellationError.self) {
            try pool.lending { throw CancellationError() }
        }
        #expect(try pool.map(2) { _, number in number } == [0, 1])
    }
}
