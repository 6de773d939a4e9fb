/// A span of time as a calendar counts it, such as `1y5m7d2h`: a month is as long as it happens to be.
public struct RetentionSpan: Hashable, Sendable, CustomStringConvertible {
    public let years: Int
    public let months: Int
    public let days: Int
    public let hours: Int

    init(years: Int = 0, months: Int = 0, days: Int = 0, hours: Int = 0) {
        (self.years, self.months, self.days, self.hours) = (years, months, days, hours)
    }

    /// Reads numbers with the units `y`, `m` (months), `d` and `h`, each at most once.
    public init(_ text: String) throws(RetentionError) {
        var units: [Character: Int] = [:]
        var digits = ""
        for character in text {
            if character.isASCII && character.isNumber {
                digits.append(character)
                continue
            }
            guard "ymdh".contains(character), units[character] == nil, digits.utf8.count <= 6,
                let number = Int(digits)
            else { throw RetentionError(span: text) }
            units[character] = number
            digits = ""
        }
        guard digits.isEmpty, units.values.contains(where: { $0 > 0 }) else { throw RetentionError(span: text) }
        self.init(years: units["y"] ?? 0, months: units["m"] ?? 0, days: units["d"] ?? 0, hours: units["h"] ?? 0)
    }

    public var description: String {
        [(years, "y"), (months, "m"), (days, "d"), (hours, "h")].map { $0 == 0 ? "" : "\($0)\($1)" }.joined()
    }

    /// The moment that lies this span before `time`. Years, months and days are taken off the date on the clock, and a day
    /// that its month does not have counts on into the next (a month before 31 March is 3 March, or 2 March); then the hours.
    ///
    /// `zone` tells how far local time is east of UTC, so that a day before noon is noon also where the clock was changed
    /// between. It counts for times of that zone; for any other the offset of `time` itself does.
    func before(_ time: LocalTime, zone: ((Timestamp) -> Int)?) -> Timestamp {
        let c = time.civil
        let month = c.year * 12 + Int64(c.month - 1) - Int64(years) * 12 - Int64(months)
        let year = month >= 0 ? month / 12 : (month - 11) / 12
        let first = LocalTime.days(year: year, month: Int(month - year * 12) + 1, day: 1)
        let seconds = (first + Int64(c.day - 1 - days)) * 86_400 + Int64((c.hour * 60 + c.minute) * 60 + c.second)
        let wall = Timestamp(seconds: seconds, nanoseconds: time.moment.nanoseconds)
        var offset = time.offset
        if let zone, zone(time.moment) == offset {
            // Of the two offsets around a change the one counts that is in force at the moment it leads to.
            offset = zone(wall.adding(seconds: -Int64(zone(wall))))
        }
        return wall.adding(seconds: -Int64(offset) - Int64(hours) * 3600)
    }
}

/// What a text is not that should be part of a retention policy.
public struct RetentionError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A clause, safe to print.
    public let description: String

    init(_ description: String) {
        self.description = description
    }

    init(span text: String) {
        self.init("'\(printable(text.utf8.prefix(60)))' is no span of time such as 30d or 1y5m7d2h")
    }
}
