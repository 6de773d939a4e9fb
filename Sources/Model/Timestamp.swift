/// A moment: seconds since 1970-01-01 00:00:00 UTC, and nanoseconds (0..<1,000,000,000) after that second.
public struct Timestamp: Hashable, Comparable, Sendable {
    public var seconds: Int64
    public var nanoseconds: UInt32

    public init(seconds: Int64, nanoseconds: UInt32 = 0) {
        self.seconds = seconds
        self.nanoseconds = nanoseconds
    }

    public static func < (a: Timestamp, b: Timestamp) -> Bool {
        (a.seconds, a.nanoseconds) < (b.seconds, b.nanoseconds)
    }

    /// `seconds` later than this one; nanoseconds stay.
    public func adding(seconds delta: Int64) -> Timestamp {
        Timestamp(seconds: seconds &+ delta, nanoseconds: nanoseconds)
    }
}

/// A moment with the offset of local time from UTC at that moment.
public struct LocalTime: Hashable, Sendable {
    public var moment: Timestamp
    /// Seconds east of UTC.
    public var offset: Int

    public init(moment: Timestamp, offset: Int) {
        self.moment = moment
        self.offset = offset
    }
}

extension LocalTime {
    /// Year, month (1-12), day (1-31), hour, minute and second on the local clock.
    ///
    /// Source of the day arithmetic: the proleptic Gregorian calendar, counted in eras of 400 years.
    public var civil: (year: Int64, month: Int, day: Int, hour: Int, minute: Int, second: Int) {
        // Within a hundred million years: the numbers of a damaged time must not overflow.
        let limit: Int64 = 3_000_000_000_000_000
        let local = min(max(moment.seconds, -limit), limit) + Int64(min(max(offset, -86_400), 86_400))
        let days = local >= 0 ? local / 86_400 : (local - 86_399) / 86_400
        let rest = Int(local - days * 86_400)
        let date = Self.date(daysSince1970: days)
        return (date.year, date.month, date.day, rest / 3600, rest / 60 % 60, rest % 60)
    }

    /// `YYYYMMDD_HHMMSS`, as names of backups have it.
    public var compact: String {
        let c = civil
        return
            "\(padded(c.year, 4))\(padded(c.month))\(padded(c.day))_\(padded(c.hour))\(padded(c.minute))\(padded(c.second))"
    }

    /// RFC 3339 with offset, such as `2026-11-25T14:03:09.123456789+01:00`; no fraction where it is zero.
    public var rfc3339: String {
        let zone: String
        if offset == 0 {
            zone = "Z"
        } else {
            let minutes = abs(offset) / 60
            zone = "\(offset < 0 ? "-" : "+")\(padded(minutes / 60)):\(padded(minutes % 60))"
        }
        let fraction = moment.nanoseconds == 0 ? "" : ".\(padded(moment.nanoseconds, 9))"
        return "\(dateAndTime("T"))\(fraction)\(zone)"
    }

    /// What Python's `datetime.now().isoformat()` prints: no zone, microseconds left out when they are zero.
    public var naiveISO: String {
        let micros = moment.nanoseconds / 1000
        return dateAndTime("T") + (micros == 0 ? "" : ".\(padded(micros, 6))")
    }

    /// `YYYY-MM-DD HH:MM:SS`, for people.
    public var readable: String { dateAndTime(" ") }

    /// Reads RFC 3339 (with `T` or a space, a fraction of up to 9 digits, `Z` or an offset). Nil for anything else.
    public init?(rfc3339 text: String) {
        var scanner = TimeScanner(text)
        guard let moment = scanner.civilMoment(), let offset = scanner.zone(), scanner.isAtEnd else { return nil }
        self.init(moment: moment.adding(seconds: -Int64(offset)), offset: offset)
    }

    /// Reads a naive local time (``naiveISO``), taking `offset` as local time's offset from UTC.
    public init?(naiveISO text: String, offset: Int) {
        var scanner = TimeScanner(text)
        guard let moment = scanner.civilMoment(), scanner.isAtEnd else { return nil }
        self.init(moment: moment.adding(seconds: -Int64(offset)), offset: offset)
    }

    private func dateAndTime(_ separator: String) -> String {
        let c = civil
        return "\(padded(c.year, 4))-\(padded(c.month))-\(padded(c.day))\(separator)"
            + "\(padded(c.hour)):\(padded(c.minute)):\(padded(c.second))"
    }

    private static func date(daysSince1970 days: Int64) -> (year: Int64, month: Int, day: Int) {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = Int(shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9)
        let day = Int(dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
    }

    package static func days(year: Int64, month: Int, day: Int) -> Int64 {
        let y = month <= 2 ? year - 1 : year
        let era = (y >= 0 ? y : y - 399) / 400
        let yearOfEra = y - era * 400
        let dayOfYear = Int64((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1)
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}

/// `number` in decimal with at least `width` digits.
func padded(_ number: some BinaryInteger, _ width: Int = 2) -> String {
    let digits = String(number)
    return digits.count >= width ? digits : String(repeating: "0", count: width - digits.count) + digits
}

/// Reads the fixed-width fields of a time from left to right.
private struct TimeScanner {
    private var rest: Substring.UTF8View

    init(_ text: String) {
        rest = Substring(text).utf8
    }

    var isAtEnd: Bool { rest.isEmpty }

    mutating func civilMoment() -> Timestamp? {
        guard let year = digits(4), skip("-"), let month = digits(2), skip("-"), let day = digits(2),
            skip("T") || skip(" ") || skip("t"),
            let hour = digits(2), skip(":"), let minute = digits(2), skip(":"), let second = digits(2),
            1...12 ~= month, 1...31 ~= day, hour < 24, minute < 60, second < 61
        else { return nil }
        let days = LocalTime.days(year: Int64(year), month: month, day: day)
        let seconds = days * 86_400 + Int64(hour * 3600 + minute * 60 + second)
        guard skip(".") else { return Timestamp(seconds: seconds) }
        guard let nanoseconds = fraction() else { return nil }
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }

    mutating func zone() -> Int? {
        if skip("Z") || skip("z") { return 0 }
        let sign = skip("-") ? -1 : (skip("+") ? 1 : 0)
        guard sign != 0, let hours = digits(2), skip(":"), let minutes = digits(2), hours < 24, minutes < 60 else {
            return nil
        }
        return sign * (hours * 3600 + minutes * 60)
    }

    private mutating func fraction() -> UInt32? {
        var value: UInt32 = 0
        var count = 0
        while let byte = rest.first, UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte {
            guard count < 9 else { return nil }
            value = value * 10 + UInt32(byte - UInt8(ascii: "0"))
            count += 1
            rest = rest.dropFirst()
        }
        guard count > 0 else { return nil }
        for _ in count..<9 { value *= 10 }
        return value
    }

    private mutating func digits(_ count: Int) -> Int? {
        guard rest.count >= count else { return nil }
        var value = 0
        for byte in rest.prefix(count) {
            guard UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte else { return nil }
            value = value * 10 + Int(byte - UInt8(ascii: "0"))
        }
        rest = rest.dropFirst(count)
        return value
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard rest.first == UInt8(ascii: character) else { return false }
        rest = rest.dropFirst()
        return true
    }
}
