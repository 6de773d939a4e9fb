/// Refuses the parts of YAML that a configuration never needs: anchors, aliases and tags.
///
/// People who forget the quotes around `*.pyc` or `!keep.log` write them without knowing, and would get the parser's
/// view of it ("did not find expected alphabetic character"). And a few lines of nested aliases are a gigabyte: they
/// must be found before the parser compares keys. It is no parser: in text of many lines it may refuse more than it
/// has to, where quotes or an escape (`"\x26"`) help.
struct PlainYAML {
    struct Problem {
        let message: String
        let line: Int
        let column: Int
    }

    static func problem(in text: String) -> Problem? {
        var scan = PlainYAML(rest: text.unicodeScalars[...])
        return scan.run()
    }

    private var rest: Substring.UnicodeScalarView
    private var line = 1
    private var column = 1
    private var flowDepth = 0
    /// Whether a value or a key may begin here.
    private var isAtStart = true

    private init(rest: Substring.UnicodeScalarView) {
        self.rest = rest
    }

    private mutating func run() -> Problem? {
        var last: Unicode.Scalar = "\n"
        while let scalar = rest.first {
            switch scalar {
            case "#" where last == " " || last == "\t" || last == "\n":
                skipComment()
                continue
            case "*" where isAtStart, "&" where isAtStart, "!" where isAtStart:
                return problem(with: scalar)
            case "'" where isAtStart, "\"" where isAtStart:
                skipQuoted(by: scalar)
                (last, isAtStart) = (scalar, false)
                continue
            default:
                isAtStart = startsValue(after: scalar)
            }
            last = scalar
            advance()
        }
        return nil
    }

    /// Whether a value may begin behind `scalar`, which is the next one.
    private mutating func startsValue(after scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "\n", "\r": return true
        case " ", "\t", "\u{feff}": return isAtStart
        case "[", "{":
            if isAtStart || flowDepth > 0 { flowDepth += 1 }
            return isAtStart || flowDepth > 0
        case "]", "}":
            flowDepth = max(0, flowDepth - 1)
            return false
        case ",": return flowDepth > 0
        case ":": return flowDepth > 0 || isFollowedBySpace
        case "?": return isAtStart && (flowDepth > 0 || isFollowedBySpace)
        // Also the three that begin a document.
        case "-": return isAtStart && (isFollowedBySpace || rest.dropFirst().first == "-")
        default: return false
        }
    }

    private var isFollowedBySpace: Bool {
        guard let next = rest.dropFirst().first else { return true }
        return next == " " || next == "\t" || next == "\n" || next == "\r"
    }

    private mutating func advance() {
        guard let scalar = rest.popFirst() else { return }
        column += 1
        if scalar == "\n" || scalar == "\r" && rest.first != "\n" {
            line += 1
            column = 1
        }
    }

    private mutating func skipComment() {
        while let scalar = rest.first, scalar != "\n", scalar != "\r" { advance() }
    }

    private mutating func skipQuoted(by quote: Unicode.Scalar) {
        advance()
        while let scalar = rest.first {
            if scalar == "\\" && quote == "\"" { advance() }
            advance()
            guard scalar == quote else { continue }
            // Two of them stand for one within single quotes.
            if quote == "'" && rest.first == "'" { advance() } else { return }
        }
    }

    private func problem(with sign: Unicode.Scalar) -> Problem {
        var word = ""
        for scalar in rest {
            if scalar == "\n" || scalar == "\r" || flowDepth > 0 && (scalar == "," || scalar == "]") { break }
            if word.unicodeScalars.count == 60 || scalar == " " || scalar == "'" || !scalar.isASCII { break }
            word.unicodeScalars.append(scalar)
        }
        return Problem(
            message: "a value that begins with '\(sign)' must stand in quotes, such as '\(word)'", line: line,
            column: column)
    }
}
