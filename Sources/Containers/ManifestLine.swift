import Codec
import Glibc
import Model

/// The values of one line of a manifest; nil where the keyword is absent.
struct ManifestLine {
    typealias Text = Slice<UnsafeRawBufferPointer>

    /// What is wrong with a line.
    struct Fault: Error {
        let message: String
    }

    var type: EntryKind?
    var mode: UInt16?
    var user: UInt32?
    var group: UInt32?
    var size: UInt64?
    var modified: Timestamp?
    var target: [UInt8]?
    var digest: SHA256Digest?
    /// As they stand in the line: to be decoded while its bytes are there.
    var userName: Text?
    var groupName: Text?
    /// Of a `#:` line.
    var extra = Extra()

    /// No file is larger on Linux.
    private static let largest = UInt64(Int64.max)

    /// What mtree has no keyword for.
    struct Extra {
        var linkGroup: UInt32 = 0
        var flags: EntryRecord.Flags = []
        var lacksExtended = false
        var extended: [ExtendedAttribute] = []
    }

    /// Reads the fields behind an entry's name, or those of a `#:` line.
    init(_ text: Text, isExtra: Bool) throws(Fault) {
        var start = text.startIndex
        while start < text.endIndex {
            if text[start] == UInt8(ascii: " ") {
                start += 1
                continue
            }
            let end = text[start...].firstIndex(of: UInt8(ascii: " ")) ?? text.endIndex
            let token = text[start..<end]
            start = end
            guard let equals = token.firstIndex(of: UInt8(ascii: "=")) else {
                if Self.is(token, "optional") { continue }
                throw Fault(message: "'\(printable(token.prefix(40)))' is no keyword")
            }
            let key = token[..<equals]
            let value = token[(equals + 1)...]
            let isKnown = isExtra ? setExtra(key, value) : setField(key, value)
            if !isKnown {
                throw Fault(message: "'\(printable(token.prefix(80)))' is no keyword, or has no such value")
            }
        }
    }

    /// Whether what stands in a `#:` line can be said of an entry of this kind.
    func checkExtra(fits kind: EntryKind) throws(Fault) {
        if kind != .directory && extra.flags.contains(.ancestor) {
            throw Fault(message: "'ancestor' is for directories")
        }
        if kind != .file && (extra.flags.contains(.sparse) || extra.linkGroup != 0) {
            throw Fault(message: "'sparse' and 'group' are for files")
        }
        for (a, b) in zip(extra.extended, extra.extended.dropFirst())
        where !a.name.lexicographicallyPrecedes(b.name) {
            throw Fault(message: "extended attributes out of order")
        }
    }
}

// One keyword after the other.
extension ManifestLine {
    /// False for an unknown keyword as well as for a value that it cannot have: a manifest of ours has neither.
    private mutating func setField(_ key: Text, _ value: Text) -> Bool {
        switch true {
        case Self.is(key, "type"): return Self.set(&type, Self.type(value))
        case Self.is(key, "size"): return Self.set(&size, Self.decimal(value).flatMap { $0 <= Self.largest ? $0 : nil })
        case Self.is(key, "time"): return Self.set(&modified, Self.time(value))
        case Self.is(key, "sha256"):
            return Self.set(&digest, SHA256Digest(hex: UnsafeRawBufferPointer(rebasing: value)))
        case Self.is(key, "link"): return Self.set(&target, ManifestText.decode(value))
        default: return setOwner(key, value)
        }
    }

    private mutating func setOwner(_ key: Text, _ value: Text) -> Bool {
        switch true {
        case Self.is(key, "mode"): return Self.set(&mode, Self.octal(value))
        case Self.is(key, "uid"): return Self.set(&user, Self.owner(value))
        case Self.is(key, "gid"): return Self.set(&group, Self.owner(value))
        case Self.is(key, "uname"): return Self.set(&userName, value)
        case Self.is(key, "gname"): return Self.set(&groupName, value)
        default: return false
        }
    }

    private mutating func setExtra(_ key: Text, _ value: Text) -> Bool {
        if key.starts(with: "xattr.".utf8) {
            guard let name = ManifestText.decode(key.dropFirst(6)), !name.isEmpty, name.count < 256, !name.contains(0),
                let bytes = Base64.decode(value), bytes.count <= 65_536
            else { return false }
            extra.extended.append(ExtendedAttribute(name: name, value: bytes))
            return true
        }
        if Self.is(key, "group") {
            guard let group = Self.decimal(value).flatMap({ UInt32(exactly: $0) }), group > 0 else { return false }
            extra.linkGroup = group
            return true
        }
        if Self.is(value, "yes") {
            if Self.is(key, "sparse") { extra.flags.insert(.sparse) }
            if Self.is(key, "ancestor") { extra.flags.insert(.ancestor) }
            return Self.is(key, "sparse") || Self.is(key, "ancestor")
        }
        if Self.is(key, "lacks") {
            extra.lacksExtended = Self.is(value, "xattrs")
            return extra.lacksExtended
        }
        return setOwner(key, value)
    }

    /// Sets what must not be set yet, to a value that must be there.
    private static func set<Value>(_ field: inout Value?, _ value: Value?) -> Bool {
        guard field == nil, let value else { return false }
        field = value
        return true
    }

    @inline(__always)
    private static func `is`(_ text: Text, _ word: StaticString) -> Bool {
        text.count == word.utf8CodeUnitCount
            && memcmp(text.base.baseAddress.unsafelyUnwrapped + text.startIndex, word.utf8Start, text.count) == 0
    }

    private static func type(_ value: Text) -> EntryKind? {
        switch true {
        case Self.is(value, "file"): .file
        case Self.is(value, "dir"): .directory
        case Self.is(value, "link"): .link
        default: nil
        }
    }

    private static func decimal(_ text: Text) -> UInt64? {
        guard !text.isEmpty else { return nil }
        var value: UInt64 = 0
        for byte in text {
            let digit = byte &- UInt8(ascii: "0")
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, carry) = product.addingReportingOverflow(UInt64(digit))
            guard digit < 10, !overflow, !carry else { return nil }
            value = sum
        }
        return value
    }

    /// The largest number stands for no owner in calls of the kernel, and for none that could be given.
    private static func owner(_ text: Text) -> UInt32? {
        decimal(text).flatMap { UInt32(exactly: $0) }.flatMap { $0 == .max ? nil : $0 }
    }

    private static func octal(_ text: Text) -> UInt16? {
        guard !text.isEmpty, text.count <= 5 else { return nil }
        var value: UInt16 = 0
        for byte in text {
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 8 else { return nil }
            value = value << 3 | UInt16(digit)
        }
        return value <= 0o7777 ? value : nil
    }

    private static func time(_ text: Text) -> Timestamp? {
        let isNegative = text.first == UInt8(ascii: "-")
        let digits = isNegative ? text.dropFirst() : text
        guard let dot = digits.firstIndex(of: UInt8(ascii: ".")), digits.endIndex - dot == 10,
            let magnitude = decimal(digits[..<dot]), let seconds = Int64(exactly: magnitude),
            let nanoseconds = decimal(digits[(dot + 1)...])
        else { return nil }
        return Timestamp(seconds: isNegative ? -seconds : seconds, nanoseconds: UInt32(nanoseconds))
    }
}
