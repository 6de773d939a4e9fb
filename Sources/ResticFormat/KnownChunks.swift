import Codec
import Model

/// The chunks that a backup has of a file, all of which the repository has, and where in the file they are.
struct KnownChunks: Sendable {
    let ids: [SHA256Digest]
    /// Where each begins, and where the last one ends.
    let starts: [UInt64]

    /// Nil if there is no such file, or if a chunk of it is lost, or none of ours could be like it.
    init?(_ contents: RepositoryContents, _ path: EntryPath, _ index: BlobIndex) {
        guard let file = contents.table.index(of: path), contents.table.kind(of: file) == .file else { return nil }
        ids = contents.content(of: file)
        var starts: [UInt64] = [0]
        for (ordinal, id) in ids.enumerated() {
            guard let number = index.number(of: BlobKey(.data, id)) else { return nil }
            let length = index.place(number).contentLength
            // Only the last one may be shorter than the shortest that is cut.
            let least = ordinal == ids.count - 1 ? 1 : Chunker.minimum
            guard least...Chunker.maximum ~= length else { return nil }
            starts.append((starts.last ?? 0) + UInt64(length))
        }
        self.starts = starts
    }

    func length(of number: Int) -> Int { Int(starts[number + 1] - starts[number]) }

    /// The number of the chunk that begins at `position`.
    func number(at position: UInt64) -> Int? {
        let number = firstNumber(notBefore: position)
        return number < ids.count && starts[number] == position ? number : nil
    }

    /// The chunks that may lie in the `count` bytes from `position` on, where one must begin: only then has nothing moved. The last one
    /// ended where the file did, and is one only if it does so again.
    func chunks(from position: UInt64, count: Int, isEnd: Bool) -> Range<Int> {
        guard let first = number(at: position) else { return 0..<0 }
        let end = position + UInt64(count)
        var last = firstNumber(notBefore: end)
        if last > ids.count || starts[last] > end { last -= 1 }
        if last == ids.count, !(isEnd && starts[last] == end) { last -= 1 }
        return first..<max(first, last)
    }

    /// Bytes to be read from `position` on: up to the end of a chunk, if another one follows, so that little is left of what is read; else
    /// as many as there may be.
    func bytes(from position: UInt64, atMost most: Int) -> Int {
        let number = firstNumber(notBefore: position + UInt64(most)) - 1
        guard number > 0, number < ids.count - 1, starts[number] > position else { return most }
        return Int(starts[number] - position)
    }

    /// The number of the first chunk, or the end, that is not before `position`; one more than the end's if all are.
    private func firstNumber(notBefore position: UInt64) -> Int {
        var (low, high) = (0, starts.count)
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] < position { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
