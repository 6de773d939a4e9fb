import Codec
import Model

/// Writes JSON as Go's encoder does, byte for byte: IDs of trees are hashes of such texts. The caller puts in the brackets, keys
/// and commas.
///
/// Source: Go's package encoding/json with HTML escaping, `Time.MarshalJSON`, and `strconv.Quote` for names of nodes.
struct CanonicalWriter: ~Copyable {
    private var memory: UnsafeMutableRawBufferPointer
    private(set) var count = 0
    /// The time that was written last, and where: most nodes have the same one two or three times.
    private var lastTime: LocalTime?
    private var lastText = 0..<0

    init(capacity: Int = 64 << 10) {
        memory = .allocate(byteCount: max(64, capacity), alignment: 16)
    }

    deinit {
        memory.deallocate()
    }

    /// What was written so far.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: memory[..<count]) }

    mutating func reset() {
        count = 0
        lastTime = nil
    }

    // MARK: Raw bytes

    mutating func literal(_ text: StaticString) {
        append(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func append(_ bytes: UnsafeRawBufferPointer) {
        reserve(bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: bytes)
        count += bytes.count
    }

    mutating func append(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { append($0) }
    }

    @inline(__always)
    private mutating func append(_ byte: UInt8) {
        reserve(1)
        memory[count] = byte
        count += 1
    }

    @inline(__always)
    private mutating func reserve(_ size: Int) {
        if memory.count - count < size { grow(size) }
    }

    private mutating func grow(_ size: Int) {
        let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * memory.count + size, alignment: 16)
        larger.copyMemory(from: bytes)
        memory.deallocate()
        memory = larger
    }

    // MARK: Values

    mutating func unsigned(_ value: UInt64) {
        reserve(20)
        var digits = 1
        var rest = value
        while rest >= 10 {
            rest /= 10
            digits += 1
        }
        rest = value
        for place in stride(from: count + digits - 1, through: count, by: -1) {
            memory[place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        count += digits
    }

    /// In quotes.
    mutating func digest(_ digest: SHA256Digest) {
        reserve(66)
        append(UInt8(ascii: "\""))
        digest.withBytes { for byte in $0 { hex(byte) } }
        append(UInt8(ascii: "\""))
    }

    /// In quotes.
    mutating func base64(_ bytes: [UInt8]) {
        append(UInt8(ascii: "\""))
        append(Base64.encode(bytes))
        append(UInt8(ascii: "\""))
    }

    /// In quotes; years beyond 0 to 9999 become the nearest of them.
    mutating func time(_ time: LocalTime) {
        if time == lastTime {
            reserve(lastText.count)
            let text = UnsafeRawBufferPointer(rebasing: bytes[lastText])
            UnsafeMutableRawBufferPointer(rebasing: memory[count...]).copyMemory(from: text)
            count += text.count
            return
        }
        let start = count
        writeTime(time)
        (lastTime, lastText) = (time, start..<count)
    }

    private mutating func writeTime(_ time: LocalTime) {
        let civil = time.civil
        append(UInt8(ascii: "\""))
        decimal(Int(min(max(civil.year, 0), 9999)), digits: 4)
        append(UInt8(ascii: "-"))
        decimal(civil.month, digits: 2)
        append(UInt8(ascii: "-"))
        decimal(civil.day, digits: 2)
        append(UInt8(ascii: "T"))
        decimal(civil.hour, digits: 2)
        append(UInt8(ascii: ":"))
        decimal(civil.minute, digits: 2)
        append(UInt8(ascii: ":"))
        decimal(civil.second, digits: 2)
        fraction(time.moment.nanoseconds)
        zone(time.offset)
        append(UInt8(ascii: "\""))
    }

    private mutating func fraction(_ nanoseconds: UInt32) {
        guard nanoseconds > 0 else { return }
        var (value, digits) = (Int(nanoseconds), 9)
        while value % 10 == 0 {
            value /= 10
            digits -= 1
        }
        append(UInt8(ascii: "."))
        decimal(value, digits: digits)
    }

    private mutating func zone(_ offset: Int) {
        // As Go does it: whole minutes decide, and seconds are lost.
        let minutes = offset / 60
        guard offset != 0 else { return append(UInt8(ascii: "Z")) }
        append(minutes < 0 ? UInt8(ascii: "-") : UInt8(ascii: "+"))
        decimal(abs(minutes) / 60, digits: 2)
        append(UInt8(ascii: ":"))
        decimal(abs(minutes) % 60, digits: 2)
    }

    private mutating func decimal(_ value: Int, digits: Int) {
        reserve(digits)
        var rest = value
        for place in stride(from: count + digits - 1, through: count, by: -1) {
            memory[place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        count += digits
    }

    private mutating func hex(_ byte: UInt8) {
        append(SHA256Digest.hexDigit(byte >> 4))
        append(SHA256Digest.hexDigit(byte & 15))
    }

    // MARK: Strings

    /// A string in quotes. What is not UTF-8 is written as `\ufffd`, byte for byte.
    mutating func string(_ text: [UInt8], _ forms: JSONScanner.Forms = []) {
        append(UInt8(ascii: "\""))
        text.withUnsafeBytes { text in
            var index = 0
            while index < text.count {
                let byte = text[index]
                if byte < 0x80 {
                    ascii(byte, forms)
                    index += 1
                } else {
                    index += beyondASCII(text, index, forms)
                }
            }
        }
        append(UInt8(ascii: "\""))
    }

    @inline(__always)
    private mutating func ascii(_ byte: UInt8, _ forms: JSONScanner.Forms) {
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): escape(byte)
        case 0x0a: escape(UInt8(ascii: "n"))
        case 0x0d: escape(UInt8(ascii: "r"))
        case 0x09: escape(UInt8(ascii: "t"))
        case 0x08 where !forms.contains(.longControls): escape(UInt8(ascii: "b"))
        case 0x0c where !forms.contains(.longControls): escape(UInt8(ascii: "f"))
        case ..<0x20, UInt8(ascii: "<"), UInt8(ascii: ">"), UInt8(ascii: "&"):
            literal("\\u00")
            hex(byte)
        default: append(byte)
        }
    }

    /// Writes what begins at `index`; returns how many bytes it has.
    private mutating func beyondASCII(
        _ text: UnsafeRawBufferPointer, _ index: Int, _ forms: JSONScanner.Forms
    ) -> Int {
        guard let (scalar, length) = scalar(in: text, at: index) else {
            literal("\\ufffd")
            return 1
        }
        switch scalar {
        case "\u{2028}": literal("\\u2028")
        case "\u{2029}": literal("\\u2029")
        case "\u{fffd}" where forms.contains(.replacement): literal("\\ufffd")
        default: append(UnsafeRawBufferPointer(rebasing: text[index..<index + length]))
        }
        return length
    }

    private mutating func escape(_ letter: UInt8) {
        append(UInt8(ascii: "\\"))
        append(letter)
    }

    /// A name of a node in quotes: first as Go's `strconv.Quote` writes it, then as a string of JSON.
    mutating func name(_ name: [UInt8]) {
        append(UInt8(ascii: "\""))
        name.withUnsafeBytes { name in
            var index = 0
            while index < name.count {
                guard let (scalar, length) = scalar(in: name, at: index) else {
                    literal("\\\\x")
                    hex(name[index])
                    index += 1
                    continue
                }
                quote(scalar, UnsafeRawBufferPointer(rebasing: name[index..<index + length]))
                index += length
            }
        }
        append(UInt8(ascii: "\""))
    }

    private mutating func quote(_ scalar: Unicode.Scalar, _ bytes: UnsafeRawBufferPointer) {
        switch scalar {
        case "\"": literal("\\\\\\\"")
        case "\\": literal("\\\\\\\\")
        case "<", ">", "&":
            literal("\\u00")
            hex(bytes[0])
        case " "..."~": append(bytes[0])
        case "\u{7}": literal("\\\\a")
        case "\u{8}": literal("\\\\b")
        case "\u{c}": literal("\\\\f")
        case "\n": literal("\\\\n")
        case "\r": literal("\\\\r")
        case "\t": literal("\\\\t")
        case "\u{b}": literal("\\\\v")
        case ..<" ", "\u{7f}":
            literal("\\\\x")
            hex(bytes[0])
        default:
            if PrintableScalars.contain(scalar) { return append(bytes) }
            if scalar.value > 0xffff {
                literal("\\\\U")
                hex(0)
                hex(UInt8(scalar.value >> 16))
            } else {
                literal("\\\\u")
            }
            hex(UInt8(scalar.value >> 8 & 0xff))
            hex(UInt8(scalar.value & 0xff))
        }
    }
}

/// The scalar that begins at `index`, and its length; nil where no valid UTF-8 begins.
func scalar(in bytes: UnsafeRawBufferPointer, at index: Int) -> (Unicode.Scalar, Int)? {
    let first = bytes[index]
    if first < 0x80 { return (Unicode.Scalar(first), 1) }
    let length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2
    guard 0xc2...0xf4 ~= first, index + length <= bytes.count else { return nil }
    var value = UInt32(first) & (0x7f >> UInt32(length))
    for place in index + 1..<index + length {
        guard bytes[place] & 0xc0 == 0x80 else { return nil }
        value = value << 6 | UInt32(bytes[place] & 0x3f)
    }
    // Overlong forms; surrogates and what is beyond Unicode are no scalars.
    guard value >= (length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80) else { return nil }
    return Unicode.Scalar(value).map { ($0, length) }
}

/// Scalars that Go counts as printable in the Unicode version that restic's builds have.
private enum PrintableScalars {
    /// Restic's builds of 2025 (Go 1.25) know Unicode 15.0. What came later is quoted.
    private static let unicode = (major: 15, minor: 0)

    static func contain(_ scalar: Unicode.Scalar) -> Bool {
        let properties = scalar.properties
        switch properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            return false
        default:
            guard let age = properties.age else { return false }
            return (age.major, age.minor) <= unicode
        }
    }
}
