extension Array where Element == UInt8 {
    /// Calls `body` with the bytes; unlike `withUnsafeBytes` it keeps the type of the error.
    @inline(__always)
    package func withRawBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try withUnsafeBufferPointer { bytes throws(E) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}

// Eight bytes at a time, which is what these are for: the standard library compares one after the other.
extension UnsafeRawBufferPointer {
    /// The place of the first byte that differs from `other`'s; the length of the shorter one, if none does.
    @inline(__always)
    package func firstDifference(from other: UnsafeRawBufferPointer) -> Int {
        let shared = Swift.min(count, other.count)
        var place = 0
        while place + 8 <= shared {
            let difference =
                loadUnaligned(fromByteOffset: place, as: UInt64.self)
                ^ other.loadUnaligned(fromByteOffset: place, as: UInt64.self)
            if difference != 0 { return place + difference.littleEndian.trailingZeroBitCount / 8 }
            place += 8
        }
        while place < shared, self[place] == other[place] { place += 1 }
        return place
    }

    /// Whether these come before `other`, byte by byte.
    @inline(__always)
    package func precedes(_ other: UnsafeRawBufferPointer) -> Bool {
        let place = firstDifference(from: other)
        return place < Swift.min(count, other.count) ? self[place] < other[place] : count < other.count
    }

    @inline(__always)
    package func isEqual(to other: UnsafeRawBufferPointer) -> Bool {
        count == other.count && firstDifference(from: other) == count
    }

    @inline(__always)
    package func isEqual(to text: StaticString) -> Bool {
        isEqual(to: UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    package func isEqual(to bytes: [UInt8]) -> Bool {
        bytes.withRawBytes { isEqual(to: $0) }
    }

    package var isASCII: Bool {
        var place = 0
        var bits: UInt64 = 0
        while place + 8 <= count {
            bits |= loadUnaligned(fromByteOffset: place, as: UInt64.self)
            place += 8
        }
        while place < count {
            bits |= UInt64(self[place])
            place += 1
        }
        return bits & 0x8080_8080_8080_8080 == 0
    }
}
