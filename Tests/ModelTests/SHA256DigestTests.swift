import Foundation
import Model
import Testing

@Suite struct SHA256DigestTests {
    private static let digits = Array("0123456789abcdefABCDEF".utf8)

    private func digest(_ text: [UInt8]) -> SHA256Digest? { text.withUnsafeBytes { SHA256Digest(hex: $0) } }

    @Test func digitsOfAnyCaseAreRead() {
        for first in Self.digits {
            for second in Self.digits {
                let text = (0..<32).flatMap { $0 % 3 == 0 ? [first, second] : [second, first] }
                let expected = (0..<32).map { place in
                    let pair = [text[2 * place], text[2 * place + 1]]
                    return UInt8(String(decoding: pair, as: UTF8.self), radix: 16) ?? 0
                }
                #expect(digest(text)?.withBytes { Array($0) } == expected)
                #expect(digest(text)?.hex == String(decoding: text, as: UTF8.self).lowercased())
            }
        }
    }

    @Test func everyOtherByteIsRefusedWhereverItStands() {
        for byte in UInt8.min...UInt8.max where !Self.digits.contains(byte) {
            for place in 0..<64 {
                var text = [UInt8](repeating: UInt8(ascii: "a"), count: 64)
                text[(place + 1) % 64] = UInt8(ascii: "9")
                text[place] = byte
                #expect(digest(text) == nil, "byte \(byte) at \(place)")
            }
        }
        #expect(digest(Array(repeating: UInt8(ascii: "a"), count: 63)) == nil)
        #expect(digest(Array(repeating: UInt8(ascii: "a"), count: 65)) == nil)
    }
}
