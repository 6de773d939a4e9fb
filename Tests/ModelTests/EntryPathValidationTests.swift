import Model
import Testing

@Suite struct EntryPathValidationTests {
    @Test(arguments: ["a", "a/b", ".a", "..a", "...", "a..", "a/...", ".a/.b", "a b", "\n"])
    func pathsInside(text: String) { #expect(EntryPath(text)?.bytes == Array(text.utf8)) }

    @Test(
        arguments: ["/", "/a", "a/", "a//b", "./a", "a/.", "a/./b", "..", "../a", "a/..", "a/../b", "a\u{0}", "\u{0}"])
    func anythingElse(text: String) { #expect(EntryPath(text) == nil) }

    @Test(arguments: ["", "."])
    func theSourceItself(text: String) { #expect(EntryPath(text) == .root) }
}
