import Model

/// Reads untrusted JSON as RFC 8259 defines it, with no leniency: no comments, trailing commas, byte order mark, lone
/// surrogates, invalid UTF-8 or repeated keys. Takes time linear in the input, and stack independent of it.
package struct JSONReader {
    private let bytes: [UInt8]
    private let limits: JSONLimits
    private var position = 0
    private var valueCount = 0
    /// The containers around the position, outermost first: a list and not recursion, so that depth costs no stack.
    private var open: [OpenContainer] = []
    private var scratch: [UInt8] = []

    /// Exactly one value, with nothing but white space around it.
    package static func read(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        var reader = JSONReader(bytes: bytes, limits: limits)
        return try reader.document()
    }

    private init(bytes: [UInt8], limits: JSONLimits) {
        self.bytes = bytes
        self.limits = limits
    }

    private mutating func document() throws(JSONError) -> JSONValue {
        if bytes.count > limits.bytes { throw error("more than \(limits.bytes) bytes") }
        while true {
            var complete = try beginValue()
            while let value = complete {
                if open.isEmpty {
                    try expectEnd()
                    return value
                }
                complete = try add(value)
            }
        }
    }
}

// MARK: - Structure

extension JSONReader {
    /// The value that starts here; nil if it is a container with content, of which the first value comes next.
    private mutating func beginValue() throws(JSONError) -> JSONValue? {
        skipSpace()
        valueCount += 1
        if valueCount > limits.values { throw error("more than \(limits.values) values") }
        switch peek {
        case UInt8(ascii: "{"): return try beginContainer(.object)
        case UInt8(ascii: "["): return try beginContainer(.array)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"): return try number()
        case .some(UInt8(ascii: "0")...UInt8(ascii: "9")): return try number()
        default: throw unexpected("expected a value")
        }
    }

    private mutating func beginContainer(_ kind: OpenContainer.Kind) throws(JSONError) -> JSONValue? {
        if open.count >= limits.depth { throw error("nested more than \(limits.depth) deep") }
        position += 1
        let container = OpenContainer(kind: kind)
        if skip(kind.closing) { return container.value }
        open.append(container)
        if kind == .object { try key() }
        return nil
    }

    /// Adds `value` to the innermost container; gives back the container if it ends here.
    private mutating func add(_ value: JSONValue) throws(JSONError) -> JSONValue? {
        let last = open.count - 1
        open[last].add(value)
        let kind = open[last].kind
        if skip(kind.closing) { return open.removeLast().value }
        guard skip(UInt8(ascii: ",")) else {
            throw unexpected("expected ',' or '\(Unicode.Scalar(kind.closing))'")
        }
        if kind == .object { try key() }
        return nil
    }

    /// Reads the next key of the innermost container.
    private mutating func key() throws(JSONError) {
        skipSpace()
        let start = position
        guard peek == UInt8(ascii: "\"") else { throw unexpected("expected a key in quotes") }
        let key = try string()
        guard open[open.count - 1].begin(key: key) else {
            throw error("the key \"\(printable(key.utf8.prefix(80)))\" appears twice", at: start)
        }
        guard skip(UInt8(ascii: ":")) else { throw unexpected("expected ':' after a key") }
    }

    private mutating func expectEnd() throws(JSONError) {
        skipSpace()
        if position < bytes.count { throw unexpected("expected the end") }
    }
}

// MARK: - Scalars

extension JSONReader {
    private mutating func literal(_ text: String, _ value: JSONValue) throws(JSONError) -> JSONValue {
        guard bytes[position...].starts(with: text.utf8) else { throw unexpected("expected a value") }
        position += text.utf8.count
        return value
    }

    private mutating func number() throws(JSONError) -> JSONValue {
        guard let end = JSONNumber.end(in: bytes, from: position) else { throw error("not a number") }
        let text = String(decoding: bytes[position..<end], as: UTF8.self)
        position = end
        // "-0" looks like an integer, but Int64 has no such number and would write it back as "0".
        if text != "-0" {
            if let integer = Int64(text) { return .integer(integer) }
            if let unsigned = UInt64(text) { return .unsigned(unsigned) }
        }
        return .number(JSONNumber(accepted: text))
    }

