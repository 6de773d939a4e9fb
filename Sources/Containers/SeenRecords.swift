import Model

/// What only the next backup needs to know of a source: which file each entry was, and when it last changed. A cache:
/// without it files are read again.
///
/// Layout: the line `chastipi-seen 1`, the seal of the manifest it belongs to (32 bytes), the number of entries (8 bytes),
/// then for each entry of the manifest in order device, inode, seconds (8 bytes each) and nanoseconds (4 bytes) of its
/// change, little-endian; nanoseconds of 2³²-1 say that the entry must be read again.
package struct SeenRecords: Sendable {
    package struct Record: Sendable {
        package var device: UInt64
        package var inode: UInt64
        package var changed: Timestamp
    }

    private let bytes: [UInt8]
    private let start: Int
    package let count: Int

    private static let magic = Array("chastipi-seen 1\n".utf8)
    private static let recordSize = 28
    private static let unusable = UInt32.max

    /// Nil unless `bytes` belong to the manifest with `seal`, which has `count` entries.
    package init?(_ bytes: [UInt8], seal: SHA256Digest, count: Int) {
        let header = Self.magic.count + 40
        guard bytes.count == header + count * Self.recordSize, bytes.starts(with: Self.magic),
            SHA256Digest(bytes[Self.magic.count..<Self.magic.count + 32]) == seal
        else { return nil }
        self.bytes = bytes
        start = header
        self.count = count
    }

    /// Nil if the entry was changed so shortly before it was read that a later change may not show.
    package subscript(index: Int) -> Record? {
        let offset = start + index * Self.recordSize
        return bytes.withRawBytes { bytes in
            let nanoseconds = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + 24, as: UInt32.self))
            guard nanoseconds != Self.unusable else { return nil }
            func word(_ at: Int) -> UInt64 {
                UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: offset + at, as: UInt64.self))
            }
            return Record(
                device: word(0), inode: word(8),
                changed: Timestamp(seconds: Int64(bitPattern: word(16)), nanoseconds: nanoseconds))
        }
    }

    /// The file for a finished backup. An entry whose time or change is later than two seconds before `reading` began, or
    /// lies in the future, is *racy*.
    package static func encode(_ table: EntryTable, seal: SHA256Digest, reading: Timestamp) -> [UInt8] {
        var bytes = magic
        bytes.reserveCapacity(magic.count + 40 + table.count * recordSize)
        seal.withBytes { bytes.append(contentsOf: $0) }
        append(UInt64(table.count), to: &bytes)
        for index in 0..<table.count {
            let record = table[index]
            let isRacy = isRacy(record, readAt: reading)
            append(record.device, to: &bytes)
            append(record.inode, to: &bytes)
            append(UInt64(bitPattern: record.changed.seconds), to: &bytes)
            append(isRacy ? unusable : record.changed.nanoseconds, to: &bytes)
        }
        return bytes
    }

    /// Whether an entry changed so shortly before the reading began that a later change may not show, or is not known.
    @inline(__always)
    static func isRacy(_ record: EntryRecord, readAt reading: Timestamp) -> Bool {
        let limit = reading.adding(seconds: -2)
        return record.changed > limit || record.modified > limit || record.inode == 0
    }

    private static func append(_ value: some FixedWidthInteger, to bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }
}
