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
        let list: [UInt8]
        do throws(DiskError) {
            list = try OpenFile("/proc/self/mountinfo".utf8, in: directory).readStream(limit: 1 << 24)
        } catch  where error.code == .notFound || error.code == .denied {
            return []
        }
        var mounts: Set<EntryPath> = []
        for line in list.split(separator: UInt8(ascii: "\n")) {
            let fields = line.split(separator: UInt8(ascii: " "))
            guard fields.count > 4, let point = unescaped(fields[4]), point.starts(with: top) else { continue }
            let rest = point.dropFirst(top.count)
            guard rest.first == UInt8(ascii: "/") || top == [UInt8(ascii: "/")],
                let path = EntryPath(rest.drop { $0 == UInt8(ascii: "/") }), !path.isRoot
            else { continue }
            mounts.insert(path)
        }
        return mounts.sorted()
    }

    private static func path(of directory: Directory) throws(DiskError) -> [UInt8] {
        let link = "/proc/self/fd/\(directory.descriptor)"
        return try directory.target(ofLink: link.utf8)
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
