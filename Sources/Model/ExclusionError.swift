/// A pattern that can't be meant as it stands: git would take it and match nothing, in silence.
public struct ExclusionError: Error, Hashable, Sendable {
    public enum Reason: Error, Hashable, Sendable {
        case empty
        case nulByte
        case tooLong
        case unclosedBracket
        /// The name in `[:name:]`, safe to print.
        case unknownClass(String)
        case danglingBackslash
        case emptyComponent
        case dotComponent
    }

    public let pattern: [UInt8]
    public let reason: Reason

    public init(pattern: [UInt8], reason: Reason) {
        self.pattern = pattern
        self.reason = reason
    }
}

extension ExclusionError: CustomStringConvertible {
    /// One line, safe to print.
    public var description: String {
        let text = printablePattern(pattern.count > 200 ? pattern.prefix(200) + Array("…".utf8) : pattern)
        return "invalid pattern '\(text)': \(reason)"
    }
}

extension ExclusionError.Reason: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: "it is empty"
        case .nulByte: "it has a NUL byte, which no name has"
        case .tooLong: "it is longer than \(ExclusionRule.longestPattern) bytes"
        case .unclosedBracket: "a '[' has no ']' (write '\\[' for the character)"
        case .unknownClass(let name): "there is no character class '[:\(name):]'"
        case .danglingBackslash: "the backslash before the end escapes nothing (write '\\\\' for the character)"
        case .emptyComponent: "it has an empty component ('//'), which no path has"
        case .dotComponent: "it has '.' or '..' as a component, which no path has (paths start in the app)"
        }
    }
}

/// ``printable(_:)``, but a backslash stays one: in patterns it is common, and nobody would know it as `\134`.
func printablePattern(_ pattern: [UInt8]) -> String {
    pattern.split(separator: UInt8(ascii: "\\"), omittingEmptySubsequences: false)
        .map { printable($0) }
        .joined(separator: "\\")
}
