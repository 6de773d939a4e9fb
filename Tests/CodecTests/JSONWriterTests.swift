import Codec
import TestKit
import Testing

@Suite struct JSONWriterTests {
    private let sample: JSONValue = [
        "backup_name": "a\"b", "list": [1, [], ["x": .null], [:]], "yes": true, "big": .unsigned(.max), "none": [:],
    ]

    @Test func compact() {
        let expected =
            #"{"backup_name":"a\"b","list":[1,[],{"x":null},{}],"yes":true,"big":18446744073709551615,"none":{}}"#
        #expect(text(sample.encode()) == expected)
    }

    @Test func pretty() {
        let expected = """
            {
              "backup_name": "a\\"b",
              "list": [
                1,
                [],
                {
                  "x": null
                },
                {}
              ],
              "yes": true,
              "big": 18446744073709551615,
              "none": {}
            }
            """
        #expect(text(sample.encode(pretty: true)) == expected)
    }

    @Test func streams() {
        var writer = JSONWriter(pretty: false)
        for index in 0..<2 {
            writer.object { writer in
                writer.key("index")
                writer.integer(index)
                writer.key("path")
                writer.string(utf8: [0x61, 0xff, 0x0a])
                writer.key("numbers")
                writer.array { writer in
                    writer.integer(Int64.min)
                    writer.bool(false)
                    writer.null()
                    if let number = JSONNumber(0.1) { writer.number(number) }
                }
            }
            writer.endLine()
        }
        let line = #"{"index":0,"path":"a\#u{fffd}\n","numbers":[-9223372036854775808,false,null,0.1]}"# + "\n"
        #expect(text(writer.bytes) == line + line.replacing(":0,", with: ":1,"))
    }

    @Test func anErrorPassesThrough() {
        struct Stop: Error {}
        var writer = JSONWriter(pretty: false)
        #expect(throws: Stop.self) {
            try writer.array { (_) throws(Stop) in throw Stop() }
        }
    }

    @Test func everyControlCharacterIsEscaped() throws {
        let all = (0..<0x80).compactMap { Unicode.Scalar($0) }.map { String($0) }.joined()
        let encoded = JSONValue.string(all).encode()
        #expect(encoded.allSatisfy { $0 >= 0x20 })
        #expect(try JSONReader.read(encoded) == .string(all))
        #expect(
            text(JSONValue.string("\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}").encode())
                == "\"\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\"")
    }

    /// The original tool and whoever reads our metadata with Python see the layout that they would write.
    @Test func prettyIsAsPythonWrites() throws {
        var random = SeededRandom.printed(for: "prettyIsAsPythonWrites")
        let value = JSONValue.array((0..<200).map { _ in RandomJSON.value(depth: 4, using: &random) })
        let script = """
            import json, sys
            value = json.loads(sys.stdin.buffer.read().decode("utf-8"))
            sys.stdout.buffer.write(json.dumps(value, indent=2, ensure_ascii=False).encode("utf-8"))
            """
        let run = try ToolRun.run("python3", ["-c", script], input: value.encode())
        #expect(text(run.errors) == "")
        #expect(run.output == value.encode(pretty: true))
    }

    private func text(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self)
    }
}
