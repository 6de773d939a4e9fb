import Model

/// Bytes in a line of a journal: everything outside `[A-Za-z0-9._+,/-]` stands as `\ooo`, so that fields can be split at
/// spaces and lines at LF.
enum EscapedBytes {
    static func append(_ bytes: some Sequence<UInt8>, to line: inout [UInt8]) {
        for byte in bytes {
            if isPlain[Int(byte)] {
                line.append(byte)
            } else {
                line.append(UInt8(ascii: "\\"))
                line.append(UInt8(ascii: "0") + byte >> 6)
                line.append(UInt8(ascii: "0") + byte >> 3 & 7)
                line.append(UInt8(ascii: "0") + byte & 7)
            }
        }
    }

    /// Nil unless `text` is what ``append(_:to:)`` makes of some bytes.
    static func decode(_ text: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            let byte = text[index]
            if isPlain[Int(byte)] {
                bytes.append(byte)
                index += 1
                continue
            }
            guard byte == UInt8(ascii: "\\"), text.endIndex - index >= 4 else { return nil }
            var value = 0
            for digit in text[index + 1..<index + 4] {
                guard UInt8(ascii: "0")...UInt8(ascii: "7") ~= digit else { return nil }
                value = value << 3 | Int(digit - UInt8(ascii: "0"))
            }
            guard value < 256, !isPlain[value] else { return nil }
            bytes.append(UInt8(value))
            index += 4
        }
        return bytes
    }

    private static let isPlain: [Bool] = (0..<256).map { value in
        switch UInt8(value) {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "._+,/-".utf8.contains(UInt8(value))
        }
    }
}
