/// How many backups of a kind are kept.
public enum RetentionCount: Hashable, Sendable, CustomStringConvertible {
    /// At most so many, more than 0.
    case most(Int)
    case unlimited

    public var description: String {
        switch self {
        case .most(let count): "\(count)"
        case .unlimited: "unlimited"
        }
    }

    /// Reads a number, or `unlimited`, for which `-1` stands as well; 0 keeps none and is nil.
    static func read(_ text: String) throws(RetentionError) -> RetentionCount? {
        if text == "unlimited" || text == "-1" { return .unlimited }
        guard !text.isEmpty, text.utf8.count <= 9, text.utf8.allSatisfy({ 0x30...0x39 ~= $0 }), let count = Int(text)
        else {
            throw RetentionError("'\(printable(text.utf8.prefix(60)))' is no number of backups, nor 'unlimited'")
        }
        return count == 0 ? nil : .most(count)
    }
}

/// A part of the calendar of which one backup is kept: the newest in it.
public enum RetentionPeriod: String, CaseIterable, Hashable, Sendable {
    case hourly, daily, weekly, monthly, yearly

    /// Equal for times in the same part of the calendar, by the local clock of when they were made. Weeks begin on Monday.
    func bucket(of time: LocalTime) -> Int64 {
        let c = time.civil
        let day = LocalTime.days(year: c.year, month: c.month, day: c.day)
        return switch self {
        case .hourly: day * 24 + Int64(c.hour)
        case .daily: day
        // 1970-01-01 was a Thursday.
        case .weekly: (day + 3) >= 0 ? (day + 3) / 7 : (day + 3 - 6) / 7
        case .monthly: c.year * 12 + Int64(c.month)
        case .yearly: c.year
        }
    }
}

/// Which backups are worth keeping: decides as restic's `forget` does, and keeps a few more (promise 12).
public struct RetentionPolicy: Sendable, Equatable {
    /// The newest ones.
    public var last: RetentionCount?
    /// Of each of so many hours, days, … the newest.
    public var counts: [RetentionPeriod: RetentionCount] = [:]
    /// All that are not older than this, counted from the newest backup.
    public var within: RetentionSpan?
    /// The same, but of each hour, day, … only the newest.
    public var periodsWithin: [RetentionPeriod: RetentionSpan] = [:]
    /// All that have every tag of one of these lists. An empty tag stands for a backup without tags.
    public var tags: [[String]] = []
    /// Whether it decides also on backups that somebody named.
    public var includesNamed = false

    public init() {}

    /// Whether it keeps nothing at all.
    public var isEmpty: Bool {
        last == nil && counts.isEmpty && within == nil && periodsWithin.isEmpty && tags.isEmpty
    }
}

extension RetentionPolicy: CustomStringConvertible {
    /// What one text says: `last`, `hourly`, …, `within`, `within_hourly`, ….
    public static let keys =
        ["last"] + RetentionPeriod.allCases.map(\.rawValue)
        + ["within"] + RetentionPeriod.allCases.map { "within_\($0)" }

    /// Sets what a key of ``keys`` stands for: a count such as `7`, or a span such as `30d`.
    public mutating func set(_ key: String, to text: String) throws(RetentionError) {
        if key == "last" {
            last = try RetentionCount.read(text)
        } else if key == "within" {
            within = try RetentionSpan(text)
        } else if let period = RetentionPeriod(rawValue: key) {
            counts[period] = try RetentionCount.read(text)
        } else if let period = RetentionPeriod.allCases.first(where: { key == "within_\($0)" }) {
            periodsWithin[period] = try RetentionSpan(text)
        } else {
            throw RetentionError("there is no rule '\(printable(key.utf8.prefix(60)))'")
        }
    }

    /// Adds a list of tags, with commas between: a backup that has all of them is kept.
    public mutating func keep(tags text: String) {
        tags.append(text.split(separator: ",", omittingEmptySubsequences: false).map(String.init))
    }

    /// Such as `last 3, daily 7, within 30d`.
    public var description: String {
        var rules: [String] = []
        if let last { rules.append("last \(last)") }
        rules += RetentionPeriod.allCases.compactMap { period in counts[period].map { "\(period) \($0)" } }
        if let within { rules.append("within \(within)") }
        rules += RetentionPeriod.allCases.compactMap { period in
            periodsWithin[period].map { "\(period) within \($0)" }
        }
        rules += tags.map { "tagged \(RetentionReason.told($0))" }
        if includesNamed { rules.append("also of those named by hand") }
        return rules.isEmpty ? "nothing" : rules.joined(separator: ", ")
    }
}
