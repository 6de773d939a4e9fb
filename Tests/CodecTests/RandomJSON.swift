import Codec
import TestKit

/// JSON values of every kind, with awkward strings; no fractions, of which Python would change the text.
enum RandomJSON {
    static func value(depth: Int, using random: inout SeededRandom) -> JSONValue {
        switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
        case 0: return .null
        case 1: return .bool(random.once(in: 2))
        case 2: return .integer(Int64.random(in: .min ... .max, using: &random))
        case 3: return .unsigned(UInt64.random(in: .min ... .max, using: &random))
        case 4, 5: return .string(string(using: &random))
        case 6:
            let count = Int.random(in: 0..<4, using: &random)
            return .array((0..<count).map { _ in value(depth: depth - 1, using: &random) })
        default:
            let keys = (0..<Int.random(in: 0..<4, using: &random)).map { "\(string(using: &random))\($0)" }
            return .object(keys.map { JSONMember($0, value(depth: depth - 1, using: &random)) })
        }
    }

    private static func string(using random: inout SeededRandom) -> String {
        let scalars: [Unicode.Scalar] = [
            "a", "/", "\"", "\\", "\0", "\n", "\u{1f}", "\u{7f}", "é", "e", "\u{301}", "\u{2028}", "\u{ffff}",
            "\u{1f600}",
            "\u{10ffff}", "\u{d7ff}",
        ]
        var text = ""
        for _ in 0..<Int.random(in: 0..<6, using: &random) { text.unicodeScalars.append(random.pick(scalars)) }
        return text
    }
}
