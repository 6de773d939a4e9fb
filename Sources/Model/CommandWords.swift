/// Why a text is no command.
package struct CommandWordsError: Error, CustomStringConvertible {
    /// A clause.
    package let description: String
}

/// Splits a command into words as a shell does, with quotes and backslashes; nothing is expanded.
package struct CommandWords {
    private var words: [String] = []
    /// Nil between words: an empty one may stand in quotes.
    private var word: String?

    package static func split(_ text: String) throws(CommandWordsError) -> [String] {
        var splitting = CommandWords()
        try splitting.read(text.unicodeScalars[...])
        guard splitting.words.first?.isEmpty == false else {
            throw CommandWordsError(description: "the command has no program")
        }
        return splitting.words
    }

    private mutating func read(_ text: Substring.UnicodeScalarView) throws(CommandWordsError) {
        var rest = text
        while let scalar = rest.popFirst() {
            switch scalar {
            case " ", "\t", "\n", "\r": end()
            case "'": try quoted(by: scalar, &rest, escaping: "")
            case "\"": try quoted(by: scalar, &rest, escaping: "\"\\$`")
            case "\\":
                guard let next = rest.popFirst() else {
                    throw CommandWordsError(description: "the command ends with a backslash")
                }
                add(next)
            default: add(scalar)
            }
        }
        end()
    }

    /// `escaping`: what a backslash may stand before within these quotes.
    private mutating func quoted(
        by quote: Unicode.Scalar, _ rest: inout Substring.UnicodeScalarView, escaping: String
    ) throws(CommandWordsError) {
        word = word ?? ""
        while let scalar = rest.popFirst() {
            if scalar == quote { return }
            if scalar == "\\", let next = rest.first, escaping.unicodeScalars.contains(next) {
                rest.removeFirst()
                add(next)
            } else {
                add(scalar)
            }
        }
        throw CommandWordsError(description: "the command has a quote that is not closed")
    }

    private mutating func add(_ scalar: Unicode.Scalar) {
        word = word ?? ""
        word?.unicodeScalars.append(scalar)
    }

    private mutating func end() {
        if let word { words.append(word) }
        word = nil
    }
}
