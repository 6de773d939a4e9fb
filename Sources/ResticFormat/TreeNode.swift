import Codec
import Model

/// One entry of a directory as a tree holds it.
///
/// Source: restic's design document, "Trees and Data", and the field list of restic's `restic.Node`.
package struct TreeNode: Equatable, Sendable {
    package enum Kind: Sendable, CaseIterable {
        case file, directory, link, blockDevice, characterDevice, fifo, socket, irregular

        /// As trees have it.
        var text: StaticString {
            switch self {
            case .file: "file"
            case .directory: "dir"
            case .link: "symlink"
            case .blockDevice: "dev"
            case .characterDevice: "chardev"
            case .fifo: "fifo"
            case .socket: "socket"
            case .irregular: "irregular"
            }
        }
    }

    /// One component of a path: not empty, not `.` or `..`, without slash and NUL.
    package internal(set) var name: [UInt8] = []
    package internal(set) var kind = Kind.file
    /// Bits as Go's `fs.FileMode` has them; see ``permissions``.
    package var mode: UInt32 = 0
    package var modified = LocalTime(moment: Timestamp(seconds: 0), offset: 0)
    package var accessed = LocalTime(moment: Timestamp(seconds: 0), offset: 0)
    package var changed = LocalTime(moment: Timestamp(seconds: 0), offset: 0)
    package var user: UInt32 = 0
    package var group: UInt32 = 0
    /// Empty if it is not known.
    package var userName: [UInt8] = []
    package var groupName: [UInt8] = []
    package var inode: UInt64 = 0
    /// Of the file system that holds it.
    package var device: UInt64 = 0
    /// Bytes of a file's content.
    package var size: UInt64 = 0
    package var links: UInt64 = 0
    /// Where a link points. Bytes that are not UTF-8 were lost if restic before 0.16 wrote the tree.
    package var target: [UInt8] = []
    /// In the order of the file system's list.
    package var extended: [ExtendedAttribute] = []
    /// What other systems keep, as JSON; empty for none.
    package var generic: [UInt8] = []
    /// Which device a device node is, as the system numbers it.
    package var represented: UInt64 = 0
    /// IDs of a file's blobs in order; nil for everything else.
    package var content: [SHA256Digest]?
    /// ID of a directory's tree.
    package var subtree: SHA256Digest?
    /// What an old version could not read; nobody writes it.
    package var error: [UInt8] = []
    /// How the encoder that wrote the node wrote some characters, so that it can be written again as it was.
    package var forms: JSONScanner.Forms = []

    /// For a reader, which gives it a name and a kind.
    init() {}

    /// Nil unless `name` is one component of a path.
    package init?(name: [UInt8], kind: Kind) {
        guard Self.isName(name) else { return nil }
        self.name = name
        self.kind = kind
    }

    static func isName(_ name: [UInt8]) -> Bool {
        for byte in name where byte == UInt8(ascii: "/") || byte == 0 { return false }
        let isDots = name.count <= 2 && name.allSatisfy { $0 == UInt8(ascii: ".") }
        return !name.isEmpty && !isDots
    }
}

// Modes.
extension TreeNode {
    /// Permission, set-id and sticky bits as `st_mode` has them.
    package var permissions: UInt16 {
        var bits = UInt16(mode & 0o777)
        if mode & 1 << 23 != 0 { bits |= 0o4000 }
        if mode & 1 << 22 != 0 { bits |= 0o2000 }
        if mode & 1 << 20 != 0 { bits |= 0o1000 }
        return bits
    }

    /// The number for a kind and the bits of `st_mode`, as Go's `fs.FileMode` has it.
    package static func mode(_ kind: Kind, permissions: UInt16) -> UInt32 {
        var mode = UInt32(permissions & 0o777)
        if permissions & 0o4000 != 0 { mode |= 1 << 23 }
        if permissions & 0o2000 != 0 { mode |= 1 << 22 }
        if permissions & 0o1000 != 0 { mode |= 1 << 20 }
        switch kind {
        case .file: return mode
        case .directory: return mode | 1 << 31
        case .link: return mode | 1 << 27
        case .blockDevice: return mode | 1 << 26
        case .characterDevice: return mode | 1 << 26 | 1 << 21
        case .fifo: return mode | 1 << 25
        case .socket: return mode | 1 << 24
        case .irregular: return mode | 1 << 19
        }
    }
}
