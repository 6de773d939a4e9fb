/// A JSON value that keeps what it was read from: the order of keys, and numbers to the last digit.
package enum JSONValue: Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    /// For what `integer` can't hold.
    case unsigned(UInt64)
    /// For every other number.
    case number(JSONNumber)
    case string(String)
    case array([JSONValue])
    /// Keys in the order in which they are written.
    case object([JSONMember])
}

/// A key of an object, and its value.
package struct JSONMember: Equatable, Sendable {
    package var key: String
    package var value: JSONValue

    package init(_ key: String, _ value: JSONValue) {
        self.key = key
        self.value = value
    }

    package static func == (a: JSONMember, b: JSONMember) -> Bool {
        sameText(a.key, b.key) && a.value == b.value
    }
}

extension JSONValue {
    /// The value of `key` if this is an object that has it.
    package subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { sameText($0.key, key) }?.value
    }

    package var isNull: Bool {
        if case .null = self { true } else { false }
    }

    package var boolValue: Bool? {
        if case .bool(let value) = self { value } else { nil }
    }

    package var integerValue: Int64? {
        switch self {
        case .integer(let value): value
        case .unsigned(let value): Int64(exactly: value)
        default: nil
        }
    }

    package var unsignedValue: UInt64? {
        switch self {
        case .integer(let value): UInt64(exactly: value)
        case .unsigned(let value): value
        default: nil
        }
    }

    /// Any number, rounded to the nearest Double; nil for one beyond its range.
    package var doubleValue: Double? {
        let value: Double? =
            switch self {
            case .integer(let value): Double(value)
            case .unsigned(let value): Double(value)
            case .number(let number): Double(number.text)
            default: nil
            }
        return value.flatMap { $0.isFinite ? $0 : nil }
    }

    package var stringValue: String? {
        if case .string(let value) = self { value } else { nil }
    }

    package var arrayValue: [JSONValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    package var objectValue: [JSONMember]? {
        if case .object(let members) = self { members } else { nil }
    }

    /// The text, in UTF-8, without a line end behind it.
    package func encode(pretty: Bool = false) -> [UInt8] {
        var writer = JSONWriter(pretty: pretty)
        writer.value(self)
        return writer.bytes
    }
}

extension JSONValue: Equatable {
    /// Equal when their texts are: byte for byte, where `String` would take `é` and `e` with an accent for the same.
    package static func == (a: JSONValue, b: JSONValue) -> Bool {
        a.encode() == b.encode()
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    package init(stringLiteral value: String) { self = .string(value) }
    package init(integerLiteral value: Int64) { self = .integer(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
    package init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// Keeps the order of the literal.
    package init(dictionaryLiteral members: (String, JSONValue)...) {
        self = .object(members.map { JSONMember($0, $1) })
    }
}

/// Whether two strings have the same scalars. `==` would also take canonically equivalent ones for equal, which are
/// different file names, and different keys by RFC 8259 section 8.3.
func sameText(_ a: String, _ b: String) -> Bool {
    a.utf8.elementsEqual(b.utf8)
}
