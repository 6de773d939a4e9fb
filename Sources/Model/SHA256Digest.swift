/// A SHA-256 hash value: 32 bytes, kept in four words so that a hundred thousand of them need no allocation.
public struct SHA256Digest: Hashable, Sendable {
    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// 32 zero bytes.
    package init() {
        words = (0, 0, 0, 0)
    }

    /// Nil unless `bytes` are 32.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.init()
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
    }

    /// Nil unless `hex` is 64 lower- or upper-case hexadecimal digits.
    public init?(hex: some Collection<UInt8>) {
        let bytes = Array(hex.prefix(65))
        guard let digest = bytes.withUnsafeBytes({ SHA256Digest(hexBytes: $0) }) else { return nil }
        self = digest
    }

    /// The same for bytes in memory: not generic, for the lines of a manifest.
    package init?(hexBytes hex: UnsafeRawBufferPointer) {
        guard hex.count == 64 else { return nil }
        let digest = Array(hex).withRawBytes { SHA256Digest(hex: $0) }
        guard let digest else { return nil }
        self = digest
    }

    /// The same for bytes in memory: one of these stands in each line of a manifest.
    package init?(hex: UnsafeRawBufferPointer) {
        guard hex.count == 64 else { return nil }
        self.init()
        let valid = withUnsafeMutableBytes(of: &words) { bytes in
            var wrong: UInt64 = 0
            for part in 0..<8 {
                let digits = UInt64(littleEndian: hex.loadUnaligned(fromByteOffset: 8 * part, as: UInt64.self))
                let (value, error) = Self.values(ofHexDigits: digits)
                wrong |= error
                bytes.storeBytes(of: value.littleEndian, toByteOffset: 4 * part, as: UInt32.self)
            }
            return wrong == 0
        }
        guard valid else { return nil }
    }

    /// In some order that is always the same.
    package func precedes(_ other: SHA256Digest) -> Bool { words < other.words }

    /// Calls `body` with the 32 bytes.
    package func withBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        let copy = words
        return try withUnsafeBytes(of: copy, body)
    }

    /// Lets `body` fill in the 32 bytes.
    package mutating func withMutableBytes<R>(_ body: (UnsafeMutableRawBufferPointer) throws -> R) rethrows -> R {
        try withUnsafeMutableBytes(of: &words, body)
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String {
        withBytes { bytes in
            String(unsafeUninitializedCapacity: 64) { text in
                for (index, byte) in bytes.enumerated() {
                    text[2 * index] = Self.hexDigit(byte >> 4)
                    text[2 * index + 1] = Self.hexDigit(byte & 15)
                }
                return 64
            }
        }
    }

    @inline(__always)
    package static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? value + UInt8(ascii: "0") : value - 10 + UInt8(ascii: "a")
    }

    /// The four bytes that eight digits stand for, the first of them in the lowest byte; `error` is 0 if all are digits. Indexes and
    /// trees are mostly hashes: digits one by one take a tenth of the time of reading them.
    @inline(__always)
    private static func values(ofHexDigits digits: UInt64) -> (bytes: UInt32, error: UInt64) {
        let ones: UInt64 = 0x0101_0101_0101_0101
        // 1 in each byte that may be a letter, and all bits in them.
        let letters = digits >> 6 & ones
        let mask = letters &* 0xff
        // What is left of a digit or a letter of any case is 0 to 9, or 1 to 6.
        let rest = (digits ^ ((ones &* 0x30) & ~mask | (ones &* 0x40) & mask)) & ~((ones &* 0x20) & mask)
        let tooLarge = (rest & (ones &* 0x0f)) &+ ((ones &* 0x06) & ~mask | (ones &* 0x09) & mask)
        let tooSmall = mask & ~((rest & (ones &* 0x0f)) &+ (ones &* 0x0f))
        let error = rest & (ones &* 0xf0) | (tooLarge | tooSmall) & (ones &* 0x10)
        let values = rest &+ (letters &* 9)
        let pairs = (values << 4 | values >> 8) & 0x00ff_00ff_00ff_00ff
        let words = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff
        return (UInt32(truncatingIfNeeded: words | words >> 16), error)
    }

    @inline(__always)
    package static func value(ofHexDigit digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    public static func == (a: SHA256Digest, b: SHA256Digest) -> Bool {
        a.words == b.words
    }

    public func hash(into hasher: inout Hasher) {
        // Any eight bytes of a cryptographic hash spread well.
        hasher.combine(words.0)
    }
}
