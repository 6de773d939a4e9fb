extension Array where Element == UInt8 {
    /// Calls `body` with the bytes; unlike `withUnsafeBytes` it keeps the type of the error.
    @inline(__always)
    package func withRawBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try withUnsafeBufferPointer { bytes throws(E) in try body(UnsafeRawBufferPointer(bytes)) }
    }
}
