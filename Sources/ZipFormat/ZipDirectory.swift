import Codec
import Disk
import Model

/// Why a zip cannot be used: what is wrong, as a clause.
struct ZipError: Error, CustomStringConvertible {
    enum Kind {
        /// It is not as a zip must be.
        case damaged
        /// It is valid, and not accepted.
        case refused
        /// The password is missing or wrong.
        case password
    }

    let kind: Kind
    let description: String

    static func damaged(_ text: String) -> ZipError { ZipError(kind: .damaged, description: text) }
    static func password(_ text: String) -> ZipError { ZipError(kind: .password, description: text) }
    static func refused(_ text: String) -> ZipError { ZipError(kind: .refused, description: text) }
}

/// One member, as the central directory has it. Its name lies in the directory.
struct ZipMember: Sendable {
    var flags: ZipFlags
    var method: UInt16
    var dosTime: UInt32
    var checksum: UInt32
    var compressed: UInt64
    var size: UInt64
    /// Where its local header is.
    var offset: UInt64
    /// Where what follows it begins.
    var end: UInt64 = 0
    var host: UInt8
    var external: UInt32
    /// From the extra field for WinZip's encryption.
    var encryption: ZipEncryption?
    /// From the extra field for times.
    var modified: Int32?
    /// The name as the record has it.
    var name: Range<Int>
    /// The name in UTF-8, if an extra field has one.
    var utf8Name: Range<Int>?

    /// Permissions and type, if the host keeps such.
    var mode: UInt16? {
        guard host == ZipRecord.unix || host == ZipRecord.macOS else { return nil }
        return UInt16(truncatingIfNeeded: external >> 16)
    }
}

/// The end records of a zip, validated: where its directory is, and what stands behind.
struct ZipEnd: Sendable {
    let count: UInt64
    /// Where the central directory begins and ends.
    let directory: Range<UInt64>
    let comment: [UInt8]
    /// The size of the file without the comment.
    let commentAt: UInt64

    private static let searched = ZipRecord.endSize + Int(UInt16.max)

    /// Finds the one end record whose comment reaches exactly to the file's end.
    static func read(_ file: borrowing OpenFile, size: UInt64) throws -> ZipEnd {
        // Most comments are short.
        for length in [1024, searched] {
            let tail = try file.readTail(min(length, Int(clamping: size)))
            let found = candidates(in: tail)
            if found.count > 1 { throw ZipError.damaged("it has two end records") }
            if let at = found.first {
                // What is further in front could be another one, whose comment holds this.
                if length < searched, size > UInt64(length) {
                    let whole = try file.readTail(min(searched, Int(clamping: size)))
                    if candidates(in: whole).count > 1 { throw ZipError.damaged("it has two end records") }
                }
                return try read(tail, at, endsAt: size, file)
            }
        }
        throw ZipError.damaged("it does not end as a zip does: cut off, appended to, or no zip")
    }

    private static func candidates(in tail: [UInt8]) -> [Int] {
        guard tail.count >= ZipRecord.endSize else { return [] }
        var found: [Int] = []
        for at in stride(from: tail.count - ZipRecord.endSize, through: 0, by: -1) where tail[at] == 0x50 {
            let comment = tail.count - at - ZipRecord.endSize
            if tail.number32(at) == ZipRecord.end, Int(tail.number16(at + 20)) == comment { found.append(at) }
        }
        return found
    }

    private static func read(
        _ tail: [UInt8], _ at: Int, endsAt size: UInt64, _ file: borrowing OpenFile
    ) throws -> ZipEnd {
        let record = tail[at...]
        let position = size - UInt64(tail.count - at)
        guard record.number16(4) == 0, record.number16(6) == 0, record.number16(8) == record.number16(10) else {
            throw ZipError.refused("it is a part of a zip in several files")
        }
        var count = UInt64(record.number16(10))
        var length = UInt64(record.number32(12))
        var start = UInt64(record.number32(16))
        var end = position
        let locatorAt = Int64(position) - Int64(ZipRecord.locator64Size)
        let locator = locatorAt < 0 ? [] : try file.bytes(at: locatorAt, count: ZipRecord.locator64Size)
        if locator.count == ZipRecord.locator64Size, locator.number32(0) == ZipRecord.locator64 {
            let large = try readLarge(locator, before: UInt64(locatorAt), file)
            let fits =
                (count == large.count || count == 0xffff) && (length == large.length || length == 0xffff_ffff)
                && (start == large.start || start == 0xffff_ffff)
            guard fits else { throw ZipError.damaged("its two end records contradict each other") }
            (count, length, start, end) = (large.count, large.length, large.start, large.at)
        } else if count == 0xffff || length == 0xffff_ffff || start == 0xffff_ffff {
            throw ZipError.damaged("its Zip64 end record is missing")
        }
        guard start <= end, end - start == length else {
            throw ZipError.damaged("its directory is not where its end record says")
        }
        guard count <= length / UInt64(ZipRecord.centralSize), count < UInt64(Int32.max) else {
            throw ZipError.damaged("its directory is too short for its \(count) members")
        }
        return ZipEnd(
            count: count, directory: start..<end, comment: Array(record.dropFirst(ZipRecord.endSize)),
            commentAt: position + UInt64(ZipRecord.endSize))
    }

