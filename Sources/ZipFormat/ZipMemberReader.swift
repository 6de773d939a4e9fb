import Codec
import Disk
import Model
import Workers

/// Reads the content of members, for one thread. Local headers are held against the directory, data against sizes and CRC.
final class ZipMemberReader {
    private let file: ZipFile
    private let stop: StopFlag
    /// Where the zip is encrypted.
    private let cipher: AE2Cipher?
    /// Whether what is read is to be decrypted.
    private var isDecrypting = false
    private let input = Buffer(size: 1 << 18)
    private let output = Buffer(size: 1 << 18)
    private var inflate = Inflate()
    private var stream = InflateStream()
    /// Members up to this size are decompressed in one go.
    private static let wholeSize = 1 << 20
    private var whole: [UInt8] = []

    init(_ file: ZipFile, _ password: Password? = nil, stop: StopFlag) {
        self.file = file
        self.stop = stop
        cipher = password.map { AE2Cipher($0) }
    }

    /// Passes all bytes of a member to `each`. Throws ``ZipError`` where the zip is not as it must be.
    func read(_ member: ZipMember, _ each: (UnsafeRawBufferPointer) throws -> Void) throws {
        let shown = file.directory.shown(member)
        try Self.accept(member, shown)
        let start = try checkLocalHeader(member, shown)
        isDecrypting = member.isAES
        defer { isDecrypting = false }
        let data = member.isAES ? try beginDecrypting(member, at: start, shown) : start
        var checksum: UInt32 = 0
        var made: UInt64 = 0
        func pass(_ bytes: UnsafeRawBufferPointer) throws {
            made += UInt64(bytes.count)
            guard made <= member.size else {
                throw ZipError.damaged("the member \(shown) holds more than its size says")
            }
            if !member.isAES { checksum = CRC32.update(checksum, bytes) }
            try each(bytes)
        }
        do {
            switch member.contentMethod {
            case ZipMethod.stored: try readStored(member, data, pass)
            case _ where member.size <= UInt64(Self.wholeSize) && member.contentSize <= UInt64(input.bytes.count):
                try readWhole(member, data, pass)
            default: try readStream(member, data, pass)
            }
        } catch let error as InflateError {
            throw ZipError.damaged("the member \(shown): \(error)")
        }
        guard made == member.size else { throw ZipError.damaged("the member \(shown) holds less than its size says") }
        if member.isAES { try checkTag(at: data + member.contentSize, shown) }
        guard checksum == member.checksum else {
            throw ZipError.damaged("the content of \(shown) does not match its CRC")
        }
    }

    /// Whether we can read a member of this kind at all.
    static func accept(_ member: ZipMember, _ shown: String) throws(ZipError) {
        if !member.flags.isDisjoint(with: [.strongEncryption, .hiddenHeaders]) {
            throw .refused("the member \(shown) is encrypted in a way that is not supported")
        }
        if member.isEncrypted, !member.isAES {
            throw .refused("the member \(shown) is encrypted with ZipCrypto, which is not supported: it is broken")
        }
        if member.isAES {
            guard let encryption = member.encryption else {
                throw .damaged("the member \(shown) does not say how it is encrypted")
            }
            guard encryption.isKnown else {
                throw .refused("the member \(shown) is encrypted, but not with AE-2 and 256 bits")
            }
            guard member.compressed >= UInt64(AE2Cipher.overhead), member.checksum == 0 else {
                throw .damaged("the member \(shown) is not as an encrypted member is")
            }
        }
        if member.flags.contains(.patch) { throw .refused("the member \(shown) is a patch") }
        guard [ZipMethod.stored, ZipMethod.deflated].contains(member.contentMethod) else {
            throw .refused(
                "the member \(shown) is compressed with \(ZipMethod.name(member.contentMethod)), which is not supported"
            )
        }
        if member.contentMethod == ZipMethod.stored, member.size != member.contentSize {
            throw .damaged("the member \(shown) is stored and has two sizes")
        }
        // No deflate stream makes more than 1032 bytes of one (RFC 1951: 258 bytes need two bits).
        if member.size / 1040 > member.compressed {
            throw .damaged("the member \(shown) cannot be as large as it says")
        }
    }

    // MARK: The local header

