import Model

/// Reads untrusted JSON token by token, without making a tree of it: for large documents of a known shape.
///
///     try scanner.beginObject()
///     while let key = try scanner.nextKey() {
///         if key.isEqual(to: "size") { size = try scanner.unsigned() } else { try scanner.skipValue() }
///     }
///
/// Accepts what Go's decoder accepts where other programs write it: repeated keys, and halves of surrogate pairs, which stand for
/// U+FFFD. Beyond that RFC 8259, with no leniency. `bytes` must live as long as the scanner.
package struct JSONScanner {
    /// Forms of escapes that say which encoder wrote a text.
    package struct Forms: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// `\ufffd`.
        package static let replacement = Forms(rawValue: 1)
        /// `\u0008` or `\u000c`.
        package static let longControls = Forms(rawValue: 2)
    }

    private static let depthLimit = 64

    private let bytes: UnsafeRawBufferPointer
    package private(set) var position = 0
    /// Whether a value of the innermost container has just ended.
    private var followsValue = false
    /// Forms of the escapes in the strings that were read since this was emptied.
    package var forms: Forms = []

    package init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    // MARK: Containers

    package mutating func beginObject() throws(JSONError) {
        try expect(UInt8(ascii: "{"))
        followsValue = false
    }

    /// The next key of the object, as it is written between its quotes; nil behind the last one. Its value must be read next.
    package mutating func nextKey() throws(JSONError) -> UnsafeRawBufferPointer? {
        if try ends(with: UInt8(ascii: "}")) { return nil }
        let key = try rawString().text
        try expect(UInt8(ascii: ":"))
        followsValue = false
        return key
    }

    package mutating func beginArray() throws(JSONError) {
        try expect(UInt8(ascii: "["))
        followsValue = false
    }

    /// Whether another element comes, which must be read next.
    package mutating func nextElement() throws(JSONError) -> Bool {
        let isOver = try ends(with: UInt8(ascii: "]"))
        if !isOver { followsValue = false }
        return !isOver
    }

    /// Fails if anything but white space is left.
    package mutating func expectEnd() throws(JSONError) {
        skipSpace()
        if position < bytes.count { throw error("expected the end") }
    }

    // MARK: Values

    /// Reads `null` if it comes next.
    package mutating func isNull() -> Bool {
        skipSpace()
        guard position + 4 <= bytes.count,
            bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self).littleEndian == 0x6c6c_756e
        else { return false }
        position += 4
        followsValue = true
        return true
    }

    package mutating func unsigned() throws(JSONError) -> UInt64 {
        skipSpace()
        let start = position
        var value: UInt64 = 0
        var isTooLarge = false
        while position < bytes.count {
            let digit = bytes[position] &- UInt8(ascii: "0")
            guard digit < 10 else { break }
            let (tens, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = tens.addingReportingOverflow(UInt64(digit))
            isTooLarge = isTooLarge || overflow || carry
            value = sum
            position += 1
        }
        if isTooLarge { throw error("a number beyond 64 bits", at: start) }
        let isFraction = peek == UInt8(ascii: ".") || peek.map { $0 | 0x20 } == UInt8(ascii: "e")
        guard position > start, position == start + 1 || bytes[start] != UInt8(ascii: "0"), !isFraction else {
            throw error("expected a whole number", at: start)
        }
        followsValue = true
        return value
    }

    /// An unsigned number of 32 bits.
    package mutating func unsigned32() throws(JSONError) -> UInt32 {
        let start = position
        guard let value = UInt32(exactly: try unsigned()) else { throw error("a number beyond 32 bits", at: start) }
        return value
    }

    /// A string in which no escapes are expected, such as a hash or a time.
    package mutating func plainString() throws(JSONError) -> UnsafeRawBufferPointer {
        let start = position
        let (text, isPlain) = try rawString()
        if !isPlain { throw error("an escape where none is expected", at: start) }
        return text
    }

    /// 64 hexadecimal digits.
    package mutating func digest() throws(JSONError) -> SHA256Digest {
        let start = position
        guard let digest = SHA256Digest(hex: try plainString()) else { throw error("expected a hash", at: start) }
        return digest
    }

    /// A string as UTF-8. Where it is `expected`, which was read here before, nothing is allocated.
    package mutating func string(expecting expected: [UInt8] = []) throws(JSONError) -> [UInt8] {
        skipSpace()
        let start = position
        let (text, isPlain) = try rawString()
        if isPlain, text.isEqual(to: expected) { return expected }
        let result = isPlain ? Array(text) : try unescaped(text, at: start + 1)
        if !text.isASCII, String(validating: result, as: UTF8.self) == nil {
            throw error("a string that is not UTF-8", at: start)
        }
        return result
    }

    /// A value of any kind, as it is written.
    package mutating func rawValue() throws(JSONError) -> [UInt8] {
        skipSpace()
        let start = position
        try skipValue()
        return Array(bytes[start..<position])
    }

    package mutating func skipValue() throws(JSONError) {
        try skipValue(depth: 0)
    }

    private mutating func skipValue(depth: Int) throws(JSONError) {
        skipSpace()
        if depth > Self.depthLimit { throw error("nested more than \(Self.depthLimit) deep") }
        switch peek {
        case UInt8(ascii: "{"):
            try beginObject()
            while try nextKey() != nil { try skipValue(depth: depth + 1) }
        case UInt8(ascii: "["):
            try beginArray()
            while try nextElement() { try skipValue(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try rawString()
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default:
            // The longest number that a double can need has a few hundred characters.
            let text = Array(bytes[position..<min(bytes.count, position + 2000)])
            guard let end = JSONNumber.end(in: text, from: 0) else { throw error("expected a value") }
            position += end
        }
        followsValue = true
    }

    /// An error about what stands at `offset`, the next token if that is nil.
    package func error(_ message: String, at offset: Int? = nil) -> JSONError {
        JSONError(message, at: offset ?? position, of: bytes)
    }
}

// MARK: - Tokens

extension JSONScanner {
    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    @inline(__always)
    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    @inline(__always)
    private mutating func expect(_ byte: UInt8) throws(JSONError) {
        skipSpace()
        guard position < bytes.count, bytes[position] == byte else { throw lack(of: byte) }
        position += 1
    }

    private func lack(of byte: UInt8) -> JSONError { error("expected '\(Unicode.Scalar(byte))'") }

    /// Moves behind the end of the innermost container, or behind the comma before its next value.
    private mutating func ends(with closing: UInt8) throws(JSONError) -> Bool {
        skipSpace()
        if peek == closing {
            position += 1
            followsValue = true
            return true
        }
        if followsValue {
            try expect(UInt8(ascii: ","))
            skipSpace()
            if peek == closing { throw error("expected a value") }
        }
        return false
    }

    private mutating func literal(_ text: String) throws(JSONError) {
        guard bytes[position...].starts(with: text.utf8) else { throw error("expected a value") }
        position += text.utf8.count
    }

    /// What stands between the quotes of a string, and whether it has no escapes.
    private mutating func rawString() throws(JSONError) -> (text: UnsafeRawBufferPointer, isPlain: Bool) {
        try expect(UInt8(ascii: "\""))
        let start = position
        var index = start
        var isPlain = true
        while index < bytes.count {
            // Eight at once: most of a large document are hashes.
            if index + 8 <= bytes.count {
                let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self))
                let stops = Self.stops(in: word)
                index += stops == 0 ? 8 : stops.trailingZeroBitCount / 8
                if stops == 0 { continue }
            }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") {
                position = index + 1
                followsValue = true
                return (UnsafeRawBufferPointer(rebasing: bytes[start..<index]), isPlain)
            }
            if byte < 0x20 { throw error("a control character in a string", at: index) }
            if byte == UInt8(ascii: "\\") {
                isPlain = false
                index += 1
            }
            index += 1
        }
        position = bytes.count
        throw error("a string without an end", at: start - 1)
    }

    /// The lowest bit that is set is in the first of eight bytes that is a quote, a backslash or a control character; 0 if none is.
    @inline(__always)
    private static func stops(in word: UInt64) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
        let slashes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
        // A borrow reaches only what is above a byte that is found.
        let found =
            (word &- ones &* 0x20) & ~word | (quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes
        return found & (ones &* 0x80)
    }

    /// `text` without its escapes; it begins at `start`.
    private mutating func unescaped(_ text: UnsafeRawBufferPointer, at start: Int) throws(JSONError) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            if text[index] != UInt8(ascii: "\\") {
                result.append(text[index])
                index += 1
                continue
            }
            let letter = text[index + 1]
            index += 2
            switch letter {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): result.append(letter)
            case UInt8(ascii: "b"): result.append(0x08)
            case UInt8(ascii: "f"): result.append(0x0c)
            case UInt8(ascii: "n"): result.append(0x0a)
            case UInt8(ascii: "r"): result.append(0x0d)
            case UInt8(ascii: "t"): result.append(0x09)
            case UInt8(ascii: "u"):
                guard let scalar = scalar(in: text, &index) else {
                    throw error("an escape without four hexadecimal digits", at: start + index - 2)
                }
                result.append(contentsOf: UTF8.encode(scalar).unsafelyUnwrapped)
            default: throw error("an unknown escape", at: start + index - 2)
            }
        }
        return result
    }

    /// The scalar of the escape whose digits begin at `index`, which moves behind it.
    private mutating func scalar(in text: UnsafeRawBufferPointer, _ index: inout Int) -> Unicode.Scalar? {
        guard let first = Self.unit(in: text, at: index) else { return nil }
        index += 4
        if first == 0xfffd { forms.insert(.replacement) }
        if first == 0x08 || first == 0x0c { forms.insert(.longControls) }
        if let scalar = Unicode.Scalar(first) { return scalar }
        if first < 0xdc00, index + 1 < text.count, text[index] == UInt8(ascii: "\\"),
            text[index + 1] == UInt8(ascii: "u"), let second = Self.unit(in: text, at: index + 2),
            0xdc00...0xdfff ~= second
        {
            index += 6
            return Unicode.Scalar(0x10000 + (UInt32(first) - 0xd800) << 10 + (UInt32(second) - 0xdc00))
        }
        return "\u{fffd}"
    }

    private static func unit(in text: UnsafeRawBufferPointer, at index: Int) -> UInt16? {
        guard index + 4 <= text.count else { return nil }
        var value: UInt16 = 0
        for place in index..<index + 4 {
            guard let digit = SHA256Digest.value(ofHexDigit: text[place]) else { return nil }
            value = value << 4 | UInt16(digit)
        }
        return value
    }
}
