/// A number as it was written, to the last digit.
package struct JSONNumber: Sendable {
    package let text: String

    /// Nil unless `text` is a number by RFC 8259's grammar, and nothing else.
    package init?(_ text: String) {
        let bytes = Array(text.utf8)
        guard let end = Self.end(in: bytes, from: 0), end == bytes.count else { return nil }
        self.text = text
    }

    /// The shortest text that reads back as `value`; nil unless it is finite.
    package init?(_ value: Double) {
        guard value.isFinite else { return nil }
        text = value.description
    }

    /// For text that ``end(in:from:)`` accepted.
    init(accepted text: String) {
        self.text = text
    }

    /// The place behind the number that starts at `start`; nil if none starts there.
    static func end(in bytes: [UInt8], from start: Int) -> Int? {
        func byte(_ index: Int) -> UInt8 { index < bytes.count ? bytes[index] : 0 }
        func afterDigits(from start: Int) -> Int? {
            var end = start
            while UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte(end) { end += 1 }
            return end > start ? end : nil
        }

        let integer = byte(start) == UInt8(ascii: "-") ? start + 1 : start
        let leadingZero = byte(integer) == UInt8(ascii: "0")
        guard var end = leadingZero ? integer + 1 : afterDigits(from: integer) else { return nil }
        if byte(end) == UInt8(ascii: ".") {
            guard let fraction = afterDigits(from: end + 1) else { return nil }
            end = fraction
        }
        if byte(end) | 0x20 == UInt8(ascii: "e") {
            let signed = byte(end + 1) == UInt8(ascii: "+") || byte(end + 1) == UInt8(ascii: "-")
            guard let exponent = afterDigits(from: end + (signed ? 2 : 1)) else { return nil }
            end = exponent
        }
        return end
    }
}
