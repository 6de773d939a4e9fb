/// Names of nodes as Go's `strconv.Quote` writes them, without the quotes around them.
enum NameQuoting {
    /// The bytes that `quoted` stands for; nil where Go's `strconv.Unquote` refuses it.
    static func unquoted(_ quoted: [UInt8]) -> [UInt8]? {
        var name: [UInt8] = []
        name.reserveCapacity(quoted.count)
        var rest = quoted[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "\""), 0x0a: return nil
            case UInt8(ascii: "\\"):
                guard appendEscape(&rest, to: &name) else { return nil }
            default: name.append(byte)
            }
        }
        return name
    }

    /// Reads what follows a backslash.
    private static func appendEscape(_ rest: inout ArraySlice<UInt8>, to name: inout [UInt8]) -> Bool {
        guard let letter = rest.popFirst() else { return false }
        switch letter {
        case UInt8(ascii: "a"): name.append(0x07)
        case UInt8(ascii: "b"): name.append(0x08)
        case UInt8(ascii: "f"): name.append(0x0c)
        case UInt8(ascii: "n"): name.append(0x0a)
        case UInt8(ascii: "r"): name.append(0x0d)
        case UInt8(ascii: "t"): name.append(0x09)
        case UInt8(ascii: "v"): name.append(0x0b)
        case UInt8(ascii: "\\"), UInt8(ascii: "\""): name.append(letter)
        case UInt8(ascii: "x"):
            guard let value = number(&rest, digits: 2, radix: 16) else { return false }
            name.append(UInt8(value))
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let digits = letter == UInt8(ascii: "u") ? 4 : 8
            guard let value = number(&rest, digits: digits, radix: 16), let scalar = Unicode.Scalar(value) else {
                return false
            }
            name.append(contentsOf: Character(scalar).utf8)
        case UInt8(ascii: "0")...UInt8(ascii: "7"):
            guard let low = number(&rest, digits: 2, radix: 8) else { return false }
            let value = UInt32(letter - UInt8(ascii: "0")) << 6 | low
            guard value < 256 else { return false }
            name.append(UInt8(value))
        default: return false
        }
        return true
    }

    private static func number(_ rest: inout ArraySlice<UInt8>, digits: Int, radix: Int) -> UInt32? {
        let text = rest.prefix(digits)
        guard text.count == digits, text.allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }) else {
            return nil
        }
        rest = rest.dropFirst(digits)
        return UInt32(String(decoding: text, as: UTF8.self), radix: radix)
    }
}
