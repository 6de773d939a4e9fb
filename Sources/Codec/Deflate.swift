import CDeflate
import CZlib
import Model

/// Compresses to raw deflate streams (RFC 1951), each in one go. Owns memory that is used again and again: give each worker
/// its own.
package struct Deflate: ~Copyable {
    private let compressor: OpaquePointer

    /// `level`: libdeflate's, 1 (fast) to 12 (small).
    package init(level: Int32) {
        guard let compressor = libdeflate_alloc_compressor(level) else { fatalError("libdeflate: out of memory") }
        self.compressor = compressor
    }

    deinit {
        libdeflate_free_compressor(compressor)
    }

    /// How many bytes a stream of `count` bytes can take at most.
    package mutating func bound(_ count: Int) -> Int { libdeflate_deflate_compress_bound(compressor, count) }

    /// Returns how many bytes of `target` the stream takes; nil if it does not fit.
    package mutating func compress(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int?
    {
        let count = libdeflate_deflate_compress(
            compressor, bytes.baseAddress, bytes.count, target.baseAddress, target.count)
        return count > 0 ? count : nil
    }
}

// Proof for `@unchecked`: the compressor belongs to this value alone, the value can't be copied, and every use of it is in a
// `mutating` method, `init` or `deinit`, hence exclusive. libdeflate ties a compressor to no thread.
extension Deflate: @unchecked Sendable {}

/// Why a deflate stream cannot be used, as a clause.
package struct InflateError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// Decompresses raw deflate streams that are in memory, each in one go.
package struct Inflate: ~Copyable {
    private let decompressor: OpaquePointer

    package init() {
        guard let decompressor = libdeflate_alloc_decompressor() else { fatalError("libdeflate: out of memory") }
        self.decompressor = decompressor
    }

    deinit {
        libdeflate_free_decompressor(decompressor)
    }

    /// Fills `target`, whose size must be exactly that of the content; `stream` must end with the stream.
    package mutating func decompress(
        _ stream: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) throws(InflateError) {
        var consumed = 0
        let result = libdeflate_deflate_decompress_ex(
            decompressor, stream.baseAddress, stream.count, target.baseAddress, target.count, &consumed, nil)
        switch result {
        case LIBDEFLATE_SUCCESS where consumed == stream.count: return
        case LIBDEFLATE_SUCCESS: throw InflateError("bytes follow its compressed data")
        case LIBDEFLATE_SHORT_OUTPUT: throw InflateError("it holds less than its size says")
        case LIBDEFLATE_INSUFFICIENT_SPACE: throw InflateError("it holds more than its size says")
        default: throw InflateError("its compressed data is damaged")
        }
    }
}

// The same proof as for ``Deflate``.
extension Inflate: @unchecked Sendable {}

/// Decompresses one raw deflate stream that comes in pieces.
package struct InflateStream: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>
    /// Whether the stream's end was seen.
    package private(set) var isFinished = false

    package init() {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        guard zlib_start_raw_inflate(stream) == Z_OK else { fatalError("zlib: out of memory") }
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Ready for another stream.
    package mutating func reset() {
        inflateReset(stream)
        isFinished = false
    }

    /// Takes bytes of `input`, puts bytes into `output`. Returns how many of each; with none of either more input is needed.
    package mutating func step(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer
    ) throws(InflateError) -> (taken: Int, made: Int) {
        try step(input, into: output, flush: Z_NO_FLUSH)
    }

    private mutating func step(
        _ input: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer, flush: Int32
    ) throws(InflateError) -> (taken: Int, made: Int) {
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(input.count)
        stream.pointee.next_out = output.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(output.count)
        let result = inflate(stream, flush)
        switch result {
        case Z_STREAM_END: isFinished = true
        case Z_OK, Z_BUF_ERROR: break
        case Z_MEM_ERROR: fatalError("zlib: out of memory")
        default: throw InflateError("its compressed data is damaged")
        }
        return (input.count - Int(stream.pointee.avail_in), output.count - Int(stream.pointee.avail_out))
    }

    /// Where in a whole stream its last block begins and where it ends, in bits; `each` sees what the stream holds.
    ///
    /// zlib stops at each block's end if it is told to (`Z_BLOCK` in its manual).
    package mutating func lastBlock(
        of bytes: UnsafeRawBufferPointer, through buffer: UnsafeMutableRawBufferPointer,
        each: (UnsafeRawBufferPointer) -> Void
    ) throws(InflateError) -> (start: Int, end: Int) {
        reset()
        var (position, start, end) = (0, 0, 0)
        while true {
            let rest = UnsafeRawBufferPointer(rebasing: bytes[position...])
            let (taken, made) = try step(rest, into: buffer, flush: Z_BLOCK)
            position += taken
            each(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<made]))
            if isFinished {
                guard position == bytes.count else { break }
                return (start, end)
            }
            // Bits of the last byte taken that are not used yet; 128 says that a block has just ended, 64 that it was the last.
            let state = Int(stream.pointee.data_type)
            let bit = position * 8 - (state & 7)
            if state & 192 == 128 { start = bit }
            if state & 192 == 192 { end = bit }
            if taken == 0 && made == 0 { break }
        }
        throw InflateError("its compressed data is damaged")
    }
}

// The same proof as for ``Deflate``; zlib ties a stream to no thread.
extension InflateStream: @unchecked Sendable {}

/// CRC-32 as zip, gzip and zlib have it.
package enum CRC32 {
    /// The checksum of what `checksum` is of, followed by `bytes`; begin with 0.
    package static func update(_ checksum: UInt32, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        libdeflate_crc32(checksum, bytes.baseAddress, bytes.count)
    }

    /// The checksum of two parts, the second of which has `count` bytes.
    package static func combine(_ first: UInt32, _ second: UInt32, count: Int) -> UInt32 {
        UInt32(truncatingIfNeeded: crc32_combine(UInt(first), UInt(second), count))
    }
}
