import TestKit
import Testing

@testable import Codec

@Suite struct YAMLTests {
    private func text(_ node: YAMLNode) -> String {
        switch node.content {
        case .scalar(let text): "'\(text)'"
        case .sequence(let nodes): "[\(nodes.map { self.text($0) }.joined(separator: ", "))]"
        case .mapping(let members):
            "{\(members.map { "\($0.key): \(self.text($0.value))" }.joined(separator: ", "))}"
        }
    }

    @Test(arguments: [
        ("a: 1\nb:\n  - x\n  - \"y\\tz\"\nc: {d: e}", "{a: '1', b: ['x', 'y\tz'], c: {d: 'e'}}"), ("word", "'word'"),
        ("\u{e9}: 1\ne\u{301}: 2", "{\u{e9}: '1', e\u{301}: '2'}"),
        ("", ""), ("# nothing\n", ""), ("---\n", "''"), ("\u{feff}a: 1", "{a: '1'}"),
        ("a: ü\r\nb: ~\r\n", "{a: 'ü', b: '~'}"),
        // What only looks like an alias, an anchor or a tag.
        ("a: 'it''s *fine*'", "{a: 'it's *fine*'}"), ("a: \"&x \\\" *y\"", "{a: '&x \" *y'}"), ("a: b*c", "{a: 'b*c'}"),
        ("a: x & y", "{a: 'x & y'}"), ("# *a\nb: 1", "{b: '1'}"), ("a: [b, \"*c\"]", "{a: ['b', '*c']}"),
        ("a: 5 ! 4", "{a: '5 ! 4'}"), ("a: |\n  *b\n  &c\n", "{a: '*b\n&c\n'}"),
    ])
    func aDocumentIsRead(source: String, tree: String) throws {
        #expect(try YAMLNode.document(in: source).map(text) ?? "" == tree)
    }

    @Test(arguments: [
        ("a: *b", 1, 4, "'*' must stand in quotes, such as '*b'"),
        ("a:\n  - *.pyc", 2, 5, "such as '*.pyc'"), ("a:\n  - !keep.log  # x", 2, 5, "such as '!keep.log'"),
        ("a: &", 1, 4, "'&'"), ("ü: [x, &y]", 1, 8, "'&' must stand in quotes"),
        ("a: &x [y]", 1, 4, "must stand in quotes"),
        ("a: !!str 5", 1, 4, "'!' must stand in quotes"), ("a:\n- !keep!x.log", 2, 3, "such as '!keep!x.log'"),
        ("a:\n- *[0-9].log", 2, 3, "must stand in quotes"), ("a:\n- !a,b.txt", 2, 3, "must stand in quotes"),
        ("a: !<tag> {}", 1, 4, "must stand in quotes"), ("*a : 1", 1, 1, "such as '*a'"),
        ("a: 1\nb: 2\na: 3", 3, 1, "'a' stands twice"), ("a: {b: 1, b: 2}", 1, 11, "'b' stands twice"),
        ("? [a]\n: 1", 1, 3, "a key must be a word"), ("a: b: c", 1, 5, "not valid YAML"),
        ("a: [", 2, 1, "not valid YAML"), ("a: 1\n---\nb: 2", 2, 1, "second document"),
        ("ab\ncd\u{1}", 2, 3, "not valid YAML"), ("\u{feff}a: 1\r\n# éé\u{1}", 2, 5, "not valid YAML"),
        ("\u{feff}a: 1\ra: 2", 2, 1, "stands twice"), ("a: \"x\\0y\"", 1, 4, "NUL"),
        ("\u{fffd}: \t{", 2, 1, "not valid YAML"),
        (String(repeating: "[", count: 1 << 20), 1, 101, "nested too deeply"),
        (String(repeating: "{a: ", count: 200), 1, 401, "nested too deeply"),
    ])
    func whatIsNotReadIsSaidWithItsPlace(source: String, line: Int, column: Int, message: String) {
        let error = #expect(throws: YAMLError.self) { try YAMLNode.document(in: source) }
        #expect(error?.place == YAMLPlace(line: line, column: column), "\(source.prefix(20))")
        #expect(error?.message.contains(message) == true, "\(error?.message ?? "")")
    }

    /// Whatever is cut off or exchanged: a document or an error, and always an end.
    @Test func mutatedTextsAreReadOrRefused() throws {
        let source = Array("items:\n  - 'data'\n  - \"*.yaml\"\nsqlite: {data/x.db: raw}\n# end\n".utf8)
        let signs = Array(" \t\n\r:-?[]{},#&*!|>'\"%@`\\x\u{0}ü".utf8)
        var random = SeededRandom.printed(for: "mutatedTextsAreReadOrRefused")
        for _ in 0..<20_000 {
            var text = source
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<text.count, using: &random)
                if Bool.random(using: &random) {
                    text[place] = signs.randomElement(using: &random) ?? 0
                } else {
                    text.insert(signs.randomElement(using: &random) ?? 0, at: place)
                }
            }
            do throws(YAMLError) {
                _ = try YAMLNode.document(in: String(decoding: text, as: UTF8.self))
            } catch {
                #expect(error.place.line >= 1 && error.place.column >= 1 && !error.message.isEmpty)
            }
        }
    }
}
