import Codec
import Model

/// What the two headers of a member that we write have in common.
struct ZipMemberHeader: Sendable {
    var name: [UInt8]
    /// How the content is compressed.
    var method = ZipMethod.stored
    /// Then ``compressed`` counts ``AE2Cipher/overhead`` too, and no checksum is written.
    var isEncrypted = false
    /// Type and permissions, as `st_mode` has them.
    var mode: UInt32
    var modified: LocalTime
    var user: UInt32
    var group: UInt32
    var checksum: UInt32 = 0
    var compressed: UInt64 = 0
    var size: UInt64 = 0
    /// Whether its data comes in further parts: then checksum and sizes are filled in at its end.
    var isOpenEnded = false
    /// Whether the local header has room for sizes beyond 32 bits.
    var isLarge = false

    private static let limit32: UInt64 = 0xffff_ffff
    /// Larger members get room for larger numbers from the start: compressing can make a little more of it.
    static let largeFrom: UInt64 = limit32 - (64 << 20)

    private var flags: UInt16 {
        let isPlain = name.allSatisfy { $0 < 0x80 }
        let text = !isPlain && String(validating: name, as: UTF8.self) != nil ? ZipFlags.utf8.rawValue : 0
        return text | (isEncrypted ? ZipFlags.encrypted.rawValue : 0)
    }

    private var timeField: [UInt8] {
        // Beyond what 32 bits hold the manifest alone has the time.
        guard let seconds = Int32(exactly: modified.moment.seconds) else { return [] }
        var field: [UInt8] = []
        field.append16(ZipExtra.time)
        field.append16(5)
        field.append(1)
        field.append32(UInt32(bitPattern: seconds))
        return field
    }

    private var encryptionField: [UInt8] { isEncrypted ? ZipEncryption(method: method).field : [] }

    /// Bytes of the local header with name and extra fields.
    var localBytes: [UInt8] {
        var extra = timeField
        extra.append16(ZipExtra.owner)
        extra.append16(11)
        extra += [1, 4]
        extra.append32(user)
        extra.append(4)
        extra.append32(group)
        if isLarge {
            extra.append16(ZipExtra.zip64)
            extra.append16(16)
            extra.append64(size)
            extra.append64(compressed)
        }
        extra += encryptionField
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ZipRecord.localSize + name.count + extra.count)
        bytes.append32(ZipRecord.local)
        appendCommon(to: &bytes, isLarge: isLarge)
        bytes.append16(UInt16(extra.count))
        bytes += name
        bytes += extra
        return bytes
    }

    /// Bytes of the central record for a member whose local header is at `offset`.
    func centralBytes(at offset: UInt64) -> [UInt8] {
        var extra = timeField
        var large: [UInt8] = []
        // If one of the sizes needs room, both get it, as in the local header.
        if isLarge {
            large.append64(size)
            large.append64(compressed)
        }
        if offset >= Self.limit32 { large.append64(offset) }
        if !large.isEmpty {
            extra.append16(ZipExtra.zip64)
            extra.append16(UInt16(large.count))
            extra += large
        }
        extra += encryptionField
        var bytes: [UInt8] = []
        bytes.reserveCapacity(ZipRecord.centralSize + name.count + extra.count)
        bytes.append32(ZipRecord.central)
        bytes.append16(UInt16(ZipRecord.unix) << 8 | version(needs64: !large.isEmpty))
        appendCommon(to: &bytes, isLarge: isLarge, needs64: !large.isEmpty)
        bytes.append16(UInt16(extra.count))
        // No comment, first disk, no internal attributes.
        bytes += [0, 0, 0, 0, 0, 0]
        let isDirectory: UInt32 = name.last == UInt8(ascii: "/") ? 0x10 : 0
        bytes.append32(mode << 16 | isDirectory)
        bytes.append32(offset >= Self.limit32 ? ZipRecord.large32 : UInt32(offset))
        bytes += name
        bytes += extra
        return bytes
    }

    /// Of the specification, times ten, that a reader needs.
    private func version(needs64: Bool) -> UInt16 { isEncrypted ? 51 : (needs64 ? 45 : 20) }

    /// From "version needed" to the length of the name: the same in both.
    private func appendCommon(to bytes: inout [UInt8], isLarge: Bool, needs64: Bool? = nil) {
        bytes.append16(version(needs64: needs64 ?? isLarge))
        bytes.append16(flags)
        bytes.append16(isEncrypted ? ZipMethod.aes : method)
        bytes.append32(DOSTime.encode(modified))
        bytes.append32(isEncrypted ? 0 : checksum)
        bytes.append32(isLarge ? ZipRecord.large32 : UInt32(truncatingIfNeeded: compressed))
        bytes.append32(isLarge ? ZipRecord.large32 : UInt32(truncatingIfNeeded: size))
        bytes.append16(UInt16(name.count))
    }
}

extension ZipMemberHeader {
    /// Type bits of `st_mode`.
    static func typeBits(_ kind: EntryKind) -> UInt32 {
        switch kind {
        case .directory: 0o040000
        case .link: 0o120000
        default: 0o100000
        }
    }
}
