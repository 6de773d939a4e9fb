import Codec
import Model
import Workers

/// Memory for a piece of a large file, and in front of it for what is left of the piece before, which may be a chunk's beginning.
///
/// `@unchecked Sendable`: who shares one must order reading into it, putting something in front of it, and everything that looks at its
/// bytes. ``LargeFileSaving`` does that through a monitor: only who has taken the piece out of the free ones reads into it, and only who
/// cuts it puts something there; chunks are queued, and looked for, after that, and it is free again after the last of them was saved.
final class FilePiece: @unchecked Sendable {
    /// Bytes that are read at once: mostly several chunks.
    static let size = 4 << 20

    private let memory = Buffer(size: Chunker.maximum + size)

    /// Where the file is read into.
    var back: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: memory.bytes[Chunker.maximum...])
    }

    /// Copies what is left of the piece before, less than the largest chunk, in front of what was read.
    func put(_ left: UnsafeRawBufferPointer) {
        let front = memory.bytes[(Chunker.maximum - left.count)..<Chunker.maximum]
        UnsafeMutableRawBufferPointer(rebasing: front).copyMemory(from: left)
    }

    /// `range` counts from the beginning of what was read: what is in front of it has negative numbers.
    func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        let start = Chunker.maximum
        return UnsafeRawBufferPointer(
            rebasing: UnsafeRawBufferPointer(memory.bytes)[start + range.lowerBound..<start + range.upperBound])
    }
}

/// What is left of a piece, from when it is cut until the next one is.
///
/// `@unchecked Sendable`: as for ``FilePiece``; only who cuts touches it.
final class FileRest: @unchecked Sendable {
    private let memory = Buffer(size: Chunker.maximum)

    func take(_ bytes: UnsafeRawBufferPointer) { memory.bytes.copyMemory(from: bytes) }

    func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory.bytes)[..<count])
    }
}

/// What was read into a piece and is to be cut. Before that all workers look which of the parent's chunks are in it.
struct FilePart: Sendable {
    let piece: Int
    let isEnd: Bool
    let known: KnownChunks?
    /// What is not cut yet, and where its first byte is in the file.
    var range: Range<Int>
    var start: UInt64
    /// Numbers of the parent's chunks that may be in it, those of them that nobody looks for yet, how many were not found out about,
    /// and which are there.
    private(set) var probes = 0..<0
    private(set) var untaken = 0..<0
    private(set) var left = 0
    private(set) var found: Set<Int> = []

    init(_ piece: Int, _ range: Range<Int>, at start: UInt64, isEnd: Bool, _ known: KnownChunks?) {
        (self.piece, self.range, self.start, self.isEnd, self.known) = (piece, range, start, isEnd, known)
    }

    /// What begins where nothing is cut yet.
    enum Next {
        case found(SHA256Digest, length: Int)
        /// One of the parent's chunks began there: it was not looked for, or more must be read before.
        case unprobed, incomplete
        case unknown
    }

    var next: Next {
        guard let known, let number = known.number(at: start) else { return .unknown }
        if found.contains(number) { return .found(known.ids[number], length: known.length(of: number)) }
        if probes.contains(number) { return .unknown }
        if !candidates(known).isEmpty { return .unprobed }
        return known.length(of: number) > range.count ? .incomplete : .unknown
    }

    mutating func beginProbing() {
        guard let known else { return }
        probes = candidates(known)
        (untaken, left, found) = (probes, probes.count, [])
    }

    mutating func takeProbe() -> Int? { untaken.popFirst() }

    mutating func finishProbe(_ number: Int, isFound: Bool) {
        left -= 1
        if isFound { found.insert(number) }
    }

    private func candidates(_ known: KnownChunks) -> Range<Int> {
        known.chunks(from: start, count: range.count, isEnd: isEnd)
    }

    func range(of number: Int, _ known: KnownChunks) -> Range<Int> {
        let begin = range.lowerBound + Int(known.starts[number] - start)
        return begin..<begin + known.length(of: number)
    }

    /// Takes in what is left of the part before, which lies in front of it.
    mutating func extend(by length: Int) {
        range = range.lowerBound - length..<range.upperBound
        start -= UInt64(length)
    }

    mutating func advance(by length: Int) {
        range = range.lowerBound + length..<range.upperBound
        start += UInt64(length)
    }
}
