import Codec
import Model
import Storage
import Workers

/// Reads blobs of packs, those that stand one behind the other in one go, into memory that is used again.
struct PackReader: ~Copyable {
    /// Bytes that are read at once, unless a blob has more.
    private static let pieceSize = 4 << 20
    /// What lies between two blobs is read, too, up to so many bytes: that costs less than another request.
    private static let gapLimit: UInt32 = 32 << 10

    private var buffer = Buffer(size: PackReader.pieceSize)

    /// Which of `blobs`, which rise by their offsets, are read in one go each.
    static func pieces(of blobs: [PackedBlob]) -> [Range<Int>] {
        var pieces: [Range<Int>] = []
        var start = 0
        while start < blobs.count {
            var next = start + 1
            while next < blobs.count {
                let (before, place) = (blobs[next - 1].place, blobs[next].place)
                guard place.offset >= before.end, place.offset - before.end <= gapLimit,
                    Int(place.end - blobs[start].place.offset) <= pieceSize
                else { break }
                next += 1
            }
            pieces.append(start..<next)
            start = next
        }
        return pieces
    }

    /// The messages of the blobs of a piece, in their order. They stay until the next call.
    mutating func read(
        _ pack: SHA256Digest, _ piece: ArraySlice<PackedBlob>, from backend: any Backend
    ) throws(StorageError) -> [UnsafeMutableRawBufferPointer] {
        guard let first = piece.first?.place, let last = piece.last?.place else { return [] }
        let start = Int(first.offset)
        let size = Int(last.end) - start
        if buffer.bytes.count < size { buffer = Buffer(size: size + size / 4) }
        let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[..<size])
        try backend.read(.pack(pack), at: UInt64(start), into: bytes)
        return piece.map { blob in
            UnsafeMutableRawBufferPointer(
                rebasing: bytes[(Int(blob.place.offset) - start)..<(Int(blob.place.end) - start)])
        }
    }
}
