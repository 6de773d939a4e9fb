/// An irreducible polynomial of degree 53 over GF(2), which decides where a repository's files are cut. Bit i is the coefficient
/// of xⁱ.
///
/// Source: Rabin, "Fingerprinting by random polynomials" (1981); restic's design document, "Backups and Deduplication".
package struct ChunkerPolynomial: Hashable, Sendable {
    package static let degree = 53
    package let value: UInt64

    /// Nil unless `value` has degree 53 and is irreducible (Ben-Or's test).
    package init?(_ value: UInt64) {
        guard value >> Self.degree == 1, Self.isIrreducible(value) else { return nil }
        self.value = value
    }

    /// Hexadecimal digits without prefix, as a configuration has them.
    package init?(hex: String) {
        guard hex.utf8.count <= 16, !hex.hasPrefix("+"), let value = UInt64(hex, radix: 16) else { return nil }
        self.init(value)
    }

    /// One that nobody knows, from random bytes: `random` fills in as many as it is asked for.
    package static func random(_ random: (Int) -> [UInt8] = SecureRandom.bytes) -> ChunkerPolynomial {
        while true {
            let word = random(8).reversed().reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
            let candidate = word & (1 << (degree + 1) - 1) | 1 << degree | 1
            if let polynomial = ChunkerPolynomial(candidate) { return polynomial }
        }
    }

    package var hex: String { String(value, radix: 16) }

    /// The remainder of `a` divided by this polynomial.
    func remainder(_ a: UInt64) -> UInt64 { Self.remainder(a, value) }

    /// The remainder of `a` · x⁸.
    func shifted(_ a: UInt64) -> UInt64 {
        var a = a
        for _ in 0..<8 { a = remainder(a << 1) }
        return a
    }

    private static func remainder(_ a: UInt64, _ divisor: UInt64) -> UInt64 {
        var a = a
        let zeros = divisor.leadingZeroBitCount
        while a != 0, a.leadingZeroBitCount <= zeros { a ^= divisor << (zeros - a.leadingZeroBitCount) }
        return a
    }

    private static func isIrreducible(_ p: UInt64) -> Bool {
        var power: UInt64 = 2
        for _ in 1...degree / 2 {
            power = square(power, p)
            var (a, b) = (p, power ^ 2)
            while b != 0 { (a, b) = (b, remainder(a, b)) }
            if a != 1 { return false }
        }
        return true
    }

    private static func square(_ a: UInt64, _ p: UInt64) -> UInt64 {
        var result: UInt64 = 0
        for bit in stride(from: degree, through: 0, by: -1) {
            result = remainder(result << 1, p)
            if a >> bit & 1 == 1 { result ^= a }
        }
        return result
    }
}
