import CLinux
import Glibc
import Model

/// What the kernel says of one file, directory or link: never of what a link points to.
package struct FileStatus: Sendable {
    fileprivate let raw: linux_stat

    init(_ raw: linux_stat) { self.raw = raw }

    /// Of an open file.
    package init(of descriptor: Int32) throws(DiskError) {
        var raw = linux_stat()
        try check(linux_stat_at(descriptor, "", &raw), "read the attributes of", "the file")
        self.raw = raw
    }

    package var kind: EntryKind {
        switch raw.mode & S_IFMT {
        case S_IFDIR: .directory
        case S_IFLNK: .link
        case S_IFIFO: .fifo
        case S_IFSOCK: .socket
        case S_IFCHR: .characterDevice
        case S_IFBLK: .blockDevice
        default: .file
        }
    }

    /// Permission, set-id and sticky bits.
    package var mode: UInt16 { UInt16(raw.mode & 0o7777) }
    package var user: UInt32 { raw.user }
    package var group: UInt32 { raw.group }
    package var size: UInt64 { raw.size }
    /// Bytes that it occupies.
    package var allocated: UInt64 { raw.blocks * 512 }
    package var modified: Timestamp {
        Timestamp(seconds: raw.modified_seconds, nanoseconds: raw.modified_nanoseconds)
    }
    package var changed: Timestamp {
        Timestamp(seconds: raw.changed_seconds, nanoseconds: raw.changed_nanoseconds)
    }
    package var device: UInt64 { raw.device }
    package var inode: UInt64 { raw.inode }
    package var mount: UInt64 { raw.mount }
    package var links: UInt32 { raw.links }
    /// Of a device: which one.
    package var deviceNumber: DeviceNumber { DeviceNumber(major: raw.represented_major, minor: raw.represented_minor) }
    package var isImmutable: Bool { raw.immutable != 0 || raw.append_only != 0 }

    package func attributes(with extended: [ExtendedAttribute]) -> Attributes {
        Attributes(mode: mode, user: user, group: group, modified: modified, extended: extended)
    }

    package var owner: FileOwner { FileOwner(user: user, group: group) }

    package var identity: FileIdentity { FileIdentity(device: device, inode: inode) }

    /// Whether this is on another file system, or another mount of the same one, than `parent`: renames cannot cross.
    package func isMountRoot(in parent: FileStatus) -> Bool {
        device != parent.device || mount != parent.mount || raw.mount_root != 0
    }

    /// The entry without its path, link target and extended attributes.
    package var record: EntryRecord {
        var record = EntryRecord(
            kind: kind, mode: mode, user: user, group: group, size: kind == .file ? size : 0, modified: modified)
        record.device = device
        record.inode = inode
        record.changed = changed
        record.links = links
        if kind == .file, allocated < size { record.flags.insert(.sparse) }
        if isImmutable { record.flags.insert(.immutable) }
        return record
    }
}

/// Which file this is, as long as its file system stays mounted.
package struct FileIdentity: Hashable, Sendable {
    package let device: UInt64
    package let inode: UInt64

    package init(device: UInt64, inode: UInt64) {
        self.device = device
        self.inode = inode
    }
}

/// Whom a file belongs to, by numbers.
package struct FileOwner: Equatable, Sendable {
    package let user: UInt32
    package let group: UInt32

    package init(user: UInt32, group: UInt32) {
        self.user = user
        self.group = group
    }
}
