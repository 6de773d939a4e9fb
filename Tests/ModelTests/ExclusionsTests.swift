import Model
import Testing

@Suite struct ExclusionsTests {
    /// The issue's own examples: the original tool matched substrings.
    @Test func defaultsMatchNamesAndNotSubstrings() {
        let defaults = Exclusions.defaults
        #expect(defaults.rules.count == 9)
        for path in [
            "a/b.pyc", "venv", "x/venv/lib/y.py", "app.log", "a/__pycache__/b", "node_modules/x", ".git/HEAD", ".pyc",
        ] {
            #expect(isExcluded(path, by: defaults), "\(path)")
        }
        for path in [
            "templates/myvenv.html", "venvs", "my.venv", "a.pyc.txt", "logs", "catalog", "a.log.1", ".gitignore",
        ] {
            #expect(!isExcluded(path, by: defaults), "\(path)")
        }
    }

    /// Patterns by line; then paths that they exclude, and paths that they don't (a slash behind it: a directory).
    struct Example: Sendable {
        let patterns: [String]
        let excluded: [String]
        let included: [String]
    }

    static let examples = [
        Example(patterns: ["foo"], excluded: ["foo", "a/foo", "foo/", "foo/a"], included: ["afoo", "fooa", "FOO"]),
        Example(patterns: ["foo/"], excluded: ["foo/", "a/foo/", "a/foo/b"], included: ["foo", "a/foo"]),
        Example(patterns: ["/foo"], excluded: ["foo", "foo/a"], included: ["a/foo"]),
        Example(patterns: ["a/b"], excluded: ["a/b", "a/b/c"], included: ["x/a/b", "b"]),
        Example(patterns: ["a/b/"], excluded: ["a/b/", "a/b/c"], included: ["a/b", "x/a/b/"]),
        Example(patterns: ["*.c"], excluded: ["a.c", "x/.c"], included: ["a.cc", "c"]),
        Example(patterns: ["/*.c"], excluded: ["a.c"], included: ["x/a.c"]),
        Example(patterns: ["a/*.c"], excluded: ["a/b.c"], included: ["a/x/b.c", "b.c"]),
        Example(patterns: ["**/foo"], excluded: ["foo", "a/b/foo"], included: ["a/fooa"]),
        Example(patterns: ["**/foo/bar"], excluded: ["foo/bar", "a/foo/bar"], included: ["foo/a/bar"]),
        Example(patterns: ["a/**"], excluded: ["a/x", "a/x/y", "a/x/"], included: ["a", "a/", "b/a/x"]),
        Example(patterns: ["a/**/b"], excluded: ["a/b", "a/x/b", "a/x/y/b"], included: ["a/xb", "x/a/b"]),
        Example(patterns: ["a/**/"], excluded: ["a/x/", "a/x/y"], included: ["a/x", "a/"]),
        Example(patterns: ["**"], excluded: ["a", "a/b"], included: []),
        Example(patterns: ["a**b"], excluded: ["ab", "axxb"], included: ["a/b", "abc"]),
        Example(patterns: ["x?z"], excluded: ["xyz"], included: ["xz", "x/z", "xé z"]),
        Example(patterns: ["[a-c]x[!0-9]"], excluded: ["bxy", "cx-"], included: ["dxy", "bx5", "bx"]),
        Example(
            patterns: ["[]]", "[^]x]y", "[a-]z"], excluded: ["]", "ay", "az", "-z"], included: ["]y", "xy", "bz"]),
        Example(patterns: ["[[:digit:]x]"], excluded: ["7", "x"], included: ["d", ":", "["]),
        Example(patterns: ["a[/]b"], excluded: [], included: ["a/b", "a[/]b", "x/a[/]b"]),
        Example(
            patterns: [#"\!a"#, "\\#b", #"\*"#, #"c\ "#], excluded: ["!a", "#b", "*", "c "],
            included: ["a", "b", "x", "c"]),
        Example(patterns: ["a  ", " b"], excluded: ["a", " b"], included: ["a  ", "b"]),
        Example(patterns: ["#x"], excluded: ["#x"], included: ["x"]),
        Example(patterns: ["*.txt", "!keep.txt"], excluded: ["a.txt"], included: ["keep.txt", "a/keep.txt"]),
        Example(patterns: ["!keep.txt", "*.txt"], excluded: ["keep.txt"], included: []),
        Example(patterns: ["a/", "!a/keep"], excluded: ["a/keep", "a/"], included: ["a"]),
        Example(patterns: ["a/*", "!a/keep"], excluded: ["a/x"], included: ["a/keep", "a/"]),
        Example(patterns: ["*", "!*/", "!*.py"], excluded: ["x", "a/x"], included: ["a/", "a/b.py", "a/b/"]),
        Example(patterns: ["a?b"], excluded: ["a\u{1}b", "a\nb"], included: ["aéb"]),
    ]

    @Test(arguments: examples)
    func example(_ example: Example) throws {
        let exclusions = Exclusions(try example.patterns.map { try ExclusionRule($0, origin: "test") })
        for path in example.excluded { #expect(isExcluded(path, by: exclusions), "\(example.patterns) \(path)") }
        for path in example.included { #expect(!isExcluded(path, by: exclusions), "\(example.patterns) \(path)") }
    }

    @Test func namesAndPatternsNeedNotBeUTF8() throws {
        let exclusions = Exclusions([
            try ExclusionRule([0xff, 0x2a], origin: "test"),
            try ExclusionRule([0x5b, 0xc0, 0x2d, 0xcf, 0x5d], origin: "test"),
        ])
        let path = try #require(EntryPath([0x61, 0x2f, 0xff, 0xfe]))
        #expect(exclusions.excludes(path, isDirectory: false)?.description == "\\377*")
        #expect(exclusions.excludes(try #require(EntryPath([0xc5])), isDirectory: false) != nil)
        #expect(exclusions.excludes(try #require(EntryPath([0xd0])), isDirectory: false) == nil)
    }

    @Test func verdictsNameTheRuleAndTheDirectory() throws {
        let exclusions = Exclusions.defaults.adding([
            try ExclusionRule("!important.log", origin: "backup.yaml"), try ExclusionRule("/tmp/", origin: "--exclude"),
        ])
        let below = try #require(exclusions.verdict(on: try path("tmp/a/important.log"), isDirectory: false))
        #expect(
            below.path.description == "tmp" && below.decision.rule.origin == "--exclude" && below.decision.isExcluded)
        let kept = try #require(exclusions.verdict(on: try path("a/important.log"), isDirectory: false))
        #expect(kept.path.description == "a/important.log" && !kept.decision.isExcluded)
        #expect(kept.decision.rule.origin == "backup.yaml" && kept.decision.rule.description == "!important.log")
        #expect(exclusions.verdict(on: try path("app.py"), isDirectory: false) == nil)
        #expect(exclusions.excludes(try path("tmp"), isDirectory: false) == nil)
    }

    @Test func theSourceItselfIsNeverExcluded() throws {
        let everything = Exclusions([try ExclusionRule("*", origin: "test"), try ExclusionRule("/**", origin: "test")])
        #expect(everything.excludes(.root, isDirectory: true) == nil)
        #expect(everything.decision(path: [], isDirectory: true) == nil)
        #expect(everything.excludes(try path("a"), isDirectory: true) != nil)
        #expect(Exclusions().excludes(try path("a"), isDirectory: true) == nil)
    }

    /// A walk asks about one entry and knows that its parents are included.
    @Test func aDecisionDoesNotLookAtParents() throws {
        let exclusions = Exclusions([try ExclusionRule("a", origin: "test")])
        #expect(exclusions.decision(path: Array("a/b".utf8)[...], isDirectory: false) == nil)
        #expect(exclusions.decision(path: Array("x/b/a".utf8)[2...], isDirectory: false)?.isExcluded == true)
    }

    private func path(_ text: String) throws -> EntryPath {
        try #require(EntryPath(text))
    }

    private func isExcluded(_ text: String, by exclusions: Exclusions) -> Bool {
        let isDirectory = text.hasSuffix("/")
        guard let path = EntryPath(isDirectory ? String(text.dropLast()) : text) else {
            Issue.record("not a path: \(text)")
            return false
        }
        return exclusions.excludes(path, isDirectory: isDirectory) != nil
    }
}
