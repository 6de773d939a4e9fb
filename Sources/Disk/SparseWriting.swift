import Model

/// Writes a file and leaves its long runs of zeros out, so that a file with holes has them again. A tree says nothing of holes,
/// and restic's own `restore --sparse` makes them by the same rule, if only of whole chunks.
package struct SparseWriting {
    /// Shorter runs are written: below that a hole saves next to nothing, and scatters the file.
    private static let shortest: UInt64 = 32 << 10
    /// What file systems allocate.
    private static let page = 4096
    private static let zeros = [UInt8](repeating: 0, count: Int(shortest))

    /// Zeros that are neither written nor left out yet.
    private var pending: UInt64 = 0

    package init() {}

    package mutating func write(_ bytes: UnsafeRawBufferPointer, to target: inout NewFile) throws(DiskError) {
        // What is not zero and stands together is written together.
        var start = 0
        var end = 0
        while end < bytes.count {
            let offset = target.size + pending + UInt64(end - start)
            let count = min(bytes.count - end, Self.page - Int(offset % UInt64(Self.page)))
            if Self.isZero(UnsafeRawBufferPointer(rebasing: bytes[end..<end + count])) {
                try put(bytes[start..<end], to: &target)
                pending += UInt64(count)
                start = end + count
            } else if pending > 0 {
                try finishRun(in: &target)
            }
            end += count
        }
        try put(bytes[start..<end], to: &target)
    }

    /// The end of the file: a hole there gives it its size.
    package mutating func finish(_ target: inout NewFile) throws(DiskError) {
        try finishRun(in: &target)
        try target.finishHole()
    }

    private func put(_ bytes: Slice<UnsafeRawBufferPointer>, to target: inout NewFile) throws(DiskError) {
        if !bytes.isEmpty { try target.write(UnsafeRawBufferPointer(rebasing: bytes)) }
    }

    private mutating func finishRun(in target: inout NewFile) throws(DiskError) {
        if pending >= Self.shortest {
            try target.skip(pending)
        } else if pending > 0 {
            try target.write(Array(Self.zeros[..<Int(pending)]))
        }
        pending = 0
    }

    private static func isZero(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var index = 0
        while index + 8 <= bytes.count {
            if bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self) != 0 { return false }
            index += 8
        }
        return bytes[index...].allSatisfy { $0 == 0 }
    }
}
