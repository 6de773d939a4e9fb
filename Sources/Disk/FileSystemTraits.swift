import CLinux
import Glibc

/// What a file system can do, and how much room it has.
package struct FileSystemTraits: Sendable {
    private let raw: linux_filesystem

    package init(of directory: Directory) throws(DiskError) {
        var raw = linux_filesystem()
        try check(linux_filesystem_of(directory.descriptor, &raw), "read the file system of", "the directory")
        self.raw = raw
    }

    /// Such as `ext4`; `0x…` where we know no name.
    package var name: String {
        Self.names[raw.magic] ?? "0x" + String(raw.magic, radix: 16)
    }

    /// Whether one syncfs makes everything durable and reports every failed write (promise 1).
    package var syncsAsWhole: Bool {
        ["ext4", "xfs", "btrfs", "f2fs", "tmpfs"].contains(name) && Self.kernelReportsErrorsOfSyncfs
    }

    /// Whether each listing of a directory shows what any process has made in it before: those that only this kernel
    /// changes. Whether it lends them to others, by NFS or SMB, cannot be told: who uses them from there sees late what is made here.
    package var listsConsistently: Bool {
        ["ext4", "xfs", "btrfs", "f2fs", "tmpfs", "zfs", "overlayfs", "vfat", "exfat"].contains(name)
    }

    /// The name of a file system that keeps neither owners and modes nor links; nil for all others.
    package var withoutAttributes: String? { ["vfat", "exfat"].contains(name) ? name : nil }

    package var isReadOnly: Bool { raw.read_only != 0 }

    /// Bytes that we may still write.
    package var freeBytes: UInt64 { raw.blocks_available &* raw.block_size }

    /// Files that may still be made; nil where the file system has no such limit.
    package var freeEntries: UInt64? { raw.inodes == 0 ? nil : raw.inodes_free }

    package var blockSize: UInt64 { max(512, raw.block_size) }

    /// Magic numbers from statfs(2).
    private static let names: [UInt64: String] = [
        0xEF53: "ext4", 0x5846_5342: "xfs", 0x9123_683E: "btrfs", 0xF2F5_2010: "f2fs", 0x0102_1994: "tmpfs",
        0x4D44: "vfat", 0x2011_BAB0: "exfat", 0x6969: "nfs", 0x794C_7630: "overlayfs", 0x5346_544E: "ntfs",
        0x6573_5546: "fuse", 0xFF53_4D42: "cifs", 0x2FC1_2FC1: "zfs", 0x7371_7368: "squashfs",
    ]

    /// Since Linux 5.8 syncfs reports write errors; before, it could succeed although data was lost.
    private static let kernelReportsErrorsOfSyncfs: Bool = {
        var system = utsname()
        guard uname(&system) == 0 else { return false }
        let release = withUnsafeBytes(of: &system.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let numbers = release.split(separator: ".").prefix(2).compactMap { Int($0.prefix { $0.isNumber }) }
        guard numbers.count == 2 else { return false }
        return (numbers[0], numbers[1]) >= (5, 8)
    }()
}