    private static func readLarge(
        _ locator: [UInt8], before position: UInt64, _ file: borrowing OpenFile
    ) throws -> (count: UInt64, length: UInt64, start: UInt64, at: UInt64) {
        let at = locator.number64(8)
        guard locator.number32(4) == 0, locator.number32(16) == 1, at <= position,
            position - at >= UInt64(ZipRecord.end64Size), position - at < 65_536
        else { throw ZipError.damaged("its Zip64 end record is not where it should be") }
        let record = try file.bytes(at: Int64(at), count: Int(position - at))
        guard record.count == Int(position - at), record.number32(0) == ZipRecord.end64,
            record.number64(4) == UInt64(record.count - 12)
        else { throw ZipError.damaged("its Zip64 end record is damaged") }
        guard record.number32(16) == 0, record.number32(20) == 0, record.number64(24) == record.number64(32) else {
            throw ZipError.refused("it is a part of a zip in several files")
        }
        return (record.number64(32), record.number64(40), record.number64(48), at)
    }
}

/// The central directory of a zip, validated: its members lie one behind the other and fill the file.
struct ZipDirectory: Sendable {
    let end: ZipEnd
    /// Its bytes, in which names lie.
    private let bytes: [UInt8]
    /// In the directory's order.
    private(set) var members: [ZipMember]

    /// A million members with names of 200 bytes.
    private static let sizeLimit: UInt64 = 256 << 20
    private static let pieceSize = 1 << 20
    /// What a record can take at most: its fixed part, and three fields whose lengths have 16 bits.
    private static let recordLimit = ZipRecord.centralSize + 3 * Int(UInt16.max)

    init(_ file: borrowing OpenFile) throws {
        let size = try file.status().size
        end = try ZipEnd.read(file, size: size)
        let length = end.directory.upperBound - end.directory.lowerBound
        guard length <= Self.sizeLimit else { throw ZipError.refused("its directory is larger than 256 MiB") }
        var bytes: [UInt8] = []
        var members: [ZipMember] = []
        var at = 0
        // Piece by piece, so that a large file that is no zip is not read to its end.
        while bytes.count < Int(length) {
            let piece = try file.bytes(
                at: Int64(end.directory.lowerBound) + Int64(bytes.count),
                count: min(Self.pieceSize, Int(length) - bytes.count))
            guard !piece.isEmpty else { throw ZipError.damaged("its directory is cut off") }
            bytes += piece
            while at < bytes.count, bytes.count == Int(length) || bytes.count - at >= Self.recordLimit {
                guard members.count < Int(end.count) else {
                    throw ZipError.damaged("it has more members than it counts")
                }
                members.append(try ZipMember(bytes, &at))
            }
        }
        guard members.count == Int(end.count) else { throw ZipError.damaged("it has fewer members than it counts") }
        (self.bytes, self.members) = (bytes, members)
        try place()
    }

    /// A directory of one member, that of ``last(of:)``.
    init(end: ZipEnd, member: ZipMember, name: [UInt8]) {
        self.end = end
        bytes = name
        var only = member
        only.name = 0..<name.count
        only.utf8Name = nil
        members = [only]
    }

    /// Each member ends where the next begins: nothing overlaps, and nothing is hidden between them.
    private mutating func place() throws {
        let order = members.indices.sorted { members[$0].offset < members[$1].offset }
        for (position, index) in order.enumerated() {
            let next = position + 1 < order.count ? members[order[position + 1]].offset : end.directory.lowerBound
            let member = members[index]
            if position == 0, member.offset != 0 { throw ZipError.damaged("something stands before its first member") }
            let least = UInt64(ZipRecord.localSize + member.name.count)
            let (needed, overflow) = member.compressed.addingReportingOverflow(least)
            guard !overflow, member.offset < next, needed <= next - member.offset else {
                throw ZipError.damaged("the member \(shown(member)) overlaps what follows it")
            }
            members[index].end = next
        }
        if order.isEmpty, end.directory.lowerBound != 0 {
            throw ZipError.damaged("something stands before its directory")
        }
    }

