import Testing

@testable import Model

@Suite struct CommandWordsTests {
    /// What dash prints for `printf '%s|' WORDS` where it expands nothing.
    @Test(arguments: [
        ("pass show backup", ["pass", "show", "backup"]), ("  a\t b\nc ", ["a", "b", "c"]),
        ("cat '/a b/c'", ["cat", "/a b/c"]), (#"a "b 'c' \"d\" \$ \n" e"#, ["a", #"b 'c' "d" $ \n"#, "e"]),
        (#"a\ b c\\d"#, ["a b", #"c\d"#]), ("a '' \"\"", ["a", "", ""]), ("x'y'\"z\"", ["xyz"]),
        ("a $HOME * ; b | c", ["a", "$HOME", "*", ";", "b", "|", "c"]), ("ä 'ö ü'", ["ä", "ö ü"]),
    ])
    func aCommandIsSplitAsByAShell(text: String, words: [String]) throws {
        #expect(try CommandWords.split(text) == words)
    }

    @Test(arguments: ["", "  ", "'' a", "a 'b", "a \"b", "a \\", "\"a\\"])
    func whatIsNoCommandIsAnError(text: String) {
        #expect(throws: CommandWordsError.self) { try CommandWords.split(text) }
    }
}
