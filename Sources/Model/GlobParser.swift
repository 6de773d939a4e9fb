/// Compiles the wildcards of a pattern with git's rules (its documentation of gitignore, and what `git check-ignore`
/// does where that is silent). Bytes are bytes: `?` and brackets stand for one byte, not for one character of UTF-8.
struct GlobParser {
    private var rest: ArraySlice<UInt8>
    /// Whether the pattern stands for a whole path, where `**` means any depth; in a pattern for names it is a `*`.
    private let spansPath: Bool
    private var glob = Glob()

    static func parse(_ pattern: ArraySlice<UInt8>, spansPath: Bool) throws(ExclusionError.Reason) -> Glob {
        var parser = GlobParser(rest: pattern, spansPath: spansPath)
        while try parser.component() {}
        parser.closeTrailingDepth()
        return parser.glob
    }

    private init(rest: ArraySlice<UInt8>, spansPath: Bool) {
        self.rest = rest
        self.spansPath = spansPath
    }

    /// Reads a component; false if it is the last one.
    private mutating func component() throws(ExclusionError.Reason) -> Bool {
        let raw = rest
        let start = glob.elements.count
        while !rest.isEmpty {
            let end = rest.startIndex
            if skipSlash() {
                try endComponent(from: start, raw: raw[..<end])
                return true
            }
            let element = try element()
            // Two stars in a row match what one does.
            let repeats = element == .star && glob.elements[start...].last == .star
            if !repeats { glob.elements.append(element) }
        }
        try endComponent(from: start, raw: raw)
        return false
    }

    /// Skips a slash, which is one also where it is escaped.
    private mutating func skipSlash() -> Bool {
        if rest.first == UInt8(ascii: "/") {
            rest.removeFirst()
        } else if rest.starts(with: "\\/".utf8) {
            rest.removeFirst(2)
        } else {
            return false
        }
        return true
    }

    private mutating func element() throws(ExclusionError.Reason) -> Glob.Element {
        switch rest.removeFirst() {
        case UInt8(ascii: "*"): return .star
        case UInt8(ascii: "?"): return .anyByte
        case UInt8(ascii: "["): return .oneOf(try set())
        case UInt8(ascii: "\\"):
            guard let escaped = rest.popFirst() else { throw .danglingBackslash }
            return .byte(escaped)
        case let byte: return .byte(byte)
        }
    }

    private mutating func endComponent(from start: Int, raw: ArraySlice<UInt8>) throws(ExclusionError.Reason) {
        let elements = glob.elements[start...]
        if elements.isEmpty { throw .emptyComponent }
        if let literal = glob.literal(elements), literal == [0x2e] || literal == [0x2e, 0x2e] { throw .dotComponent }
        if spansPath && elements == [.star] && raw.count > 1 {
            glob.elements.removeLast()
            glob.parts.append(.anyDepth)
        } else {
            glob.parts.append(.component(start..<glob.elements.count))
        }
    }

    /// `a/**` is everything in `a`, and not `a` itself: the `**` at the end takes at least one component.
    private mutating func closeTrailingDepth() {
        guard glob.parts.last == .anyDepth else { return }
        glob.elements.append(.star)
        glob.parts.insert(.component((glob.elements.count - 1)..<glob.elements.count), at: glob.parts.count - 1)
    }
}

// MARK: - Brackets

extension GlobParser {
    /// What is between `[` (just read) and its `]`.
    private mutating func set() throws(ExclusionError.Reason) -> ByteSet {
        var set = ByteSet()
        let isNegated = rest.first == UInt8(ascii: "!") || rest.first == UInt8(ascii: "^")
        if isNegated { rest.removeFirst() }
        var previous: UInt8?
        // A `]` that comes first is a member.
        repeat {
            previous = try member(of: &set, after: previous)
        } while rest.first != UInt8(ascii: "]")
        rest.removeFirst()
        if isNegated { set.invert() }
        return set
    }

    /// Adds a byte, the rest of a range, or a class. Gives back the byte that a `-` would continue from.
    private mutating func member(
        of set: inout ByteSet, after previous: UInt8?
    ) throws(ExclusionError.Reason) -> UInt8? {
        let byte = try memberByte()
        if byte == UInt8(ascii: "["), let name = className() {
            guard let belongs = Self.classes[name] else { throw .unknownClass(name) }
            set.insert(where: belongs)
            return nil
        }
        if byte == UInt8(ascii: "-"), let low = previous, let next = rest.first, next != UInt8(ascii: "]") {
            let high = try unescaped(try memberByte())
            set.insert { low <= $0 && $0 <= high }
            return nil
        }
        let member = try unescaped(byte)
        set.insert(member)
        return member
    }

    private mutating func memberByte() throws(ExclusionError.Reason) -> UInt8 {
        guard let byte = rest.popFirst() else { throw .unclosedBracket }
        return byte
    }

    private mutating func unescaped(_ byte: UInt8) throws(ExclusionError.Reason) -> UInt8 {
        byte == UInt8(ascii: "\\") ? try memberByte() : byte
    }

    /// The name in `[:name:]`, of which the first `[` has just been read; nil, and nothing more read, for anything
    /// else.
    private mutating func className() -> String? {
        guard rest.first == UInt8(ascii: ":"), let end = rest.dropFirst().firstIndex(of: UInt8(ascii: "]")) else {
            return nil
        }
        let inside = rest[rest.startIndex + 1..<end]
        guard inside.last == UInt8(ascii: ":") else { return nil }
        rest = rest[(end + 1)...]
        return printable(inside.dropLast())
    }

    /// In the C locale, where no byte above 127 belongs to any.
    private static let classes: [String: @Sendable (UInt8) -> Bool] = [
        "alnum": { isAlphabetic($0) || isDigit($0) },
        "alpha": { isAlphabetic($0) },
        "blank": { $0 == 0x20 || $0 == 0x09 },
        "cntrl": { $0 < 0x20 || $0 == 0x7f },
        "digit": { isDigit($0) },
        "graph": { 0x21...0x7e ~= $0 },
        "lower": { UInt8(ascii: "a")...UInt8(ascii: "z") ~= $0 },
        "print": { 0x20...0x7e ~= $0 },
        "punct": { 0x21...0x7e ~= $0 && !isAlphabetic($0) && !isDigit($0) },
        "space": { $0 == 0x20 || 0x09...0x0d ~= $0 },
        "upper": { UInt8(ascii: "A")...UInt8(ascii: "Z") ~= $0 },
        "xdigit": { isDigit($0) || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0 | 0x20 },
    ]

    private static func isAlphabetic(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        UInt8(ascii: "0")...UInt8(ascii: "9") ~= byte
    }
}
