import Codec
import Glibc
import Model

/// Reads a manifest: untrusted bytes, one pass, every line checked.
package struct ManifestReader {
    /// More than any manifest has; a larger file is refused before it is read.
    package static let sizeLimit = 1 << 31
    private static let sealLength = "# sha256 ".utf8.count + 64 + 1

    private typealias Bytes = UnsafeRawBufferPointer
    private typealias Text = Slice<UnsafeRawBufferPointer>

    private var table = EntryTable(root: EntryRecord(kind: .directory, flags: .ancestor))
    private var held: [Int: Manifest.Held] = [:]
    private var metadata: (size: UInt64, digest: SHA256Digest)?
    private var hasRoot = false
    private var pending: Line?
    private var number = 0

    /// The values of one line; nil where the keyword is absent.
    private struct Line {
        var type: EntryKind?
        var mode: UInt16?
        var user: UInt32?
        var group: UInt32?
        var size: UInt64?
        var modified: Timestamp?
        var target: [UInt8]?
        var digest: SHA256Digest?
        var userName: Text?
        var groupName: Text?
        // Of a `#:` line.
        var linkGroup: UInt32 = 0
        var flags: EntryRecord.Flags = []
        var lacksExtended = false
        var extended: [ExtendedAttribute] = []
    }

    private init() {}

    /// The last line's hash, without checking that it is right; nil if the last line is no seal.
    package static func seal(inTail tail: [UInt8]) -> SHA256Digest? {
        guard tail.count >= sealLength, tail.last == UInt8(ascii: "\n") else { return nil }
        let line = tail.suffix(sealLength)
        let hex = line.dropLast().suffix(64)
        // Nothing guards this line but its form: a capital letter is a changed bit.
        let isLowerCase = !hex.contains { UInt8(ascii: "A")...UInt8(ascii: "F") ~= $0 }
        guard line.starts(with: "# sha256 ".utf8), isLowerCase else { return nil }
        return SHA256Digest(hex: hex)
    }

    package static func read(_ bytes: [UInt8]) throws(ManifestError) -> Manifest {
        try bytes.withRawBytes { bytes throws(ManifestError) in try read(bytes) }
    }

    private static func read(_ bytes: Bytes) throws(ManifestError) -> Manifest {
        guard let seal = seal(inTail: Array(bytes.suffix(sealLength))) else {
            throw ManifestError(line: 0, message: "the seal that ends it is missing")
        }
        let content = Bytes(rebasing: bytes[..<(bytes.count - sealLength)])
        guard SHA256.digest(of: content) == seal else {
            throw ManifestError(line: 0, message: "it does not match its seal")
        }
        var reader = ManifestReader()
        // A line of ours has 200 bytes and more: so the arrays need not grow.
        reader.table.reserve(entries: bytes.count / 180 + 16, bytes: bytes.count / 4)
        try reader.read(lines: content)
        guard reader.hasRoot, let metadata = reader.metadata else {
            throw ManifestError(line: 0, message: "'.' or \(BackupMetadata.fileName) is not listed")
        }
        return Manifest(
            table: reader.table, held: reader.held, metadataSize: metadata.size, metadataDigest: metadata.digest,
            seal: seal)
    }

    private mutating func read(lines content: Bytes) throws(ManifestError) {
        var start = 0
        while start < content.count {
            number += 1
            guard let end = content[start...].firstIndex(of: UInt8(ascii: "\n")) else { throw error("it is cut off") }
            let line = content[start..<end]
            start = end + 1
            if line.starts(with: "#:".utf8) {
                if pending != nil { throw error("two '#:' lines in a row") }
                pending = try fields(of: line.dropFirst(2), isExtra: true)
            } else if line.first == UInt8(ascii: "#") || line.isEmpty {
                continue
            } else {
                try entry(line)
            }
        }
        if pending != nil { throw error("a '#:' line without an entry") }
    }

    private mutating func entry(_ line: Text) throws(ManifestError) {
        let extra = pending
        pending = nil
        let nameEnd = line.firstIndex(of: UInt8(ascii: " ")) ?? line.endIndex
        let path = try path(line[..<nameEnd])
        let fields = try fields(of: line[nameEnd...], isExtra: false)
        if Manifest.isReserved(path) {
            if extra != nil { throw error("a '#:' line before a file of ours") }
            return try reserved(path, fields)
        }
        if metadata != nil { throw error("an entry after \(BackupMetadata.fileName)") }
        if path.isRoot == hasRoot { throw error("'.' stands first, and only there") }
        guard let kind = fields.type else { throw error("an entry without its type") }
        try check(extra, fits: kind)
        var record = EntryRecord(kind: kind, flags: extra?.flags ?? [])
        record.linkGroup = extra?.linkGroup ?? 0
        let isBareRoot = path.isRoot && fields.mode == nil
        if isBareRoot {
            record.flags.insert(.ancestor)
        } else {
            try fill(&record, from: fields, extra: extra, index: path.isRoot ? 0 : table.count)
        }
        if path.isRoot {
            guard kind == .directory else { throw error("'.' is no directory") }
            hasRoot = true
            table[0] = record
            table.setRoot(extended: extra?.extended ?? [])
            return
        }
        do throws(EntryTableError) {
            try table.append(record, path: path, target: fields.target ?? [], extended: extra?.extended ?? [])
        } catch {
            throw self.error(error == .noParent ? "\(path): its directory is not listed" : "\(path): out of order")
        }
    }

    private func check(_ extra: Line?, fits kind: EntryKind) throws(ManifestError) {
        guard let extra else { return }
        if kind != .directory && extra.flags.contains(.ancestor) { throw error("'ancestor' is for directories") }
        if kind != .file && (extra.flags.contains(.sparse) || extra.linkGroup != 0) {
            throw error("'sparse' and 'group' are for files")
        }
        for (a, b) in zip(extra.extended, extra.extended.dropFirst())
        where !a.name.lexicographicallyPrecedes(b.name) {
            throw error("extended attributes out of order")
        }
    }

    private mutating func fill(
        _ record: inout EntryRecord, from fields: Line, extra: Line?, index: Int
    ) throws(ManifestError) {
        guard let mode = fields.mode, let user = fields.user, let group = fields.group, let modified = fields.modified
        else { throw error("an entry without mode, uid, gid or time") }
        record.mode = extra?.mode ?? mode
        record.user = extra?.user ?? user
        record.group = extra?.group ?? group
        record.modified = modified
        name(record.user, extra?.userName ?? (extra?.user == nil ? fields.userName : nil), in: &table.userNames)
        name(record.group, extra?.groupName ?? (extra?.group == nil ? fields.groupName : nil), in: &table.groupNames)
        if let extra, extra.mode != nil || extra.lacksExtended {
            held[index] = .init(user: user, group: group, mode: mode, lacksExtended: extra.lacksExtended)
        }
        switch record.kind {
        case .file:
            guard let size = fields.size, let digest = fields.digest else {
                throw error("a file without size or sha256")
            }
            record.size = size
            record.digest = digest
            record.flags.insert(.hashed)
        case .link:
            guard let target = fields.target, !target.isEmpty, !target.contains(0), target.count < 4096 else {
                throw error("a link without a target")
            }
        default: break
        }
    }

    private mutating func reserved(_ path: EntryPath, _ fields: Line) throws(ManifestError) {
        guard path.bytes.elementsEqual(BackupMetadata.fileName.utf8) else { return }
        guard metadata == nil, let size = fields.size, let digest = fields.digest else {
            throw error("\(path): listed twice, or without size or sha256")
        }
        metadata = (size, digest)
    }

    private func name(_ number: UInt32, _ text: Text?, in names: inout [UInt32: String]) {
        guard let text, names[number] == nil, let bytes = ManifestText.decode(text) else { return }
        names[number] = String(decoding: bytes, as: UTF8.self)
    }

    private func path(_ text: Text) throws(ManifestError) -> EntryPath {
        if text.count == 1, text.first == UInt8(ascii: ".") { return .root }
        guard text.starts(with: "./".utf8), let bytes = ManifestText.decode(text.dropFirst(2)),
            let path = EntryPath(checking: bytes), !path.isRoot
        else { throw error("'\(printable(text.prefix(200)))' is no path inside a backup") }
        return path
    }

    private func error(_ message: String) -> ManifestError {
        ManifestError(line: number, message: message)
    }
}