    private mutating func string() throws(JSONError) -> String {
        let start = position
        position += 1
        scratch.removeAll(keepingCapacity: true)
        while true {
            let run = position
            while let byte = peek, byte >= 0x20, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\") {
                position += 1
            }
            scratch.append(contentsOf: bytes[run..<position])
            guard let byte = peek else { throw error("a string without an end", at: start) }
            if byte == UInt8(ascii: "\"") { break }
            guard byte == UInt8(ascii: "\\") else { throw error("a control character in a string") }
            try escape()
        }
        position += 1
        guard let text = String(validating: scratch, as: UTF8.self) else {
            throw error("a string that is not UTF-8", at: start)
        }
        return text
    }

    private mutating func escape() throws(JSONError) {
        let start = position
        position += 1
        guard let letter = peek else { throw error("an escape without an end", at: start) }
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(letter)
        case UInt8(ascii: "b"): scratch.append(0x08)
        case UInt8(ascii: "f"): scratch.append(0x0c)
        case UInt8(ascii: "n"): scratch.append(0x0a)
        case UInt8(ascii: "r"): scratch.append(0x0d)
        case UInt8(ascii: "t"): scratch.append(0x09)
        case UInt8(ascii: "u"): scratch.append(contentsOf: Character(try scalar(from: start)).utf8)
        default: throw error("an unknown escape", at: start)
        }
    }

    /// The scalar of a `\u` escape, or of two that form a surrogate pair; the position is behind the first `u`.
    private mutating func scalar(from start: Int) throws(JSONError) -> Unicode.Scalar {
        let first = try fourHexDigits(from: start)
        if let scalar = Unicode.Scalar(first) { return scalar }
        guard first < 0xdc00, bytes[position...].starts(with: "\\u".utf8) else {
            throw error("half of a surrogate pair", at: start)
        }
        position += 2
        let second = try fourHexDigits(from: start)
        guard 0xdc00...0xdfff ~= second,
            let scalar = Unicode.Scalar(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        else { throw error("half of a surrogate pair", at: start) }
        return scalar
    }

    private mutating func fourHexDigits(from start: Int) throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = SHA256Digest.value(ofHexDigit: byte) else {
                throw error("an escape without four hexadecimal digits", at: start)
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}

// MARK: - Bytes and errors

extension JSONReader {
    private var peek: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func skipSpace() {
        while let byte = peek, byte == 0x20 || byte == 0x0a || byte == 0x0d || byte == 0x09 { position += 1 }
    }

    /// Moves behind `byte` if it comes next after white space.
    private mutating func skip(_ byte: UInt8) -> Bool {
        skipSpace()
        guard peek == byte else { return false }
        position += 1
        return true
    }

    private func error(_ message: String, at offset: Int? = nil) -> JSONError {
        JSONError(message, at: offset ?? position, of: bytes)
    }

    private func unexpected(_ expectation: String) -> JSONError {
        guard let byte = peek else { return error("unexpected end, \(expectation)") }
        return error("unexpected '\(printable(CollectionOfOne(byte)))', \(expectation)")
    }
}

/// An array or object of which the end has not been read.
private struct OpenContainer {
    enum Kind { case array, object }

    let kind: Kind
    private var elements: [JSONValue] = []
    private var members: [JSONMember] = []
    /// A set, as comparing each key with each would take quadratic time.
    private var keys: Set<ExactKey> = []
    /// Of the value that is being read, if this is an object.
    private var key = ""

    init(kind: Kind) {
        self.kind = kind
    }

    /// False if the object has the key already.
    mutating func begin(key: String) -> Bool {
        self.key = key
        return keys.insert(ExactKey(text: key)).inserted
    }

    mutating func add(_ value: JSONValue) {
        switch kind {
        case .array: elements.append(value)
        case .object: members.append(JSONMember(key, value))
        }
    }

    var value: JSONValue {
        switch kind {
        case .array: .array(elements)
        case .object: .object(members)
        }
    }
}

extension OpenContainer.Kind {
    fileprivate var closing: UInt8 {
        self == .array ? UInt8(ascii: "]") : UInt8(ascii: "}")
    }
}

/// A key as its bytes: ``sameText(_:_:)`` says why not as a `String`.
private struct ExactKey: Hashable {
    let text: String

    static func == (a: ExactKey, b: ExactKey) -> Bool {
        sameText(a.text, b.text)
    }

    func hash(into hasher: inout Hasher) {
        var text = text
        text.withUTF8 { hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
    }
}
