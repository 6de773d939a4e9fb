/// Bytes as text that is safe on a terminal and in a log: control characters, backslashes and whatever is not UTF-8
/// stand as `\ooo` (octal), so that no file name can move the cursor or start a line.
public func printable(_ bytes: some Sequence<UInt8>) -> String {
    let bytes = Array(bytes)
    if bytes.allSatisfy({ $0 >= 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }) {
        return String(decoding: bytes, as: UTF8.self)
    }
    var text = ""
    var rest = bytes[...]
    while let first = rest.first {
        if let scalar = leadingScalar(of: rest), isSafe(scalar) {
            text.unicodeScalars.append(scalar)
            rest = rest.dropFirst(UTF8.width(scalar))
        } else {
            text += escapedOctal(first)
            rest = rest.dropFirst()
        }
    }
    return text
}

/// The bytes that ``printable(_:)`` shows as `text`.
package func bytes(ofPrintable text: String) -> [UInt8] {
    var bytes: [UInt8] = []
    var rest = Array(text.utf8)[...]
    while let first = rest.popFirst() {
        let digits = rest.prefix(3)
        let value = digits.reduce(0) { $0 << 3 | Int($1 &- UInt8(ascii: "0")) }
        let isOctal = digits.count == 3 && digits.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "7") ~= $0 }
        if first == UInt8(ascii: "\\"), isOctal, value < 256 {
            bytes.append(UInt8(value))
            rest = rest.dropFirst(3)
        } else {
            bytes.append(first)
        }
    }
    return bytes
}

/// One byte as `\ooo`.
package func escapedOctal(_ byte: UInt8) -> String {
    let digits = String(byte, radix: 8)
    return "\\" + String(repeating: "0", count: 3 - digits.count) + digits
}

private func isSafe(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
    default: scalar != "\\"
    }
}

private func leadingScalar(of bytes: ArraySlice<UInt8>) -> Unicode.Scalar? {
    var decoder = UTF8()
    var iterator = bytes.prefix(4).makeIterator()
    guard case .scalarValue(let scalar) = decoder.decode(&iterator) else { return nil }
    return scalar
}

extension UTF8 {
    fileprivate static func width(_ scalar: Unicode.Scalar) -> Int {
        switch scalar.value {
        case ..<0x80: 1
        case ..<0x800: 2
        case ..<0x10000: 3
        default: 4
        }
    }
}
