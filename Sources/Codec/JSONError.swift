/// Why bytes are not acceptable JSON, and where.
package struct JSONError: Error, Hashable, Sendable {
    /// From 1.
    package let line: Int
    /// From 1, in characters (Unicode scalars).
    package let column: Int
    /// A few words, safe to print.
    package let message: String

    /// For the byte at `offset` of `bytes`.
    init(_ message: String, at offset: Int, of bytes: some BidirectionalCollection<UInt8>) {
        let before = bytes.prefix(offset)
        let lineStart = before.lastIndex(of: UInt8(ascii: "\n")).map { before.index(after: $0) } ?? before.startIndex
        line = 1 + before.count { $0 == UInt8(ascii: "\n") }
        column = 1 + before[lineStart...].count { $0 & 0xc0 != 0x80 }
        self.message = message
    }
}

extension JSONError: CustomStringConvertible {
    package var description: String { "line \(line), column \(column): \(message)" }
}

/// How much JSON from an untrusted place is read before it is refused.
package struct JSONLimits: Hashable, Sendable {
    /// Of the whole text.
    package let bytes: Int
    /// Of containers within containers.
    package let depth: Int
    /// Of every kind, containers too: a value takes far more memory than the two bytes it may have in the text.
    package let values: Int

    /// The depth is at most 512, whatever is asked for: writing, comparing and freeing a value use the thread's stack.
    package init(bytes: Int = 64 << 20, depth: Int = 64, values: Int = 2_000_000) {
        self.bytes = bytes
        self.depth = min(depth, 512)
        self.values = values
    }
}
