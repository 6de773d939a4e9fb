/// One pattern with gitignore's meaning, and where it was written.
///
/// `!` before it takes back what earlier rules exclude; a slash behind it restricts it to directories; with a slash
/// before or within it, it is for the path from the source on, else for names at any depth; `*`, `?`, `[a-z]`, `**`,
/// and `\`, which takes the meaning from any of these. Spaces behind it are dropped unless escaped.
public struct ExclusionRule: Hashable, Sendable {
    /// As written.
    public let pattern: [UInt8]
    /// Where it was written: `default`, `backup.yaml`, `--exclude`, `.backupignore:12`.
    public let origin: String
    /// Whether it takes back (`!`).
    public let isNegated: Bool
    public let matchesDirectoriesOnly: Bool
    let pathPattern: PathPattern

    /// In bytes. Names have at most 255, paths that a command line can name 4,096.
    static let longestPattern = 4096

    public init(_ pattern: some Sequence<UInt8>, origin: String) throws(ExclusionError) {
        self.pattern = Array(pattern)
        self.origin = origin
        do throws(ExclusionError.Reason) {
            var rest = try Self.checked(self.pattern)
            isNegated = rest.first == UInt8(ascii: "!")
            if isNegated { rest.removeFirst() }
            matchesDirectoriesOnly = rest.last == UInt8(ascii: "/")
            if matchesDirectoriesOnly { rest.removeLast() }
            if rest.isEmpty { throw .empty }
            pathPattern = try PathPattern(rest)
        } catch {
            throw ExclusionError(pattern: self.pattern, reason: error)
        }
    }

    public init(_ pattern: String, origin: String) throws(ExclusionError) {
        try self.init(pattern.utf8, origin: origin)
    }

    private static func checked(_ pattern: [UInt8]) throws(ExclusionError.Reason) -> ArraySlice<UInt8> {
        if pattern.count > longestPattern { throw .tooLong }
        if pattern.contains(0) { throw .nulByte }
        return withoutTrailingSpaces(pattern)
    }

    private static func withoutTrailingSpaces(_ pattern: [UInt8]) -> ArraySlice<UInt8> {
        var end = 0
        var isEscaped = false
        for (index, byte) in pattern.enumerated() {
            if byte != UInt8(ascii: " ") || isEscaped { end = index + 1 }
            isEscaped = byte == UInt8(ascii: "\\") && !isEscaped
        }
        return pattern[..<end]
    }
}

extension ExclusionRule: CustomStringConvertible {
    /// The pattern, safe to print.
    public var description: String { printablePattern(pattern) }
}
