/// Cuts content where its bytes say so: where the fingerprint of the last 64 bytes ends with 20 zero bits, from 512 KiB on, and
/// after 8 MiB at the latest.
///
/// The fingerprint depends on those 64 bytes alone, so four places are looked at in turn: one waits for the memory while the
/// others go on.
/// Source: restic's design document, "Backups and Deduplication"; the constants are those of its chunker.
package struct Chunker: Sendable {
    package static let minimum = 512 << 10
    package static let maximum = 8 << 20
    static let window = 64
    private static let mask: UInt64 = 1 << 20 - 1
    private static let shift = UInt64(ChunkerPolynomial.degree - 8)
    /// Bytes that each of the four lanes looks at in a round.
    private static let lane = 16 << 10

    /// `leaving[b]`: what the byte that leaves the window contributes, one byte later.
    private let leaving: [UInt64]
    /// `reducing[b]`: clears the 8 bits above the degree and adds their remainder.
    private let reducing: [UInt64]

    package init(_ polynomial: ChunkerPolynomial) {
        var leaving: [UInt64] = []
        var reducing: [UInt64] = []
        for byte in 0..<256 as Range<UInt64> {
            leaving.append((0..<Self.window).reduce(byte) { value, _ in polynomial.shifted(value) })
            let high = byte << ChunkerPolynomial.degree
            reducing.append(polynomial.remainder(high) | high)
        }
        self.leaving = leaving
        self.reducing = reducing
    }

    /// How long the first chunk of `bytes` is: 0 if there are none.
    ///
    /// `bytes` are the rest of the content, or its next ``maximum`` bytes or more.
    package func firstChunk(of bytes: UnsafeRawBufferPointer) -> Int {
        let end = min(bytes.count, Self.maximum)
        guard end > Self.minimum, let base = bytes.baseAddress else { return end }
        return leaving.withUnsafeBufferPointer { leaving in
            reducing.withUnsafeBufferPointer { reducing in
                guard let leaving = leaving.baseAddress, let reducing = reducing.baseAddress else { return end }
                let tables = Tables(leaving: leaving, reducing: reducing)
                return Self.cut(base.assumingMemoryBound(to: UInt8.self), end, tables)
            }
        }
    }

    private struct Tables {
        let leaving: UnsafePointer<UInt64>
        let reducing: UnsafePointer<UInt64>

        @inline(__always)
        func step(_ digest: UInt64, in byte: UInt8, out old: UInt8) -> UInt64 {
            (digest << 8 | UInt64(byte)) ^ reducing[Int(digest >> Chunker.shift)] ^ leaving[Int(old)]
        }

        /// The fingerprint of the 64 bytes before `place`.
        @inline(__always)
        func digest(before place: UnsafePointer<UInt8>) -> UInt64 {
            var digest: UInt64 = 0
            for index in -Chunker.window..<0 { digest = step(digest, in: place[index], out: 0) }
            return digest
        }
    }

    /// The first cut from ``minimum`` on; `end` if there is none before.
    private static func cut(_ bytes: UnsafePointer<UInt8>, _ end: Int, _ tables: Tables) -> Int {
        var position = minimum
        var digest = tables.digest(before: bytes + position)
        if digest & mask == 0 { return position }
        while end - position >= 4 * lane {
            if let cut = cutInLanes(bytes + position, &digest, tables) { return position + cut }
            position += 4 * lane
        }
        while position < end {
            digest = tables.step(digest, in: bytes[position], out: bytes[position - window])
            position += 1
            if digest & mask == 0 { return position }
        }
        return end
    }

    /// Looks at the next `4 * lane` bytes, `digest` being that of what stands before them and, if there is no cut, before what
    /// comes after them.
    private static func cutInLanes(_ a: UnsafePointer<UInt8>, _ digest: inout UInt64, _ tables: Tables) -> Int? {
        let (b, c, d) = (a + lane, a + 2 * lane, a + 3 * lane)
        var digestA = digest
        var (digestB, digestC) = (tables.digest(before: b), tables.digest(before: c))
        var digestD = tables.digest(before: d)
        // The first cut in each of the last three lanes.
        var (cutB, cutC, cutD) = (Int.max, Int.max, Int.max)
        for index in 0..<lane {
            let old = index - window
            digestA = tables.step(digestA, in: a[index], out: a[old])
            digestB = tables.step(digestB, in: b[index], out: b[old])
            digestC = tables.step(digestC, in: c[index], out: c[old])
            digestD = tables.step(digestD, in: d[index], out: d[old])
            if digestA & mask == 0 { return index + 1 }
            if digestB & mask == 0 { cutB = min(cutB, lane + index + 1) }
            if digestC & mask == 0 { cutC = min(cutC, 2 * lane + index + 1) }
            if digestD & mask == 0 { cutD = min(cutD, 3 * lane + index + 1) }
        }
        digest = digestD
        let cut = min(cutB, cutC, cutD)
        return cut == Int.max ? nil : cut
    }
}
