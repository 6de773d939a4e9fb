/// What becomes of a backup, and why.
public struct RetentionDecision: Sendable {
    public let backup: Backup
    public let isKept: Bool
    /// All of them; never empty.
    public let reasons: [RetentionReason]
}

/// How much a backup is worth. One that is worth less never takes the place of one that is worth more.
public enum RetentionStanding: Int, CaseIterable, Comparable, Sendable {
    case whole, incomplete, damaged

    public static func < (a: RetentionStanding, b: RetentionStanding) -> Bool { a.rawValue < b.rawValue }
}

extension Backup {
    public var standing: RetentionStanding {
        if case .damaged = state { return .damaged }
        return isIncomplete ? .incomplete : .whole
    }

    /// The safety backup before a restore, by what is recorded or by its name.
    var isSafetyBackup: Bool { trigger == .preRestore || (givenName ?? name).defaultPrefix == .preRestore }

    var isNamedByHand: Bool { (givenName ?? name).defaultPrefix == nil && !isSafetyBackup }

    public var isVerified: Bool {
        if case .verified = state { return true }
        return false
    }
}

/// Why a backup is kept, or removed.
public enum RetentionReason: Hashable, Sendable {
    /// One of the newest: the how manieth of how many.
    case last(Int, of: RetentionCount, RetentionStanding)
    /// The newest of its hour, day, …; or the oldest of all, as long as there is a slot for it.
    case period(RetentionPeriod, Int, of: RetentionCount, RetentionStanding, isOldest: Bool)
    case within(RetentionSpan)
    case periodWithin(RetentionPeriod, RetentionSpan, RetentionStanding, isOldest: Bool)
    case tagged([String])
    /// By the rule of safety backups.
    indirect case safety(RetentionReason)
    /// The newest complete one; or, where none is complete, the newest that is not damaged.
    case newest(isVerified: Bool, RetentionStanding)
    case future
    case named
    /// It is removed, as nothing speaks for it.
    case noRule(RetentionStanding, isSafety: Bool)
}

extension RetentionReason: CustomStringConvertible {
    static func told(_ tags: [String]) -> String {
        tags == [""] ? "with nothing" : tags.map { printable($0.utf8) }.joined(separator: ",")
    }

    /// In plain words, such as `daily 3 of 7`.
    public var description: String {
        switch self {
        case .last(let place, let count, let standing):
            Self.slot("last", place, count, standing, isOldest: false)
        case .period(let period, let place, let count, let standing, let isOldest):
            Self.slot("\(period)", place, count, standing, isOldest: isOldest)
        case .within(let span): "within \(span)"
        case .periodWithin(let period, let span, let standing, let isOldest):
            "\(period) within \(span)\(Self.among(standing, isOldest: isOldest))"
        case .tagged(let tags): "tagged \(Self.told(tags))"
        case .safety(let reason): "safety: \(reason)"
        case .newest(let isVerified, let standing):
            standing == .whole
                ? "newest complete, \(isVerified ? "verified" : "not verified yet")"
                : "newest, as none is complete, \(isVerified ? "verified" : "not verified yet")"
        case .future: "from the future"
        case .named: "named by hand"
        case .noRule(let standing, let isSafety):
            "\(standing == .whole ? "" : "\(standing), ")\(isSafety ? "a safety backup of long ago" : "no rule keeps it")"
        }
    }

    private static func slot(
        _ word: String, _ place: Int, _ count: RetentionCount, _ standing: RetentionStanding, isOldest: Bool
    ) -> String {
        let of = count == .unlimited ? "" : " of \(count)"
        return "\(word) \(place)\(of)\(among(standing, isOldest: isOldest))"
    }

    /// Incomplete and damaged ones are counted by themselves.
    private static func among(_ standing: RetentionStanding, isOldest: Bool) -> String {
        (standing == .whole ? "" : " \(standing)") + (isOldest ? " as the oldest" : "")
    }
}