    /// The name of a member as its record has it.
    func name(_ member: ZipMember) -> ArraySlice<UInt8> { bytes[member.name] }

    /// The name in UTF-8, where an extra field has it.
    func bestName(_ member: ZipMember) -> ArraySlice<UInt8> { bytes[member.utf8Name ?? member.name] }

    func shown(_ member: ZipMember) -> String { "'\(printable(name(member).prefix(200)))'" }

    /// The last member alone, and the end: for a look at what is written last.
    static func last(of file: borrowing OpenFile) throws -> (end: ZipEnd, member: ZipMember?, name: [UInt8]) {
        let end = try ZipEnd.read(file, size: try file.status().size)
        let length = end.directory.upperBound - end.directory.lowerBound
        let count = Int(min(length, 4096))
        let tail = try file.bytes(at: Int64(end.directory.upperBound) - Int64(count), count: count)
        guard tail.count == count else { throw ZipError.damaged("its directory is cut off") }
        for start in stride(from: count - ZipRecord.centralSize, through: 0, by: -1)
        where tail[start] == 0x50 && tail.number32(start) == ZipRecord.central {
            var at = start
            guard var member = try? ZipMember(tail, &at), at == count else { continue }
            member.end = end.directory.lowerBound
            return (end, member, Array(tail[member.name]))
        }
        return (end, nil, [])
    }
}

extension ZipMember {
    /// Reads the central record at `at`, and moves `at` behind it.
    fileprivate init(_ bytes: [UInt8], _ at: inout Int) throws(ZipError) {
        guard at + ZipRecord.centralSize <= bytes.count, bytes.number32(at) == ZipRecord.central else {
            throw .damaged("its directory is damaged")
        }
        let nameLength = Int(bytes.number16(at + 28))
        let extraLength = Int(bytes.number16(at + 30))
        let commentLength = Int(bytes.number16(at + 32))
        let nameStart = at + ZipRecord.centralSize
        let extraStart = nameStart + nameLength
        let recordEnd = extraStart + extraLength + commentLength
        guard recordEnd <= bytes.count else { throw .damaged("its directory is damaged") }
        host = bytes[at + 5]
        flags = ZipFlags(rawValue: bytes.number16(at + 8))
        method = bytes.number16(at + 10)
        dosTime = bytes.number32(at + 12)
        checksum = bytes.number32(at + 16)
        compressed = UInt64(bytes.number32(at + 20))
        size = UInt64(bytes.number32(at + 24))
        offset = UInt64(bytes.number32(at + 42))
        external = bytes.number32(at + 38)
        name = nameStart..<extraStart
        guard bytes.number16(at + 34) == 0 || bytes.number16(at + 34) == ZipRecord.large16 else {
            throw .refused("it is a part of a zip in several files")
        }
        try take(extra: bytes, extraStart..<extraStart + extraLength)
        at = recordEnd
    }

    private mutating func take(extra bytes: [UInt8], _ range: Range<Int>) throws(ZipError) {
        var wants64 = [size, compressed, offset].map { $0 == UInt64(ZipRecord.large32) }
        var at = range.lowerBound
        while at + 4 <= range.upperBound {
            let (kind, length) = (bytes.number16(at), Int(bytes.number16(at + 2)))
            let start = at + 4
            guard start + length <= range.upperBound else {
                throw .damaged("an extra field of its directory is damaged")
            }
            switch kind {
            case ZipExtra.zip64:
                var position = start
                func next() throws(ZipError) -> UInt64 {
                    guard position + 8 <= start + length else { throw .damaged("a Zip64 field is too short") }
                    defer { position += 8 }
                    return bytes.number64(position)
                }
                if wants64[0] { size = try next() }
                if wants64[1] { compressed = try next() }
                if wants64[2] { offset = try next() }
                wants64 = [false, false, false]
            case ZipExtra.time where length >= 5 && bytes[start] & 1 != 0:
                modified = Int32(bitPattern: bytes.number32(start + 1))
            case ZipExtra.aes where encryption == nil:
                encryption = ZipEncryption(bytes[start..<start + length])
            case ZipExtra.utf8Name where length > 5 && bytes[start] == 1:
                let checksum = bytes[name].withContiguousStorageIfAvailable {
                    CRC32.update(0, UnsafeRawBufferPointer($0))
                }
                if checksum == bytes.number32(start + 1) { utf8Name = start + 5..<start + length }
            default: break
            }
            at = start + length
        }
        // Three bytes at most are padding that some programs leave.
        guard at >= range.upperBound - 3 else { throw .damaged("an extra field of its directory is damaged") }
        guard !wants64.contains(true) else { throw .damaged("a Zip64 field is missing") }
    }
}
