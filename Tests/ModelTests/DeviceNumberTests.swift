import Model
import TestKit
import Testing

@Suite struct DeviceNumberTests {
    /// Values of makedev(3) of glibc.
    @Test(
        arguments: [
            (1, 3, 0x103), (7, 300, 0x10072c), (4095, 1_048_575, 0xffff_ffff), (0, 0, 0),
            (UInt32.max, UInt32.max, UInt64.max), (0x1_2345, 0x6789_abcd, 0x0001_2678_9ab3_45cd),
        ] as [(UInt32, UInt32, UInt64)])
    func packed(major: UInt32, minor: UInt32, packed: UInt64) throws {
        let number = DeviceNumber(major: major, minor: minor)
        #expect(number.packed == packed, "\(String(number.packed, radix: 16))")
        #expect(DeviceNumber(packed: packed) == number)
        #expect(DeviceNumber(text: number.text) == number)
    }

    @Test func everyNumberOfTheKernelIsOne() {
        var random = SeededRandom.printed(for: "DeviceNumberTests")
        for _ in 0..<1000 {
            let packed = UInt64.random(in: 0 ... .max, using: &random)
            #expect(DeviceNumber(packed: packed).packed == packed)
        }
    }

    @Test(arguments: ["", "1", "1:", ":1", "1:2:3", "a:b", "1:4294967296", "-1:2", "1: 2"])
    func whatIsNone(text: String) {
        #expect(DeviceNumber(text: Array(text.utf8)) == nil)
    }
}
