/// Writes JSON into a growing buffer, value after value.
///
///     writer.object { writer in
///         writer.key("name")
///         writer.string("x")
///     }
///
/// Laid out as Python's `json.dumps` does with `indent=2` (pretty) or without any space (compact). Strings stay UTF-8:
/// only quotes, backslashes and control characters are escaped. Brackets always balance; that each value in an object
/// follows a key is the caller's part.
package struct JSONWriter {
    package private(set) var bytes: [UInt8] = []
    private let pretty: Bool
    private var depth = 0
    /// Whether the innermost open container has something in it.
    private var hasContent = false
    private var followsKey = false

    package init(pretty: Bool, capacity: Int = 0) {
        self.pretty = pretty
        bytes.reserveCapacity(capacity)
    }

    // MARK: Containers

    package mutating func object<E: Error>(_ members: (inout JSONWriter) throws(E) -> Void) throws(E) {
        try container("{", "}", members)
    }

    package mutating func array<E: Error>(_ elements: (inout JSONWriter) throws(E) -> Void) throws(E) {
        try container("[", "]", elements)
    }

    package mutating func key(_ key: String) {
        separate()
        quote(key)
        bytes.append(UInt8(ascii: ":"))
        if pretty { bytes.append(UInt8(ascii: " ")) }
        followsKey = true
    }

    // MARK: Values

    package mutating func null() { literal("null") }

    package mutating func bool(_ value: Bool) { literal(value ? "true" : "false") }

    package mutating func integer(_ value: some FixedWidthInteger) { literal(String(value)) }

    package mutating func number(_ value: JSONNumber) { literal(value.text) }

    package mutating func string(_ value: String) {
        separate()
        quote(value)
    }

    /// A string from bytes. What is not UTF-8 becomes U+FFFD, so that the output always is.
    package mutating func string(utf8 value: some Collection<UInt8>) {
        string(String(decoding: value, as: UTF8.self))
    }

    package mutating func value(_ value: JSONValue) {
        switch value {
        case .null: null()
        case .bool(let value): bool(value)
        case .integer(let value): integer(value)
        case .unsigned(let value): integer(value)
        case .number(let value): number(value)
        case .string(let value): string(value)
        case .array(let elements):
            array { writer in
                for element in elements { writer.value(element) }
            }
        case .object(let members):
            object { writer in
                for member in members {
                    writer.key(member.key)
                    writer.value(member.value)
                }
            }
        }
    }

    /// A line end, as it follows a document in a file and each one in JSON lines.
    package mutating func endLine() {
        bytes.append(UInt8(ascii: "\n"))
    }

    // MARK: Layout

    private mutating func container<E: Error>(
        _ opening: Unicode.Scalar, _ closing: Unicode.Scalar, _ content: (inout JSONWriter) throws(E) -> Void
    ) throws(E) {
        separate()
        bytes.append(UInt8(ascii: opening))
        hasContent = false
        depth += 1
        try content(&self)
        depth -= 1
        if hasContent { indent() }
        bytes.append(UInt8(ascii: closing))
        hasContent = true
    }

    private mutating func literal(_ text: String) {
        separate()
        bytes.append(contentsOf: text.utf8)
    }

    /// What goes between the value before and this one.
    private mutating func separate() {
        if followsKey {
            followsKey = false
        } else if depth > 0 {
            if hasContent { bytes.append(UInt8(ascii: ",")) }
            indent()
        }
        hasContent = true
    }

    private mutating func indent() {
        guard pretty else { return }
        bytes.append(UInt8(ascii: "\n"))
        bytes.append(contentsOf: repeatElement(UInt8(ascii: " "), count: 2 * depth))
    }

    // MARK: Strings

    private mutating func quote(_ text: String) {
        var text = text
        text.withUTF8 { utf8 in
            bytes.append(UInt8(ascii: "\""))
            var run = 0
            for index in utf8.indices where Self.needsEscape(utf8[index]) {
                bytes.append(contentsOf: utf8[run..<index])
                escape(utf8[index])
                run = index + 1
            }
            bytes.append(contentsOf: utf8[run...])
            bytes.append(UInt8(ascii: "\""))
        }
    }

    @inline(__always)
    private static func needsEscape(_ byte: UInt8) -> Bool {
        byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\")
    }

    private mutating func escape(_ byte: UInt8) {
        let short: Unicode.Scalar? =
            switch byte {
            case UInt8(ascii: "\""): "\""
            case UInt8(ascii: "\\"): "\\"
            case 0x08: "b"
            case 0x09: "t"
            case 0x0a: "n"
            case 0x0c: "f"
            case 0x0d: "r"
            default: nil
            }
        bytes.append(UInt8(ascii: "\\"))
        if let short {
            bytes.append(UInt8(ascii: short))
        } else {
            bytes.append(contentsOf: byte < 0x10 ? "u000".utf8 : "u001".utf8)
            bytes.append(contentsOf: String(byte & 15, radix: 16).utf8)
        }
    }
}
