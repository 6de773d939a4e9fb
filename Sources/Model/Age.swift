/// A length of time in seconds, such as the age of a backup: `26h`, `1d12h`.
public struct Age: Hashable, Comparable, Sendable {
    public let seconds: Int64

    public init(seconds: Int64) {
        self.seconds = seconds
    }

    private static let units: [(letter: Character, seconds: Int64, name: String)] = [
        ("w", 604_800, "week"), ("d", 86_400, "day"), ("h", 3600, "hour"), ("m", 60, "minute"), ("s", 1, "second"),
    ]

    /// Reads numbers with the units `w`, `d`, `h`, `m` (minutes) and `s`, each at most once.
    public init(_ text: String) throws(AgeError) {
        var used: Set<Character> = []
        var digits = ""
        var seconds: Int64 = 0
        for character in text {
            if character.isASCII && character.isNumber {
                digits.append(character)
                continue
            }
            guard let unit = Self.units.first(where: { $0.letter == character }), used.insert(character).inserted,
                digits.utf8.count <= 6, let number = Int64(digits)
            else { throw AgeError(text) }
            seconds += number * unit.seconds
            digits = ""
        }
        guard digits.isEmpty, seconds > 0 else { throw AgeError(text) }
        self.seconds = seconds
    }

    public static func < (a: Age, b: Age) -> Bool { a.seconds < b.seconds }
}

extension Age: CustomStringConvertible {
    /// Rounded down, in the largest unit of which there are two: `90 minutes`, `26 hours`, `3 days`.
    public var description: String {
        let length = seconds.magnitude
        let unit =
            Self.units.dropFirst().first { length >= $0.seconds.magnitude * 2 } ?? (
                letter: "s", seconds: 1, name: "second"
            )
        let count = length / unit.seconds.magnitude
        return "\(count) \(unit.name)\(count == 1 ? "" : "s")"
    }
}

/// A text that is no ``Age``.
public struct AgeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A clause, safe to print.
    public let description: String

    init(_ text: String) {
        description = "'\(printable(text.utf8.prefix(60)))' is no length of time such as 26h, 90m, 7d or 2w"
    }
}
