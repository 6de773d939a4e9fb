/// One entry of a table. Its path, link target and extended attributes lie in the table.
package struct EntryRecord: Sendable {
    package struct Flags: OptionSet, Sendable {
        package let rawValue: UInt8
        package init(rawValue: UInt8) { self.rawValue = rawValue }

        /// A directory that stands here only because an item lies below it: its other contents are not ours.
        package static let ancestor = Flags(rawValue: 1)
        /// A file with holes.
        package static let sparse = Flags(rawValue: 2)
        /// The root of a file system mounted below the source.
        package static let mountRoot = Flags(rawValue: 4)
        /// Recorded, not entered and not saved: a rule excludes it, no item covers it, or it is ours.
        package static let outside = Flags(rawValue: 8)
        /// A backup directory, a repository or a folder of a restore: never part of a backup (promise 4).
        package static let container = Flags(rawValue: 16)
        /// `digest` is set.
        package static let hashed = Flags(rawValue: 32)
        /// Immutable or append-only by a flag of its file system.
        package static let immutable = Flags(rawValue: 64)
    }

    package var kind: EntryKind
    package var flags: Flags
    /// Permission, set-id and sticky bits.
    package var mode: UInt16
    package var user: UInt32
    package var group: UInt32
    /// Bytes of a file's content; 0 for all else.
    package var size: UInt64
    package var modified: Timestamp
    /// 0, or the number that all hard links to one file share.
    package var linkGroup: UInt32 = 0
    /// SHA-256 of a file's content, if `flags` has `hashed`.
    package var digest = SHA256Digest()

    // What only the source's own file system knows.
    package var device: UInt64 = 0
    package var inode: UInt64 = 0
    package var changed = Timestamp(seconds: 0)
    package var links: UInt32 = 1

    /// The index of its directory in the table.
    package internal(set) var parent: Int32 = -1

    package init(
        kind: EntryKind, flags: Flags = [], mode: UInt16 = 0, user: UInt32 = 0, group: UInt32 = 0, size: UInt64 = 0,
        modified: Timestamp = Timestamp(seconds: 0)
    ) {
        self.kind = kind
        self.flags = flags
        self.mode = mode
        self.user = user
        self.group = group
        self.size = size
        self.modified = modified
    }
}

extension EntryRecord {
    /// Takes over everything of another record but where it lies in its table and which group of links it belongs to.
    package mutating func take(_ other: EntryRecord) {
        let (parent, linkGroup) = (parent, linkGroup)
        self = other
        (self.parent, self.linkGroup) = (parent, linkGroup)
    }
}

/// A record as tables keep it, without its digest: fixed size, no reference, so that a hundred thousand of them cost a few megabytes
/// and no allocation each.
package struct PackedRecord: Sendable {
    package let kind: EntryKind
    private var flags: UInt8
    private let mode: UInt16
    private let user: UInt32
    private let group: UInt32
    private let linkGroup: UInt32
    private let size: UInt64
    // Apart, so that no room is lost.
    private let modifiedSeconds: Int64
    private let changedSeconds: Int64
    private let modifiedNanoseconds: UInt32
    private let changedNanoseconds: UInt32
    package let device: UInt64
    private let inode: UInt64
    private let links: UInt32

    // Where the rest lies in the table.
    var parent: Int32
    var pathStart: UInt32 = 0
    var pathLength: UInt32 = 0
    var nameLength: UInt16 = 0
    /// The target follows the path.
    var targetLength: UInt16 = 0
    var extended: Int32 = 0

    package init(_ record: EntryRecord) {
        (kind, flags, mode) = (record.kind, record.flags.rawValue, record.mode)
        (user, group, linkGroup, size) = (record.user, record.group, record.linkGroup, record.size)
        (modifiedSeconds, modifiedNanoseconds) = (record.modified.seconds, record.modified.nanoseconds)
        (changedSeconds, changedNanoseconds) = (record.changed.seconds, record.changed.nanoseconds)
        (device, inode, links, parent) = (record.device, record.inode, record.links, record.parent)
    }

    var isHashed: Bool {
        get { flags & EntryRecord.Flags.hashed.rawValue != 0 }
        set {
            if newValue {
                flags |= EntryRecord.Flags.hashed.rawValue
            } else {
                flags &= ~EntryRecord.Flags.hashed.rawValue
            }
        }
    }

    /// The record, but for its digest.
    package var record: EntryRecord {
        var record = EntryRecord(
            kind: kind, flags: .init(rawValue: flags), mode: mode, user: user, group: group, size: size,
            modified: Timestamp(seconds: modifiedSeconds, nanoseconds: modifiedNanoseconds))
        record.changed = Timestamp(seconds: changedSeconds, nanoseconds: changedNanoseconds)
        (record.device, record.inode, record.links, record.parent) = (device, inode, links, parent)
        record.linkGroup = linkGroup
        return record
    }

    /// The record takes the place of another in a table.
    func placed(as other: PackedRecord) -> PackedRecord {
        var placed = self
        (placed.parent, placed.pathStart, placed.pathLength) = (other.parent, other.pathStart, other.pathLength)
        (placed.nameLength, placed.targetLength) = (other.nameLength, other.targetLength)
        placed.extended = other.extended
        return placed
    }
}
