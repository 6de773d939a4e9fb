import Codec
import TestKit
import Testing

@Suite struct Base64Tests {
    /// RFC 4648, section 10.
    @Test(arguments: [
        ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
        ("foobar", "Zm9vYmFy"),
    ])
    func vectors(plain: String, text: String) {
        #expect(Base64.string(Array(plain.utf8)) == text)
        #expect(Base64.decode(text.utf8) == Array(plain.utf8))
    }

    @Test(arguments: [
        "Z", "Zg", "Zg=", "Zg===", "=", "==", "====", "Z===", "Zg==Zg==", "Zm9v\n", " Zm9", "Zm9vYg=\n", "Z=g=", "=Zm9",
        "Zh==", "Zm9=", "Zm-_", "Zm9v====", "Zm9\0", "Zm9é", "Zg=A",
    ])
    func refuses(text: String) {
        #expect(Base64.decode(text.utf8) == nil)
    }

    @Test func everyByteComesBack() {
        let all = (0...255).map { UInt8($0) }
        for count in 0...all.count {
            #expect(Base64.decode(Base64.encode(Array(all.prefix(count)))) == Array(all.prefix(count)))
        }
    }

    /// Whatever is accepted is exactly what encoding writes.
    @Test func onlyCanonicalTextIsAccepted() {
        var random = SeededRandom.printed(for: "onlyCanonicalTextIsAccepted")
        let alphabet = Array("ABgw048+/=".utf8)
        var accepted = 0
        for _ in 0..<20_000 {
            let text = (0..<random.pick([4, 4, 8])).map { _ in random.pick(alphabet) }
            guard let bytes = Base64.decode(text) else { continue }
            accepted += 1
            #expect(Base64.encode(bytes) == text)
        }
        #expect(accepted > 0)
    }

    @Test func agreesWithTheBase64Tool() throws {
        var random = SeededRandom.printed(for: "agreesWithTheBase64Tool")
        let bytes = random.bytes(Int.random(in: 1000..<5000, using: &random))
        #expect(try ToolRun.run("base64", ["-w0"], input: bytes).output == Base64.encode(bytes))
    }
}
