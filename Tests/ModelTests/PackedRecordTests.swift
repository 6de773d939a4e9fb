import Model
import Testing

@Suite struct PackedRecordTests {
    /// A hundred thousand of them stand in each table.
    @Test func recordsAreSmall() { #expect(MemoryLayout<PackedRecord>.stride == 88) }

    @Test func nothingOfARecordIsLost() throws {
        var record = EntryRecord(
            kind: .link, flags: [.sparse, .immutable], mode: 0o4751, user: .max, group: .max - 1, size: .max - 2,
            modified: Timestamp(seconds: .min, nanoseconds: 999_999_999))
        record.changed = Timestamp(seconds: .max, nanoseconds: 1)
        (record.device, record.inode, record.links, record.linkGroup) = (.max - 3, .max - 4, .max - 5, .max - 6)
        let unpacked = PackedRecord(record).record
        #expect(unpacked.kind == record.kind && unpacked.flags == record.flags && unpacked.mode == record.mode)
        #expect(unpacked.user == record.user && unpacked.group == record.group && unpacked.size == record.size)
        #expect(unpacked.modified == record.modified && unpacked.changed == record.changed)
        #expect(unpacked.device == record.device && unpacked.inode == record.inode)
        #expect(unpacked.links == record.links && unpacked.linkGroup == record.linkGroup)
    }
}