    /// Returns where the data is.
    private func checkLocalHeader(_ member: ZipMember, _ shown: String) throws -> UInt64 {
        let name = file.directory.name(member)
        let count = ZipRecord.localSize + name.count
        let head = try file.bytes(at: member.offset, count: count)
        let contradiction = ZipError.damaged("the two headers of \(shown) contradict each other")
        guard head.count == count, head.number32(0) == ZipRecord.local else {
            throw ZipError.damaged("the local header of \(shown) is missing")
        }
        guard ZipFlags(rawValue: head.number16(6)) == member.flags, head.number16(8) == member.method,
            Int(head.number16(26)) == name.count, head[ZipRecord.localSize...].elementsEqual(name),
            head.number32(10) == member.dosTime
        else { throw contradiction }
        let extra = try file.bytes(at: member.offset + UInt64(count), count: Int(head.number16(28)))
        let data = member.offset + UInt64(count) + UInt64(head.number16(28))
        guard extra.count == Int(head.number16(28)) else { throw contradiction }
        let (size, compressed, is64, encryption) = try fields(head, extra, contradiction)
        guard !member.isAES || encryption == member.encryption else { throw contradiction }
        let checksum = head.number32(14)
        let rest = data <= member.end ? member.end - data : 0
        guard data <= member.end, rest >= member.compressed else {
            throw ZipError.damaged("the member \(shown) overlaps what follows it")
        }
        if member.flags.contains(.descriptor) {
            for (local, central) in [
                (UInt64(checksum), UInt64(member.checksum)), (size, member.size), (compressed, member.compressed),
            ] where local != 0 && local != central { throw contradiction }
            try checkDescriptor(member, at: data + member.compressed, count: rest - member.compressed, is64, shown)
        } else {
            guard checksum == member.checksum, size == member.size, compressed == member.compressed else {
                throw contradiction
            }
            guard rest == member.compressed else {
                throw ZipError.damaged("something stands between \(shown) and what follows it")
            }
        }
        return data
    }

    private func fields(
        _ head: [UInt8], _ extra: [UInt8], _ contradiction: ZipError
    ) throws(ZipError) -> (size: UInt64, compressed: UInt64, is64: Bool, encryption: ZipEncryption?) {
        var compressed = UInt64(head.number32(18))
        var size = UInt64(head.number32(22))
        var at = 0
        var is64 = false
        var encryption: ZipEncryption?
        while at + 4 <= extra.count {
            let (kind, length) = (extra.number16(at), Int(extra.number16(at + 2)))
            guard at + 4 + length <= extra.count else { throw contradiction }
            if kind == ZipExtra.zip64 {
                is64 = true
                var position = at + 4
                for isSize in [true, false] where (isSize ? size : compressed) == UInt64(ZipRecord.large32) {
                    guard position + 8 <= at + 4 + length else { throw contradiction }
                    if isSize { size = extra.number64(position) } else { compressed = extra.number64(position) }
                    position += 8
                }
            }
            if kind == ZipExtra.aes, encryption == nil { encryption = ZipEncryption(extra[at + 4..<at + 4 + length]) }
            at += 4 + length
        }
        return (size, compressed, is64, encryption)
    }

    /// With or without a signature, with numbers of 32 or 64 bits: what is there must be one of them, whole.
    private func checkDescriptor(
        _ member: ZipMember, at offset: UInt64, count: UInt64, _ is64: Bool, _ shown: String
    ) throws {
        let wrong = ZipError.damaged("the data descriptor of \(shown) contradicts the directory")
        guard count == 12 || count == 16 || count == 20 || count == 24 else { throw wrong }
        var bytes = try file.bytes(at: offset, count: Int(count))[...]
        guard bytes.count == Int(count) else { throw wrong }
        if count == 16 || count == 24 {
            guard bytes.number32(0) == ZipRecord.descriptor else { throw wrong }
            bytes = bytes.dropFirst(4)
        }
        let isLarge = bytes.count == 20
        let compressed = isLarge ? bytes.number64(4) : UInt64(bytes.number32(4))
        let size = isLarge ? bytes.number64(12) : UInt64(bytes.number32(8))
        guard bytes.number32(0) == member.checksum, compressed == member.compressed, size == member.size else {
            throw wrong
        }
    }

    // MARK: Encryption

    /// Whether the password is that of a member: its tag fits. Nothing is decrypted.
    func isRight(for member: ZipMember) throws -> Bool {
        let shown = file.directory.shown(member)
        try Self.accept(member, shown)
        let start = try checkLocalHeader(member, shown)
        guard let cipher, let data = try derive(cipher, at: start) else { return false }
        var done: UInt64 = 0
        while done < member.contentSize {
            try stop.check()
            let bytes = try piece(at: data + done, upTo: member.contentSize - done)
            cipher.update(bytes)
            done += UInt64(bytes.count)
        }
        return try cipher.finish() == file.bytes(at: data + done, count: AE2Cipher.tagSize)
    }

    /// Returns where the ciphertext is.
    private func beginDecrypting(_ member: ZipMember, at start: UInt64, _ shown: String) throws -> UInt64 {
        guard let cipher, let data = try derive(cipher, at: start) else {
            throw ZipError.damaged("the member \(shown) has another password than the manifest")
        }
        return data
    }

