extension UInt64 {
    /// Adds a size. Sizes come from outside, and a sparse file says what it likes: what a sum cannot hold is its largest
    /// value.
    package mutating func add(saturating size: UInt64) {
        let (sum, overflow) = addingReportingOverflow(size)
        self = overflow ? .max : sum
    }
}

extension Sequence<UInt64> {
    /// The sum of sizes, or the largest value if it cannot hold them.
    package func saturatingSum() -> UInt64 {
        reduce(into: 0) { $0.add(saturating: $1) }
    }
}

/// A number of bytes, for people: `512 B`, `1.2 GB`, `300 MB`; powers of 1000.
public struct ByteCount: Hashable, Comparable, Sendable {
    public var bytes: UInt64

    public init(_ bytes: UInt64) {
        self.bytes = bytes
    }

    public static func < (a: ByteCount, b: ByteCount) -> Bool {
        a.bytes < b.bytes
    }
}

extension ByteCount: CustomStringConvertible {
    /// Rounded to the nearest; with one decimal below ten of a unit, as two digits are what people compare.
    public var description: String {
        if bytes < 1000 { return "\(bytes) B" }
        var unit: UInt64 = 1000
        for name in ["kB", "MB", "GB", "TB", "PB"] {
            if let text = Self.rounded(bytes, to: unit) { return "\(text) \(name)" }
            unit *= 1000
        }
        return "\(Self.rounded(bytes, to: unit) ?? String(bytes / unit)) EB"
    }

    /// Nil if that would make a thousand of `unit`, which is one of the next.
    private static func rounded(_ bytes: UInt64, to unit: UInt64) -> String? {
        // Half of the last digit that is shown; it can't overflow, as the largest unit has 10^18 and UInt64 18 of it.
        let tenths = (bytes / (unit / 100) + 5) / 10
        if tenths < 100 { return "\(tenths / 10).\(tenths % 10)" }
        let whole = bytes / unit + (bytes % unit >= unit / 2 ? 1 : 0)
        return whole < 1000 ? String(whole) : nil
    }
}
