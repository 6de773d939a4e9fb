import Codec
import TestKit
import Testing

@Suite struct JSONReaderTests {
    private static let accepted: [(String, JSONValue)] = [
        ("null", .null), (" true\n", true), ("false", false), ("0", 0), ("-1", -1), ("[]", []), ("{}", [:]),
        ("[ ]", []),
        ("{ }", [:]), ("\t[1 , 2 ,[3]]\r\n", [1, 2, [3]]), (#"{"b":1,"a":{"c":[]}}"#, ["b": 1, "a": ["c": []]]),
        ("9223372036854775807", .integer(.max)), ("-9223372036854775808", .integer(.min)),
        ("9223372036854775808", .unsigned(1 << 63)), ("18446744073709551615", .unsigned(.max)),
        (#""\"\\\/\b\f\n\r\t\u0041\u00e9\u20AC\ud83d\uDE00\u0000""#, .string("\"\\/\u{8}\u{c}\n\r\tAé€😀\0")),
        (#""é€😀""#, "é€😀"), ("\"\u{7f}\u{2028}\"", "\u{7f}\u{2028}"), (#"{"":0," ":1}"#, ["": 0, " ": 1]),
    ]

    @Test(arguments: accepted)
    func accepts(text: String, value: JSONValue) throws {
        #expect(try JSONReader.read(Array(text.utf8)) == value)
    }

    /// Numbers that no integer holds keep their text.
    @Test(arguments: [
        "-0", "0.0", "1.0", "0.10", "1e5", "1E+05", "-1.5e-300", "1e999", "18446744073709551616",
        "-9223372036854775809",
        "3.141592653589793238462643383279502884197",
    ])
    func numbersKeepTheirText(text: String) throws {
        let value = try JSONReader.read(Array("[\(text)]".utf8))
        guard case .array(let elements) = value, case .number(let number)? = elements.first else {
            Issue.record("not a number: \(value)")
            return
        }
        #expect(number.text == text)
        #expect(String(decoding: value.encode(), as: UTF8.self) == "[\(text)]")
        #expect(JSONNumber(text)?.text == text)
    }

    @Test(arguments: [
        "", " ", "nul", "True", "nulll", "[", "]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,,2]", "{", "{\"a\"",
        "{\"a\":",
        "{\"a\":1", "{\"a\":1,}", "{,}", "{a:1}", "{1:1}", "{\"a\" 1}", "{\"a\":1 \"b\":2}", "{\"a\"::1}", "[1}",
        "{\"a\":1]",
        "01", "-", "+1", ".5", "1.", "1.e5", "1e", "1e+", "0x10", "1_000", "NaN", "Infinity", "-Infinity", "--1", "00",
        "-01",
        "\"", "\"a", "\"\\", "\"\\\"", "\"\\x\"", "\"\\u12\"", "\"\\u123g\"", "\"\\u\"", "\"\n\"", "\"\t\"", "\"\0\"",
        "'a'",
        "\"\\ud800\"", "\"\\udc00\"", "\"\\ud800\\ud800\"", "\"\\ud800x\"", "\"\\ud800\\u0041\"", "\"\\ud800\\n\"",
        "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":2}", "[] []", "1 2", "{}x", "/**/1", "1//", "\u{feff}1", "[1]\0",
        "\u{a0}1",
        "\"\\U0041\"",
    ])
    func refuses(text: String) {
        #expect(throws: JSONError.self) { try JSONReader.read(Array(text.utf8)) }
    }

    @Test(
        arguments: [
            [0xff], [0x22, 0xff, 0x22], [0x22, 0xc0, 0x80, 0x22], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xc3, 0x22],
            [0x22, 0xf4, 0x90, 0x80, 0x80, 0x22], [0x22, 0xe2, 0x82, 0x5c, 0x75, 0x30, 0x30, 0x61, 0x63, 0x22],
            [0xfe, 0xff, 0x00, 0x31], [0x31, 0x00],
        ] as [[UInt8]])
    func refusesWhatIsNotUTF8(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try JSONReader.read(bytes) }
    }

    @Test func errorsSayWhere() {
        expectError("{\n  \"é\": tru\n}", line: 2, column: 8, "unexpected 't', expected a value")
        expectError("[1\n,2\n;", line: 3, column: 1, "unexpected ';', expected ',' or ']'")
        expectError("", line: 1, column: 1, "unexpected end, expected a value")
        expectError("{\"a\":1,\n \"a\":2}", line: 2, column: 2, "the key \"a\" appears twice")
        expectError("[\"\u{1b}\"]", line: 1, column: 3, "a control character in a string")
        expectError("\u{7}", line: 1, column: 1, "unexpected '\\007', expected a value")
    }

    @Test func canonicallyEquivalentKeysAreDifferent() throws {
        let value = try JSONReader.read(Array("{\"\u{e9}\":1,\"e\u{301}\":2}".utf8))
        #expect(value["\u{e9}"] == 1)
        #expect(value["e\u{301}"] == 2)
        #expect(JSONValue.string("\u{e9}") != JSONValue.string("e\u{301}"))
    }

    @Test func accessors() throws {
        let value = try JSONReader.read(
            Array(#"{"s":"x","i":-3,"u":3,"b":true,"a":[1],"n":null,"d":1.5,"h":1e999}"#.utf8))
        #expect(value["s"]?.stringValue == "x" && value["s"]?.integerValue == nil)
        #expect(value["i"]?.integerValue == -3 && value["i"]?.unsignedValue == nil && value["i"]?.doubleValue == -3)
        #expect(value["u"]?.unsignedValue == 3 && value["b"]?.boolValue == true)
        #expect(value["a"]?.arrayValue == [1] && value["n"]?.isNull == true && value["d"]?.doubleValue == 1.5)
        #expect(value["h"]?.doubleValue == nil && value["x"] == nil && value["s"]?["t"] == nil)
        #expect(value.objectValue?.map(\.key) == ["s", "i", "u", "b", "a", "n", "d", "h"])
        #expect(
            JSONNumber(.infinity) == nil && JSONNumber(.nan) == nil && JSONNumber("1 ") == nil && JSONNumber("") == nil)
    }

    private func expectError(_ text: String, line: Int, column: Int, _ message: String) {
        do throws(JSONError) {
            let value = try JSONReader.read(Array(text.utf8))
            Issue.record("accepted as \(value)")
        } catch {
            #expect(error.description == "line \(line), column \(column): \(message)")
        }
    }
}
