import Codec
import TestKit
import Testing

/// Input made to take memory, stack or time.
@Suite(.timeLimit(.minutes(25))) struct HostileJSONTests {
    @Test(arguments: ["[", "{\"a\":", "[{\"a\":[", "[1,["])
    func nestedAHundredThousandDeep(unit: String) {
        let bytes = Array(String(repeating: unit, count: 100_000).utf8)
        for depth in [64, 512, 1_000_000] {
            #expect(throws: JSONError.self) { try JSONReader.read(bytes, limits: JSONLimits(depth: depth)) }
        }
    }

    @Test func theDeepestAllowedIsReadWrittenAndFreed() throws {
        let text = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
        let value = try JSONReader.read(Array(text.utf8), limits: JSONLimits(depth: 512))
        #expect(value.encode() == Array(text.utf8))
        #expect(throws: JSONError.self) {
            try JSONReader.read(Array("[\(text)]".utf8), limits: JSONLimits(depth: .max))
        }
    }

    @Test func limitsOfBytesAndValues() throws {
        let bytes = Array("[1,2,3]".utf8)
        #expect(throws: JSONError.self) { try JSONReader.read(bytes, limits: JSONLimits(bytes: 6)) }
        #expect(throws: JSONError.self) { try JSONReader.read(bytes, limits: JSONLimits(values: 3)) }
        #expect(try JSONReader.read(bytes, limits: JSONLimits(bytes: 7, depth: 1, values: 4)) == [1, 2, 3])
        #expect(throws: JSONError.self) { try JSONReader.read(bytes, limits: JSONLimits(depth: 0)) }
    }

    /// Quadratic time would take minutes here.
    @Test func largeInputsTakeLinearTime() throws {
        let keys = (0..<100_000).map { "\"k\($0)\":0" }.joined(separator: ",")
        #expect(try JSONReader.read(Array("{\(keys)}".utf8)).objectValue?.count == 100_000)
        #expect(throws: JSONError.self) { try JSONReader.read(Array("{\(keys),\"k99999\":0}".utf8)) }

        let escapes = "\"" + String(repeating: "\\u00e9\\n", count: 100_000) + "\""
        #expect(try JSONReader.read(Array(escapes.utf8)).stringValue?.unicodeScalars.count == 200_000)

        let marks = String(repeating: "\u{301}\u{323}", count: 50_000)
        let twice = "{\"e\(marks)\":1,\"f\(marks)\":2,\"e\(marks)\":3}"
        #expect(throws: JSONError.self) { try JSONReader.read(Array(twice.utf8)) }

        let digits = String(repeating: "9", count: 1_000_000)
        #expect(try JSONReader.read(Array(digits.utf8)).encode() == Array(digits.utf8))

        let space = Array(repeatElement(UInt8(ascii: "\n"), count: 1_000_000))
        #expect(throws: JSONError.self) { try JSONReader.read(space) }
    }

    /// Any bytes end in a value or an error; what is accepted comes back unchanged from its own text.
    @Test func mutatedTexts() throws {
        var random = SeededRandom.printed(for: "mutatedTexts")
        let alphabet = Array("[]{},:\"\\u0dDeE+-.19atrn\n\u{1}é".utf8) + [0xff, 0xed, 0xa0, 0x80]
        var accepted = 0
        for _ in 0..<5000 {
            let value = RandomJSON.value(depth: 4, using: &random)
            var bytes = value.encode(pretty: random.once(in: 2))
            #expect(try JSONReader.read(bytes) == value)
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                let index = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[index] = random.pick(alphabet)
                case 1: bytes.insert(random.pick(alphabet), at: index)
                default: if bytes.count > 1 { bytes.remove(at: index) }
                }
            }
            guard let changed = try? JSONReader.read(bytes) else { continue }
            accepted += 1
            #expect(try JSONReader.read(changed.encode(pretty: true)) == changed)
        }
        #expect(accepted > 0)
    }
}
