import Glibc

/// Random numbers that can be had again: a property test prints the seed, and `CHASTIPI_SEED=N` repeats its run.
package struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    /// A new seed, or the one of the environment; printed with the name of the test.
    package static func printed(for test: String) -> SeededRandom {
        let asked = getenv("CHASTIPI_SEED").flatMap { UInt64(String(cString: $0)) }
        let seed = asked ?? UInt64.random(in: 0...UInt64(UInt32.max))
        print("\(test): CHASTIPI_SEED=\(seed)")
        return SeededRandom(seed: seed)
    }

    /// SplitMix64.
    package mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }

    package mutating func bytes(_ count: Int) -> [UInt8] {
        // Into memory: tests run without optimisation, and some need megabytes.
        [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            let memory = UnsafeMutableRawBufferPointer(buffer)
            let words = count / 8
            for word in 0..<words { memory.storeBytes(of: next(), toByteOffset: word * 8, as: UInt64.self) }
            for place in words * 8..<count { memory[place] = UInt8(truncatingIfNeeded: next()) }
            filled = count
        }
    }

    /// True once in `n` times.
    package mutating func once(in n: Int) -> Bool {
        Int.random(in: 0..<n, using: &self) == 0
    }

    /// One of `choices`, which is not empty.
    package mutating func pick<T>(_ choices: [T]) -> T {
        choices[Int.random(in: choices.indices, using: &self)]
    }
}
