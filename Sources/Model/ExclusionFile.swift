/// The rules of a `.backupignore` file: one pattern a line; blank lines and lines that start with `#` say nothing; line
/// ends may be CRLF.
public struct ExclusionFile: Sendable {
    /// A line that is not a pattern, and so excludes nothing.
    public struct Problem: Error, Hashable, Sendable, CustomStringConvertible {
        /// File and line, such as `.backupignore:12`.
        public let origin: String
        public let error: ExclusionError

        public var description: String { "\(origin): \(error)" }
    }

    public private(set) var rules: [ExclusionRule] = []
    public private(set) var problems: [Problem] = []

    /// `name` is what origins of rules begin with.
    init(parsing bytes: [UInt8], name: String) {
        let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]
        let text = bytes.starts(with: byteOrderMark) ? bytes[3...] : bytes[...]
        let lines = text.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
        for (index, line) in lines.enumerated() {
            add(line.last == UInt8(ascii: "\r") ? line.dropLast() : line, origin: "\(name):\(index + 1)")
        }
    }

    private mutating func add(_ line: ArraySlice<UInt8>, origin: String) {
        let isBlank = line.allSatisfy { $0 == UInt8(ascii: " ") }
        guard !isBlank, line.first != UInt8(ascii: "#") else { return }
        do throws(ExclusionError) {
            rules.append(try ExclusionRule(line, origin: origin))
        } catch {
            problems.append(Problem(origin: origin, error: error))
        }
    }
}
