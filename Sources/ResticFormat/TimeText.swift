import Model

extension LocalTime {
    /// Reads RFC 3339 as Go writes it. Nil for anything else, days that a month does not have among it.
    init?(goText text: UnsafeRawBufferPointer) {
        guard text.count >= 20,
            let year = Self.number(text, 0, 4), text[4] == UInt8(ascii: "-"),
            let month = Self.number(text, 5, 2), text[7] == UInt8(ascii: "-"),
            let day = Self.number(text, 8, 2), text[10] == UInt8(ascii: "T"),
            let hour = Self.number(text, 11, 2), text[13] == UInt8(ascii: ":"),
            let minute = Self.number(text, 14, 2), text[16] == UInt8(ascii: ":"),
            let second = Self.number(text, 17, 2),
            1...12 ~= month, day >= 1, day <= Self.days(in: month, of: year), hour < 24, minute < 60, second < 60
        else { return nil }
        var index = 19
        var nanoseconds = 0
        if text[index] == UInt8(ascii: ".") {
            index += 1
            let start = index
            while index < text.count, let digit = Self.digit(text[index]) {
                if index - start < 9 { nanoseconds = nanoseconds * 10 + digit }
                index += 1
            }
            guard index > start else { return nil }
            for _ in min(9, index - start)..<9 { nanoseconds *= 10 }
        }
        guard let offset = Self.zone(text, index) else { return nil }
        let local = Self.days(year: Int64(year), month: month, day: day) * 86_400
        let seconds = local + Int64(hour * 3600 + minute * 60 + second - offset)
        self.init(moment: Timestamp(seconds: seconds, nanoseconds: UInt32(nanoseconds)), offset: offset)
    }

    /// Seconds east of UTC; nil unless a zone and nothing else begins at `index`.
    private static func zone(_ text: UnsafeRawBufferPointer, _ index: Int) -> Int? {
        guard index < text.count else { return nil }
        if text[index] == UInt8(ascii: "Z") { return index + 1 == text.count ? 0 : nil }
        guard text[index] == UInt8(ascii: "+") || text[index] == UInt8(ascii: "-"), index + 6 == text.count,
            let hours = number(text, index + 1, 2), text[index + 3] == UInt8(ascii: ":"),
            let minutes = number(text, index + 4, 2), hours < 24, minutes < 60
        else { return nil }
        return (text[index] == UInt8(ascii: "-") ? -1 : 1) * (hours * 3600 + minutes * 60)
    }

    private static func days(in month: Int, of year: Int) -> Int {
        switch month {
        case 4, 6, 9, 11: 30
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        default: 31
        }
    }

    private static func number(_ text: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> Int? {
        var value = 0
        for index in start..<start + count {
            guard let digit = digit(text[index]) else { return nil }
            value = value * 10 + digit
        }
        return value
    }

    @inline(__always)
    private static func digit(_ byte: UInt8) -> Int? {
        let value = byte &- UInt8(ascii: "0")
        return value < 10 ? Int(value) : nil
    }
}
