/// CRC-64/XZ: finds rot in our own journal and state files (D5). Not against forgery.
///
/// Source: ECMA-182's polynomial, reflected, all ones at start and end; of `123456789` it is `995dc9bbdf1939fa`.
enum CRC64 {
    private static let table: [UInt64] = (0..<256).map { byte in
        (0..<8).reduce(UInt64(byte)) { value, _ in
            value & 1 == 1 ? value >> 1 ^ 0xC96C_5795_D787_0F42 : value >> 1
        }
    }

    /// 16 lower-case hexadecimal digits.
    static func hex(of bytes: some Sequence<UInt8>) -> String {
        let table = table
        var value = UInt64.max
        for byte in bytes { value = table[Int(truncatingIfNeeded: value ^ UInt64(byte)) & 0xff] ^ value >> 8 }
        let digits = String(~value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
