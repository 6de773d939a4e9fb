import CZstd
import Model

/// Why a zstd frame cannot be used, as a clause.
package struct ZstdError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}

/// Compresses to zstd frames (RFC 8878), each in one go, without dictionary and checksum. Owns memory that is used again and
/// again: give each worker its own.
package struct ZstdCompressor: ~Copyable {
    private let context: OpaquePointer

    /// `level`: zstd's, 1 (fast) to 19 (small); windows stay within 8 MiB, so that every reader takes the frames.
    package init(level: Int32 = 3) {
        guard let context = ZSTD_createCCtx() else { fatalError("zstd: out of memory") }
        self.context = context
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, min(level, 19))
    }

    /// What is known of the bytes.
    package enum Content {
        /// JSON that is mostly hexadecimal digits of hashes. Short matches among them save less than they cost: without those, the
        /// frames are a twentieth smaller than at level 3, and done in less than half of the time.
        case hexadecimalText
    }

    package init(_ content: Content) {
        self.init(level: 1)
        switch content {
        case .hexadecimalText:
            ZSTD_CCtx_setParameter(context, ZSTD_c_strategy, Int32(ZSTD_fast.rawValue))
            ZSTD_CCtx_setParameter(context, ZSTD_c_minMatch, 7)
            ZSTD_CCtx_setParameter(context, ZSTD_c_hashLog, 12)
        }
    }

    deinit {
        ZSTD_freeCCtx(context)
    }

    /// How many bytes a frame of `count` bytes can take at most.
    package static func bound(_ count: Int) -> Int { ZSTD_compressBound(count) }

    /// Returns how many bytes of `target` the frame takes; nil if it does not fit.
    package mutating func compress(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer) -> Int?
    {
        let count = ZSTD_compress2(context, target.baseAddress, target.count, bytes.baseAddress, bytes.count)
        return ZSTD_isError(count) == 0 ? count : nil
    }

    /// `bytes` as a frame.
    package mutating func compress(_ bytes: [UInt8]) -> [UInt8] {
        let bound = Self.bound(bytes.count)
        return [UInt8](unsafeUninitializedCapacity: bound) { buffer, filled in
            let target = UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: bound)
            guard let count = bytes.withUnsafeBytes({ compress($0, into: target) }) else {
                fatalError("zstd: out of memory")
            }
            filled = count
        }
    }
}

/// Decompresses zstd frames that are in memory. What stands in them is not trusted: they may say anything of their size.
package struct ZstdDecompressor: ~Copyable {
    /// The largest window of a frame that is read in pieces, as a power of two: 128 MiB.
    private static let windowLog: Int32 = 27

    private let context: OpaquePointer

    package init() {
        guard let context = ZSTD_createDCtx() else { fatalError("zstd: out of memory") }
        self.context = context
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.windowLog)
    }

    deinit {
        ZSTD_freeDCtx(context)
    }

    /// Fills `target`, whose size must be exactly that of the content; `frame` must be one frame and nothing else.
    package mutating func decompress(
        _ frame: UnsafeRawBufferPointer, into target: UnsafeMutableRawBufferPointer
    ) throws(ZstdError) {
        guard ZSTD_findFrameCompressedSize(frame.baseAddress, frame.count) == frame.count else {
            throw ZstdError("its compressed data is damaged")
        }
        let count = ZSTD_decompressDCtx(context, target.baseAddress, target.count, frame.baseAddress, frame.count)
        if ZSTD_isError(count) != 0 {
            let isTooLarge = ZSTD_getErrorCode(count) == ZSTD_error_dstSize_tooSmall
            throw ZstdError(isTooLarge ? "it holds more than its size says" : "its compressed data is damaged")
        }
        guard count == target.count else { throw ZstdError("it holds less than its size says") }
    }

    /// Begins a frame that comes in pieces.
    package mutating func begin() { ZSTD_DCtx_reset(context, ZSTD_reset_session_only) }

    /// Takes the next piece of the frame; `each` is called with what it holds, which stands in `buffer`.
    package mutating func add(
        _ piece: UnsafeRawBufferPointer, through buffer: UnsafeMutableRawBufferPointer,
        _ each: (UnsafeRawBufferPointer) -> Void
    ) throws(ZstdError) {
        var input = ZSTD_inBuffer(src: piece.baseAddress, size: piece.count, pos: 0)
        while true {
            var output = ZSTD_outBuffer(dst: buffer.baseAddress, size: buffer.count, pos: 0)
            let rest = ZSTD_decompressStream(context, &output, &input)
            if ZSTD_isError(rest) != 0 { throw ZstdError("its compressed data is damaged") }
            each(UnsafeRawBufferPointer(rebasing: buffer[..<output.pos]))
            if input.pos == input.size, output.pos < output.size { return }
            if rest == 0 {
                guard input.pos == input.size else { throw ZstdError("bytes follow its compressed data") }
                return
            }
        }
    }

    /// The content of `frame`, one frame and nothing else, of a size that nobody but the frame tells: at most `limit` bytes.
    package mutating func decompress(_ frame: UnsafeRawBufferPointer, limit: Int) throws(ZstdError) -> [UInt8] {
        ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
        var content: [UInt8] = []
        var input = ZSTD_inBuffer(src: frame.baseAddress, size: frame.count, pos: 0)
        let failure: ZstdError? = withUnsafeTemporaryAllocation(byteCount: 128 << 10, alignment: 16) { piece in
            while true {
                var output = ZSTD_outBuffer(dst: piece.baseAddress, size: piece.count, pos: 0)
                let rest = ZSTD_decompressStream(context, &output, &input)
                if ZSTD_isError(rest) != 0 { return ZstdError("its compressed data is damaged") }
                content.append(contentsOf: UnsafeRawBufferPointer(rebasing: piece[..<output.pos]))
                if content.count > limit { return ZstdError("it holds more than \(limit) bytes") }
                if rest == 0 { return nil }
                if input.pos == input.size, output.pos < output.size {
                    return ZstdError("its compressed data is cut off")
                }
            }
        }
        if let failure { throw failure }
        guard input.pos == input.size else { throw ZstdError("bytes follow its compressed data") }
        return content
    }
}
