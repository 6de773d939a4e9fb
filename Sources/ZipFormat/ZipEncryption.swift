import Codec
import Model

/// The extra field that says how a member is encrypted (0x9901; WinZip's "AES Encryption Information", version 1.04). Of what it
/// can say only AE-2 with 256 bits is written and read.
struct ZipEncryption: Equatable, Sendable {
    /// How the content is compressed, as an encrypted member's own method is 99.
    let method: UInt16
    /// Whether it is AE-2 with 256 bits.
    let isKnown: Bool

    private static let size = 7
    private static let version: UInt16 = 2
    /// The vendor's name, "AE".
    private static let vendor: UInt16 = 0x4541
    /// Of the key: 256 bits.
    private static let strength: UInt8 = 3

    init(method: UInt16) {
        self.method = method
        isKnown = true
    }

    /// Nil if the field is too short.
    init?(_ field: ArraySlice<UInt8>) {
        guard field.count == Self.size else { return nil }
        method = field.number16(5)
        isKnown =
            field.number16(0) == Self.version && field.number16(2) == Self.vendor
            && field[field.startIndex + 4] == Self.strength
    }

    /// Its bytes with identifier and size.
    var field: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append16(ZipExtra.aes)
        bytes.append16(UInt16(Self.size))
        bytes.append16(Self.version)
        bytes.append16(Self.vendor)
        bytes.append(Self.strength)
        bytes.append16(method)
        return bytes
    }
}

extension ZipMember {
    /// Whether it is encrypted, in whatever way.
    var isEncrypted: Bool { flags.contains(.encrypted) }

    /// Whether it is encrypted as WinZip does it.
    var isAES: Bool { isEncrypted && method == ZipMethod.aes }

    /// How its content is compressed.
    var contentMethod: UInt16 { isAES ? encryption?.method ?? method : method }

    /// Bytes of its compressed content, without what encryption adds.
    var contentSize: UInt64 {
        let overhead = UInt64(AE2Cipher.overhead)
        return isAES && compressed >= overhead ? compressed - overhead : compressed
    }
}

extension ZipPart {
    /// Adds a member with its data, which `cipher` encrypts if there is one. Fills in what the header says of both.
    mutating func add(_ header: ZipMemberHeader, _ data: UnsafeRawBufferPointer, _ cipher: AE2Cipher?) {
        var header = header
        header.compressed = UInt64(data.count)
        guard let cipher else {
            add(header)
            bytes += data
            return
        }
        header.isEncrypted = true
        header.compressed += UInt64(AE2Cipher.overhead)
        add(header)
        let salt = AE2Cipher.freshSalt()
        bytes += salt + cipher.begin(salt: salt)
        let start = bytes.count
        bytes += data
        bytes.withUnsafeMutableBytes { cipher.encrypt(UnsafeMutableRawBufferPointer(rebasing: $0[start...])) }
        bytes += cipher.finish()
    }
}
