import Glibc
import Model
import TestKit
import Testing

/// Generated patterns and paths mean to us what they mean to git.
@Suite(.timeLimit(.minutes(25))) struct GitOracleTests {
    @Test func decisionsAreGits() throws {
        var random = SeededRandom.printed(for: "decisionsAreGits")
        let repository = try ScratchRepository()
        defer { repository.remove() }
        let paths = try repository.makeTree(using: &random)
        var matches = 0
        for _ in 0..<60 {
            let file = ignoreFile(using: &random)
            let parsed = Exclusions.parse(file: file, origin: "")
            let exclusions = Exclusions(parsed.rules)
            let expected = try repository.decidingLines(file, of: paths.map(\.bytes))
            for (path, expected) in zip(paths, expected) {
                let entry = try #require(EntryPath(path.bytes))
                let verdict = exclusions.verdict(on: entry, isDirectory: path.isDirectory)
                let ours = verdict.map { String($0.decision.rule.origin.dropFirst()) } ?? ""
                matches += ours.isEmpty ? 0 : 1
                #expect(ours == expected, "\(entry), rules \(printable(file)), problems \(parsed.problems)")
            }
        }
        #expect(matches > 1000)
    }

    private func ignoreFile(using random: inout SeededRandom) -> [UInt8] {
        var file: [UInt8] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            var line = pattern(using: &random)
            while differsInGit(line) { line = pattern(using: &random) }
            file += line + (random.once(in: 5) ? [0x0d, 0x0a] : [0x0a])
        }
        return file
    }

    private func pattern(using random: inout SeededRandom) -> [UInt8] {
        let tokens: [[UInt8]] =
            [
                "a", "a", "b", "b", "ab", ".", "*", "*", "**", "***", "/", "/", "/", "/**/", "**/", "/**", "?", "[ab]",
                "[!a]",
                "[^b]", "[a-c]", "[]a]", "[[:alpha:]]", "[[:punct:]-]", "[a-\\c]", "[", "]", "\\", "\\*", "!", "#", " ",
                "\\ ",
                "é", "-", "[b-a]", "[\\]]", "[/]", "\\/", "[[:x]", "[:alpha:]",
            ].map { Array($0.utf8) } + [[0xff], [0x5b, 0x80, 0x2d, 0xff, 0x5d]]
        var line: [UInt8] = random.once(in: 5) ? [UInt8(ascii: "!")] : []
        for _ in 0..<Int.random(in: 1...5, using: &random) { line += random.pick(tokens) }
        return line
    }

    /// Where git and its documentation part, we keep to the documentation:
    /// - In `a**/b` git takes the stars for any depth, but not in `[a]**/b`, as it compares the literal start of a
    ///   pattern apart and then sees stars at the start of the rest. They should be regular asterisks.
    /// - In `**\/b` git takes the stars for at least one directory, in `**/b` for any number.
    private func differsInGit(_ line: [UInt8]) -> Bool {
        let slash = UInt8(ascii: "/")
        let star = UInt8(ascii: "*")
        if line.contains("**\\/".utf8) { return true }
        guard let first = line.firstIndex(where: { "*?[\\".utf8.contains($0) }), first > 0, line[first] == star else {
            return false
        }
        return line.contains(slash) && line[first...].prefix(while: { $0 == star }).count > 1
            && line[first - 1] != slash
    }
}

private struct ScratchRepository {
    struct Path {
        let bytes: [UInt8]
        let isDirectory: Bool
    }

    private let root: String

    init() throws {
        root = "/tmp/chastipi-git-oracle-\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let run = try ToolRun.run("git", ["init", "-q", "--template=", root])
        try #require(run.status == 0, "\(printable(run.errors))")
        try #require(mkdir("\(root)/.git/info", 0o700) == 0)
    }

    func remove() {
        #expect((try? ToolRun.run("rm", ["-rf", root]))?.status == 0)
    }

    /// Directories that exist, so that git knows them for such, and files, which need not exist.
    func makeTree(using random: inout SeededRandom) throws -> [Path] {
        let names: [[UInt8]] =
            ["a", "b", "ab", "ba", "a.b", "aab", "é", " ", "a ", "!", "!a", "#", "*", "[", "]", "\\", "-", "?", "a-b"]
            .map { Array($0.utf8) } + [[0xff], [0x61, 0xff], [0x0a]]
        var directories: [[UInt8]] = [[]]
        var paths: [Path] = []
        for _ in 0..<400 {
            let path = random.pick(directories) + random.pick(names)
            guard path.count < 16, !paths.contains(where: { $0.bytes == path }) else { continue }
            let isDirectory = random.once(in: 2)
            if isDirectory {
                let full = (Array(root.utf8) + [UInt8(ascii: "/")] + path + [0]).map { CChar(bitPattern: $0) }
                try #require(mkdir(full, 0o700) == 0)
                directories.append(path + [UInt8(ascii: "/")])
            }
            paths.append(Path(bytes: path, isDirectory: isDirectory))
        }
        return paths
    }

    /// For each path the number of the line that decides, or nothing.
    func decidingLines(_ file: [UInt8], of paths: [[UInt8]]) throws -> [String] {
        let written = try ToolRun.run("sh", ["-c", "cat > .git/info/exclude"], input: file, in: root)
        try #require(written.status == 0)
        let run = try ToolRun.run(
            "git",
            [
                "-c", "core.excludesFile=/dev/null", "-c", "core.ignoreCase=false", "check-ignore", "--no-index", "-v",
                "-n",
                "-z", "--stdin",
            ],
            input: Array(paths.joined(separator: [0])), in: root)
        try #require(run.status <= 1, "\(printable(run.errors))")
        // Source, line, pattern, path; and nothing behind the last NUL.
        let fields = run.output.split(separator: 0, omittingEmptySubsequences: false).dropLast()
        try #require(fields.count == 4 * paths.count)
        return stride(from: 1, to: fields.count, by: 4).map { String(decoding: fields[$0], as: UTF8.self) }
    }
}
