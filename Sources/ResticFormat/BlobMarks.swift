/// Which of the numbered copies of an index are marked: a bit for each.
package struct BlobMarks: Sendable {
    private var words: [UInt64]
    /// How many are marked.
    package private(set) var count = 0

    /// None of `size` is marked.
    package init(size: Int) {
        words = [UInt64](repeating: 0, count: (size + 63) / 64)
    }

    package func contains(_ number: Int) -> Bool {
        words[number >> 6] & 1 << UInt64(number & 63) != 0
    }

    /// Marks a number. Returns whether it was not marked before.
    @discardableResult
    package mutating func insert(_ number: Int) -> Bool {
        if contains(number) { return false }
        words[number >> 6] |= 1 << UInt64(number & 63)
        count += 1
        return true
    }
}
