/// Changes bytes as damage and malice do.
package enum Mutation {
    private static let numbers: [UInt32] = [0, 1, 0xff, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]

    /// Pieces of JSON that readers stumble over.
    package static let tokens: [String] = [
        "null", "true", "{}", "[]", "\"\"", "0", "-0", "-1", "1e400", "0.5", "18446744073709551615",
        "18446744073709551616",
        "-9223372036854775808", "4294967296", "\"\\u0000\"", "\"\\ud800\"", "\"\\", "[[[[[[[[", "{\"\":", ",", ":",
        "\"",
        "\"type\":\"dir\",", "\"name\":\"../x\",", "\"name\":\"..\",", "\"content\":null,", "}", "]",
    ]

    /// `seed` with a few changes. `others`: what pieces are taken from; `tokens`: what stands in text of this kind.
    package static func changed(
        _ seed: [UInt8], others: [[UInt8]], tokens: [String] = [], _ random: inout SeededRandom
    ) -> [UInt8] {
        var bytes = seed
        for _ in 0..<Int.random(in: 1...4, using: &random) where !bytes.isEmpty {
            if !tokens.isEmpty, random.once(in: 2) {
                replaceToken(in: &bytes, by: random.pick(tokens), &random)
            } else {
                change(&bytes, others, &random)
            }
        }
        return bytes
    }

    private static func change(_ bytes: inout [UInt8], _ others: [[UInt8]], _ random: inout SeededRandom) {
        let at = Int.random(in: bytes.indices, using: &random)
        let length = Int.random(in: 1...min(64, bytes.count - at), using: &random)
        switch Int.random(in: 0..<8, using: &random) {
        case 0: bytes[at] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1: bytes[at] = UInt8.random(in: 0...255, using: &random)
        case 2, 3:
            // A number of a header, most likely at the end of the file.
            let near = random.once(in: 2) ? max(0, bytes.count - 1 - at % 200) : at
            let number = random.pick(numbers)
            for place in 0..<random.pick([2, 4, 8]) where near + place < bytes.count {
                bytes[near + place] = place < 4 ? UInt8(truncatingIfNeeded: number >> (8 * UInt32(place))) : 0xff
            }
        case 4: bytes.removeSubrange(at..<at + length)
        case 5: bytes.insert(contentsOf: bytes[at..<at + length], at: at)
        case 6: bytes.removeLast(length)
        default:
            let other = random.pick(others)
            if other.isEmpty { return }
            let from = Int.random(in: other.indices, using: &random)
            let part = other[from..<min(other.count, from + length)]
            bytes.replaceSubrange(at..<min(bytes.count, at + part.count), with: part)
        }
    }

    /// Puts `token` where a value of JSON stands: behind a colon, a comma or a bracket, up to the next one.
    private static func replaceToken(in bytes: inout [UInt8], by token: String, _ random: inout SeededRandom) {
        let marks = Array(":,[{".utf8)
        let start = Int.random(in: bytes.indices, using: &random)
        guard let mark = bytes[start...].firstIndex(where: { marks.contains($0) }) else { return }
        let end = bytes[(mark + 1)...].firstIndex { Array(",]}".utf8).contains($0) } ?? bytes.count
        let replaces = !random.once(in: 3)
        bytes.replaceSubrange((replaces ? mark + 1 : end)..<end, with: Array(token.utf8))
    }
}
