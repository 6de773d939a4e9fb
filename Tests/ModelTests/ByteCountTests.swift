import Model
import Testing

@Suite struct ByteCountTests {
    private static let examples: [(UInt64, String)] = [
        (0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.0 kB"), (1049, "1.0 kB"), (1050, "1.1 kB"), (9949, "9.9 kB"),
        (9950, "10 kB"), (10_499, "10 kB"), (10_500, "11 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"),
        (300_000_000, "300 MB"), (1_234_567_890, "1.2 GB"), (2_000_000_000, "2.0 GB"), (999_999_999_999, "1.0 TB"),
        (5_000_000_000_000_000, "5.0 PB"), (999_500_000_000_000_000, "1.0 EB"), (.max, "18 EB"),
    ]

    @Test(arguments: examples)
    func reads(bytes: UInt64, text: String) {
        #expect(ByteCount(bytes).description == text)
    }

    @Test func comparesByBytes() {
        #expect(ByteCount(999) < ByteCount(1000))
    }
}
