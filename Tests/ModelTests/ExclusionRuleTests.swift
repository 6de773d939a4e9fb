import Model
import Testing

@Suite struct ExclusionRuleTests {
    private static let invalid: [(String, ExclusionError.Reason)] = [
        ("", .empty), ("   ", .empty), ("!", .empty), ("/", .empty), ("!/", .empty), ("a\0b", .nulByte),
        (String(repeating: "a", count: 4097), .tooLong), ("a[", .unclosedBracket), ("[]", .unclosedBracket),
        ("[!]", .unclosedBracket), ("[a\\]", .unclosedBracket), ("[a-\\]", .unclosedBracket),
        ("a/[b/c", .unclosedBracket),
        ("[[:alpha:]", .unclosedBracket), ("[[:foo:]]", .unknownClass("foo")), ("[[::]]", .unknownClass("")),
        ("[[:\u{1b}:]]", .unknownClass("\\033")), ("a\\", .danglingBackslash), ("a\\/", .danglingBackslash),
        ("//", .emptyComponent), ("//a", .emptyComponent), ("a//b", .emptyComponent), ("a//", .emptyComponent),
        ("./a", .dotComponent), ("a/../b", .dotComponent), (".", .dotComponent), ("..", .dotComponent),
        ("\\./a", .dotComponent),
    ]

    @Test(arguments: invalid)
    func refuses(pattern: String, reason: ExclusionError.Reason) {
        #expect(throws: ExclusionError(pattern: Array(pattern.utf8), reason: reason)) {
            try ExclusionRule(pattern, origin: "--exclude")
        }
    }

    @Test func errorsAreOneSafeLine() {
        let error = ExclusionError(pattern: Array("a\n\u{1b}\\[".utf8), reason: .unclosedBracket)
        #expect(error.description == #"invalid pattern 'a\012\033\[': a '[' has no ']' (write '\[' for the character)"#)
        let long = ExclusionError(pattern: Array(repeating: 0x61, count: 1_000_000), reason: .tooLong)
        #expect(long.description.utf8.count < 300)
    }

    @Test func keepsWhatWasWritten() throws {
        let rule = try ExclusionRule(#"!/a\*b/  "#, origin: "backup.yaml")
        #expect(rule.pattern == Array(#"!/a\*b/  "#.utf8))
        #expect(rule.isNegated && rule.matchesDirectoriesOnly && rule.origin == "backup.yaml")
        #expect(try ExclusionRule(rule.pattern, origin: rule.origin) == rule)
        #expect(rule.description == #"!/a\*b/  "#)
    }

    @Test func files() throws {
        let text = "\u{feff}# comment\r\n*.tmp\r\n\n  \r\n!keep.tmp\n[\n\\#x\nlast \\ \nend"
        let file = Exclusions.parse(file: Array(text.utf8), origin: ".backupignore")
        #expect(file.rules.map(\.description) == ["*.tmp", "!keep.tmp", "\\#x", "last \\ ", "end"])
        #expect(file.rules.map(\.origin) == [2, 5, 7, 8, 9].map { ".backupignore:\($0)" })
        #expect(
            file.problems.map(\.description) == [
                ".backupignore:6: invalid pattern '[': a '[' has no ']' (write '\\[' for the character)"
            ])
        #expect(Exclusions.parse(file: [], origin: "x").rules.isEmpty)
    }

    /// Patterns that make a backtracking matcher take exponential time.
    @Test(.timeLimit(.minutes(25)))
    func noPatternTakesLong() throws {
        let names = Exclusions([try ExclusionRule(String(repeating: "a*", count: 2000) + "b", origin: "test")])
        let name = [UInt8](repeating: UInt8(ascii: "a"), count: 4000)
        #expect(names.decision(path: name[...], isDirectory: false) == nil)
        #expect(names.decision(path: (name + [UInt8(ascii: "b")])[...], isDirectory: false) != nil)

        let paths = Exclusions([try ExclusionRule(String(repeating: "**/a*a/", count: 500) + "b", origin: "test")])
        let path = Array(String(repeating: "aaaa/", count: 1000).utf8)
        #expect(paths.decision(path: path.dropLast(), isDirectory: false) == nil)
        #expect(paths.decision(path: (path + [UInt8(ascii: "b")])[...], isDirectory: false) != nil)
    }
}