    /// Derives the keys of the member whose salt is at `start`. Returns where its ciphertext is; nil if the password is wrong.
    private func derive(_ cipher: AE2Cipher, at start: UInt64) throws -> UInt64? {
        let size = AE2Cipher.saltSize + AE2Cipher.verifierSize
        let head = try file.bytes(at: start, count: size)
        guard head.count == size else { throw ZipError.damaged("it is cut off") }
        let verifier = cipher.begin(salt: Array(head[..<AE2Cipher.saltSize]))
        return head[AE2Cipher.saltSize...].elementsEqual(verifier) ? start + UInt64(size) : nil
    }

    private func checkTag(at offset: UInt64, _ shown: String) throws {
        guard try cipher?.finish() == file.bytes(at: offset, count: AE2Cipher.tagSize) else {
            throw ZipError.damaged("the content of \(shown) does not match its authentication code")
        }
    }

    // MARK: Data

    private func readStored(
        _ member: ZipMember, _ start: UInt64, _ pass: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        var done: UInt64 = 0
        while done < member.contentSize {
            try stop.check()
            let bytes = try piece(at: start + done, upTo: member.contentSize - done)
            try pass(bytes)
            done += UInt64(bytes.count)
        }
    }

    private func readWhole(
        _ member: ZipMember, _ start: UInt64, _ pass: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        try stop.check()
        let bytes = try piece(at: start, upTo: member.contentSize)
        guard bytes.count == Int(member.contentSize) else { throw ZipError.damaged("it is cut off") }
        if whole.isEmpty { whole = [UInt8](repeating: 0, count: Self.wholeSize) }
        try whole.withUnsafeMutableBytes { buffer in
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer[..<Int(member.size)])
            try inflate.decompress(bytes, into: target)
            try pass(UnsafeRawBufferPointer(target))
        }
    }

    private func readStream(
        _ member: ZipMember, _ start: UInt64, _ pass: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        stream.reset()
        var done: UInt64 = 0
        while true {
            try stop.check()
            var bytes = try piece(at: start + done, upTo: member.contentSize - done)
            done += UInt64(bytes.count)
            while true {
                let (taken, made) = try stream.step(bytes, into: output.bytes)
                bytes = UnsafeRawBufferPointer(rebasing: bytes[taken...])
                try pass(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(output.bytes)[..<made]))
                if stream.isFinished || taken == 0 && made == 0 || bytes.isEmpty && made < output.bytes.count { break }
            }
            if stream.isFinished {
                guard bytes.isEmpty, done == member.contentSize else {
                    throw InflateError("bytes follow its compressed data")
                }
                return
            }
            if done == member.contentSize { throw InflateError("its compressed data is cut off") }
        }
    }

    private func piece(at offset: UInt64, upTo count: UInt64) throws -> UnsafeRawBufferPointer {
        let size = Int(min(count, UInt64(input.bytes.count)))
        guard size > 0 else { return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(input.bytes)[..<0]) }
        let read = try file.read(at: offset, into: UnsafeMutableRawBufferPointer(rebasing: input.bytes[..<size]))
        guard read == size else { throw ZipError.damaged("it is cut off") }
        if isDecrypting { cipher?.decrypt(UnsafeMutableRawBufferPointer(rebasing: input.bytes[..<size])) }
        return UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(input.bytes)[..<size])
    }

    /// The first bytes of a member, at most `count`; unchecked.
    func head(_ member: ZipMember, count: Int) throws -> [UInt8] {
        struct Enough: Error {}
        var head: [UInt8] = []
        do {
            try read(member) { bytes in
                head += bytes.prefix(count - head.count)
                if head.count == count { throw Enough() }
            }
        } catch is Enough {}
        return head
    }

    /// A small member, whole.
    func bytes(_ member: ZipMember, limit: UInt64) throws -> [UInt8] {
        guard member.size <= limit else {
            throw ZipError.damaged("\(file.directory.shown(member)) is larger than it may be")
        }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(Int(member.size))
        try read(member) { bytes += $0 }
        return bytes
    }
}

/// An open zip with its directory.
final class ZipFile: Sendable {
    private let file: OpenFile
    let directory: ZipDirectory

    init(_ file: consuming OpenFile) throws {
        directory = try ZipDirectory(file)
        self.file = file
    }

    /// For a look at the members that are given.
    init(_ file: consuming OpenFile, _ directory: ZipDirectory) {
        self.directory = directory
        self.file = file
    }

    func status() throws(DiskError) -> FileStatus { try file.status() }

    func bytes(at offset: UInt64, count: Int) throws(DiskError) -> [UInt8] {
        count == 0 ? [] : try file.bytes(at: Int64(clamping: offset), count: count)
    }

    func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        try file.read(at: offset, into: buffer)
    }
}
