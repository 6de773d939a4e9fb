import Model

/// An open hash table of numbers, found by the IDs of what they number.
struct HashSlots: Sendable {
    /// Numbers + 1; 0 where there is none. Its size is a power of two.
    private var slots: [UInt32] = []

    init() {}

    /// A table twice as large as `count` numbers need, with all but the last of them.
    init(count: Int, id: (Int) -> SHA256Digest) {
        var size = 64
        while size * 3 < count * 4 + 4 { size *= 2 }
        slots = [UInt32](repeating: 0, count: size)
        for number in 0..<count - 1 { insert(number, id(number)) }
    }

    /// Three quarters are used.
    func isFull(_ count: Int) -> Bool { slots.count * 3 < count * 4 }

    var memory: Int { slots.capacity * 4 }

    mutating func insert(_ number: Int, _ id: SHA256Digest) {
        var slot = start(id)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = UInt32(number + 1)
    }

    /// Calls `body` with the numbers that may be those of `id`, until it returns true.
    @inline(__always)
    func search(_ id: SHA256Digest, _ body: (Int) -> Bool) {
        if slots.isEmpty { return }
        var slot = start(id)
        while slots[slot] != 0 {
            if body(Int(slots[slot]) - 1) { return }
            slot = (slot + 1) & (slots.count - 1)
        }
    }

    @inline(__always)
    private func start(_ id: SHA256Digest) -> Int {
        let word = id.withBytes { $0.loadUnaligned(as: UInt64.self) }
        return Int(truncatingIfNeeded: word) & (slots.count - 1)
    }
}
