import Disk
import Model
import Workers

extension Directory {
    /// Copies the file `name` of `source`, or its first `limit` bytes, into this directory of ours, as it is. Fails with
    /// ``SourceUnreadable`` where it cannot be read, and before it begins where there is no room.
    func copyFile(
        _ name: [UInt8], of source: Directory, as copy: String, upTo limit: UInt64 = .max, stop: StopFlag
    ) throws -> (record: EntryRecord, extended: [ExtendedAttribute]) {
        let file = try OpenFile(name, in: source)
        var record = try file.status().record
        let size = min(limit, record.size)
        if try FileSystemTraits(of: self).freeBytes < size {
            throw DiskError(
                .noSpace, "copy", printable(name), because: "there is no room for a copy of \(ByteCount(size))")
        }
        let buffer = Buffer(size: 1 << 18)
        var target = try NewFile(copy.utf8, in: self)
        try FileCopy.copy(
            file, size: size, to: &target, through: buffer.bytes, isSparse: false, stop: stop, each: { _ in })
        record.size = target.size
        return (record, try FileAttributes.extended(of: file.descriptor))
    }
}
