import CLinux
import Glibc
import Model

/// File systems that are mounted below a directory.
package enum Mounts {
    /// Their paths relative to `directory`, in path order; none where the system does not tell.
    ///
    /// Source: `/proc/self/mountinfo` (proc(5)): the fifth field is the mount point, with space, tab, LF and `\` as `\ooo`.
    package static func below(_ directory: Directory) throws(DiskError) -> [EntryPath] {
        let top = try path(of: directory)
        var mounts: Set<EntryPath> = []
        for fields in try lines(directory) {
            guard let point = unescaped(fields[4]), point.starts(with: top) else { continue }
            let rest = point.dropFirst(top.count)
            guard rest.first == UInt8(ascii: "/") || top == [UInt8(ascii: "/")],
                let path = EntryPath(rest.drop { $0 == UInt8(ascii: "/") }), !path.isRoot
            else { continue }
            mounts.insert(path)
        }
        return mounts.sorted()
    }

    /// The fields of each line.
    private static func lines(_ directory: Directory) throws(DiskError) -> [[ArraySlice<UInt8>]] {
        let list: [UInt8]
        do throws(DiskError) {
            list = try OpenFile("/proc/self/mountinfo".utf8, in: directory).readStream(limit: 1 << 24)
        } catch  where error.code == .notFound || error.code == .denied {
            return []
        }
        return list.split(separator: UInt8(ascii: "\n")).map { $0.split(separator: UInt8(ascii: " ")) }
            .filter { $0.count > 4 }
    }

    /// The path of `directory` without links, as the kernel knows it.
    package static func path(of directory: Directory) throws(DiskError) -> [UInt8] {
        let link = "/proc/self/fd/\(directory.descriptor)"
        return try directory.target(ofLink: link.utf8)
    }

    /// Where the file system of `directory` is mounted; nil where the system does not tell.
    package static func point(holding directory: Directory) throws(DiskError) -> [UInt8]? {
        try line(holding: directory).flatMap { unescaped($0[4]) }
    }

    private static func line(holding directory: Directory) throws(DiskError) -> [ArraySlice<UInt8>]? {
        let mount = Array(String(try directory.status().mount).utf8)
        return try lines(directory).first { $0[0].elementsEqual(mount) }
    }

    /// The kernel's name of the disk that holds `directory`, such as `sda` for what lies on its partition `sda1`; nil where
    /// it lies on none (memory, a network), or where the system does not tell.
    ///
    /// Source: sysfs-block; of partitions it has a file `partition`.
    package static func disk(holding directory: Directory) throws(DiskError) -> String? {
        guard let fields = try line(holding: directory) else { return nil }
        var link = "/sys/dev/block/" + String(decoding: fields[2], as: UTF8.self)
        if fields[2].starts(with: "0:".utf8) {
            // A file system with numbers of its own, such as btrfs: its source is named after the `-`.
            guard let dash = fields.firstIndex(where: { $0.elementsEqual("-".utf8) }), dash + 2 < fields.count,
                let source = unescaped(fields[dash + 2]), source.starts(with: "/dev/".utf8),
                let name = source.split(separator: UInt8(ascii: "/")).last
            else { return nil }
            link = "/sys/class/block/" + String(decoding: name, as: UTF8.self)
        }
        do throws(DiskError) {
            let parts = try directory.target(ofLink: link.utf8).split(separator: UInt8(ascii: "/"))
            let isPartition = try Directory(path: link).status(of: "partition".utf8) != nil
            return parts.dropLast(isPartition ? 1 : 0).last.map { printable($0) }
        } catch  where [.notFound, .denied, .notDirectory].contains(error.code) {
            return nil
        }
    }

    private static func unescaped(_ field: ArraySlice<UInt8>) -> [UInt8]? {
        var bytes: [UInt8] = []
        var rest = field
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                bytes.append(byte)
                continue
            }
            guard rest.count >= 3, let value = UInt8(String(decoding: rest.prefix(3), as: UTF8.self), radix: 8) else {
                return nil
            }
            bytes.append(value)
            rest = rest.dropFirst(3)
        }
        return bytes
    }
}