// The fields of a line.
extension ManifestReader {
    private func fields(of text: Text, isExtra: Bool) throws(ManifestError) -> Line {
        var line = Line()
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
                if token.elementsEqual("optional".utf8) { continue }
                throw error("'\(printable(token.prefix(40)))' is no keyword")
            }
            let key = token[..<equals]
            let value = token[(equals + 1)...]
            let known = isExtra ? extra(key, value, &line) : field(key, value, &line)
            if !known { throw error("'\(printable(token.prefix(80)))' is no keyword, or has no such value") }
        }
        return line
    }

    /// False for an unknown keyword as well as for a value that it cannot have: a manifest of ours has neither.
    private func field(_ key: Text, _ value: Text, _ line: inout Line) -> Bool {
        switch true {
        case Self.is(key, "type"): return set(&line.type, Self.type(value))
        case Self.is(key, "size"): return set(&line.size, Self.decimal(value))
        case Self.is(key, "time"): return set(&line.modified, Self.time(value))
        case Self.is(key, "sha256"):
            return set(&line.digest, SHA256Digest(hex: UnsafeRawBufferPointer(rebasing: value)))
        case Self.is(key, "link"): return set(&line.target, ManifestText.decode(value))
        default: return owner(key, value, &line)
        }
    }

    private func owner(_ key: Text, _ value: Text, _ line: inout Line) -> Bool {
        switch true {
        case Self.is(key, "mode"): return set(&line.mode, Self.octal(value))
        case Self.is(key, "uid"): return set(&line.user, Self.decimal(value).flatMap { UInt32(exactly: $0) })
        case Self.is(key, "gid"): return set(&line.group, Self.decimal(value).flatMap { UInt32(exactly: $0) })
        case Self.is(key, "uname"): return set(&line.userName, value)
        case Self.is(key, "gname"): return set(&line.groupName, value)
        default: return false
        }
    }

    private func extra(_ key: Text, _ value: Text, _ line: inout Line) -> Bool {
        if key.starts(with: "xattr.".utf8) {
            guard let name = ManifestText.decode(key.dropFirst(6)), !name.isEmpty, name.count < 256, !name.contains(0),
                let bytes = Base64.decode(value), bytes.count <= 65_536
            else { return false }
            line.extended.append(ExtendedAttribute(name: name, value: bytes))
            return true
        }
        if Self.is(key, "group") {
            guard let group = Self.decimal(value).flatMap({ UInt32(exactly: $0) }), group > 0 else { return false }
            line.linkGroup = group
            return true
        }
        if Self.is(value, "yes") {
            if Self.is(key, "sparse") { line.flags.insert(.sparse) }
            if Self.is(key, "ancestor") { line.flags.insert(.ancestor) }
            return Self.is(key, "sparse") || Self.is(key, "ancestor")
        }
        if Self.is(key, "lacks") {
            line.lacksExtended = Self.is(value, "xattrs")
            return line.lacksExtended
        }
        return owner(key, value, &line)
    }

    /// Sets what must not be set yet, to a value that must be there.
    private func set<Value>(_ field: inout Value?, _ value: Value?) -> Bool {
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
