import Codec
import Model

/// Writes a manifest, hashing as it goes.
package struct ManifestWriter: ~Copyable {
    private let table: EntryTable
    private let held: [Int: Manifest.Held]
    private let wholeMetadata: [UInt8]
    private var bytes: [UInt8] = []
    private var hash = SHA256()
    private static let flushSize = 1 << 20
    /// Bytes of the metadata in a line; divisible by 3.
    private static let metadataPiece = 3 << 14

    /// `wholeMetadata`: see ``Manifest/wholeMetadata``.
    package init(_ table: EntryTable, held: [Int: Manifest.Held], wholeMetadata: [UInt8] = []) {
        self.table = table
        self.wholeMetadata = wholeMetadata
        self.held = held
        bytes.reserveCapacity(Self.flushSize + 65_536)
    }

    /// Passes all bytes to `sink`, in order, and returns the seal.
    package consuming func write(
        metadata: [UInt8], to sink: ([UInt8]) throws -> Void
    ) throws -> SHA256Digest {
        text("#mtree\n# chastipi-backup manifest 1: check it with mtree -p . -f MANIFEST.mtree\n")
        for index in 0..<table.count {
            entry(index)
            if bytes.count >= Self.flushSize { try flush(to: sink) }
        }
        for start in stride(from: 0, to: wholeMetadata.count, by: Self.metadataPiece) {
            let piece = wholeMetadata[start..<min(start + Self.metadataPiece, wholeMetadata.count)]
            text(Manifest.metadataPrefix)
            text(Base64.string(Array(piece)))
            byte("\n")
        }
        text("./\(BackupMetadata.fileName) type=file size=\(metadata.count) sha256=")
        text("\(SHA256.digest(of: metadata).hex)\n./\(Manifest.fileName) type=file optional\n")
        try flush(to: sink)
        let seal = hash.finish()
        try sink(Array("# sha256 \(seal.hex)\n".utf8))
        return seal
    }

    private mutating func flush(to sink: ([UInt8]) throws -> Void) throws {
        hash.update(bytes)
        try sink(bytes)
        bytes.removeAll(keepingCapacity: true)
    }

    private mutating func entry(_ index: Int) {
        let record = table[index]
        let held = held[index]
        extras(index, record, held)
        if index == 0 {
            byte(".")
        } else {
            text("./")
            table.withPath(of: index) { escaped($0) }
        }
        switch record.kind {
        case .directory: text(" type=dir")
        case .link: text(" type=link")
        default: text(" type=file")
        }
        if index == 0 && record.flags.contains(.ancestor) { return byte("\n") }
        text(" mode=0")
        octal(held?.mode ?? record.mode)
        owner(" uid=", " uname=", held?.user ?? record.user, table.userNames)
        owner(" gid=", " gname=", held?.group ?? record.group, table.groupNames)
        if record.kind == .file {
            text(" size=")
            decimal(record.size)
        }
        text(" time=")
        if record.modified.seconds < 0 { byte("-") }
        decimal(record.modified.seconds.magnitude)
        byte(".")
        nanoseconds(record.modified.nanoseconds)
        if record.kind == .link {
            text(" link=")
            escaped(table.target(of: index))
        }
        if record.flags.contains(.hashed) {
            text(" sha256=")
            record.digest.withBytes { for byte in $0 { hex(byte) } }
        }
        byte("\n")
    }

    /// What mtree has no keyword for.
    private mutating func extras(_ index: Int, _ record: EntryRecord, _ held: Manifest.Held?) {
        let extended = table.extended(of: index)
        let isPlain = record.linkGroup == 0 && record.flags.isDisjoint(with: [.sparse, .ancestor])
        guard !isPlain || !extended.isEmpty || held != nil else { return }
        text("#:")
        if record.flags.contains(.ancestor) { text(" ancestor=yes") }
        if record.flags.contains(.sparse) { text(" sparse=yes") }
        if record.linkGroup != 0 {
            text(" group=")
            decimal(UInt64(record.linkGroup))
        }
        if let held {
            text(" mode=0")
            octal(record.mode)
            owner(" uid=", " uname=", record.user, table.userNames)
            owner(" gid=", " gname=", record.group, table.groupNames)
            if held.lacksExtended { text(" lacks=xattrs") }
        }
        for attribute in extended {
            text(" xattr.")
            escaped(attribute.name)
            byte("=")
            bytes += Base64.encode(attribute.value)
        }
        byte("\n")
    }

    private mutating func owner(
        _ numberKey: StaticString, _ nameKey: StaticString, _ number: UInt32, _ names: [UInt32: String]
    ) {
        text(numberKey)
        decimal(UInt64(number))
        guard let name = names[number] else { return }
        text(nameKey)
        escaped(Array(name.utf8))
    }

    // MARK: Bytes

    private mutating func text(_ text: StaticString) {
        text.withUTF8Buffer { bytes.append(contentsOf: $0) }
    }

    @_disfavoredOverload
    private mutating func text(_ text: String) {
        bytes.append(contentsOf: text.utf8)
    }

    private mutating func byte(_ scalar: Unicode.Scalar) {
        bytes.append(UInt8(ascii: scalar))
    }

    private mutating func hex(_ byte: UInt8) {
        bytes.append(Self.hexDigit(byte >> 4))
        bytes.append(Self.hexDigit(byte & 15))
    }

    /// Here and not in Model: across modules it would be a call for each of millions of digits.
    @inline(__always)
    private static func hexDigit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") - 10 + value
    }

    private mutating func escaped(_ value: some Sequence<UInt8>) {
        for byte in value { escape(byte) }
    }

    @inline(__always)
    private mutating func escape(_ byte: UInt8) {
        if ManifestText.isPlain(byte) {
            bytes.append(byte)
        } else {
            bytes.append(UInt8(ascii: "\\"))
            bytes.append(UInt8(ascii: "0") + byte >> 6)
            bytes.append(UInt8(ascii: "0") + byte >> 3 & 7)
            bytes.append(UInt8(ascii: "0") + byte & 7)
        }
    }

    private mutating func octal(_ value: UInt16) {
        for shift in [9, 6, 3, 0] as [UInt16] { bytes.append(UInt8(ascii: "0") + UInt8(value >> shift & 7)) }
    }

    private mutating func decimal(_ value: UInt64) {
        var digits: (UInt64, Int) = (value, 1)
        var power: UInt64 = 1
        while digits.0 / power >= 10 {
            power *= 10
            digits.1 += 1
        }
        for _ in 0..<digits.1 {
            bytes.append(UInt8(ascii: "0") + UInt8(digits.0 / power % 10))
            power /= 10
        }
    }

    private mutating func nanoseconds(_ value: UInt32) {
        var power: UInt32 = 100_000_000
        while power > 0 {
            bytes.append(UInt8(ascii: "0") + UInt8(value / power % 10))
            power /= 10
        }
    }
}

/// Which bytes stand for themselves in a manifest; all others are `\ooo`.
enum ManifestText {
    @inline(__always)
    static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            // `,` `-` `.` `/` and the digits lie side by side.
            UInt8(ascii: ",")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "+"):
            true
        default: false
        }
    }

    /// Nil unless every backslash begins a `\ooo`. A literal byte outside the plain ones is tolerated: it can only have
    /// been written by someone else, and the seal would not match.
    static func decode(_ text: Slice<UnsafeRawBufferPointer>) -> [UInt8]? {
        guard text.contains(UInt8(ascii: "\\")) else { return Array(text) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            guard text[index] == UInt8(ascii: "\\") else {
                bytes.append(text[index])
                index += 1
                continue
            }
            guard text.endIndex - index >= 4 else { return nil }
            var value = 0
            for digit in text[index + 1..<index + 4] {
                guard UInt8(ascii: "0")...UInt8(ascii: "7") ~= digit else { return nil }
                value = value << 3 | Int(digit & 7)
            }
            guard value < 256 else { return nil }
            bytes.append(UInt8(value))
            index += 4
        }
        return bytes
    }
}
