import Model

/// Removes trees that are ours: never through a link, never into another file system, however deep.
package enum TreeRemoval {
    /// Removes `name` in `directory` with all below it; nothing there is fine.
    package static func remove(_ name: [UInt8], in directory: Directory) throws(DiskError) {
        guard let status = try directory.status(of: name) else { return }
        guard status.kind == .directory else { return try directory.unlink(name) }
        guard status.mount == (try directory.status().mount) else {
            throw DiskError(.busy, "remove", printable(name), because: "a file system is mounted there")
        }
        let top = try open(name, in: directory, mode: status.mode)
        var hoisted = 0
        try empty(top, top: top, mount: status.mount, depth: 0, hoisted: &hoisted)
        try directory.removeEmptyDirectory(name)
    }

    /// Descriptors are few: what lies deeper than this is moved up to the top first.
    private static let maximumDepth = 100

    private static func empty(
        _ directory: Directory, top: Directory, mount: UInt64, depth: Int, hoisted: inout Int
    ) throws(DiskError) {
        // Hoisting puts new entries into the top while it is being emptied: so list again until nothing is left.
        while true {
            let items = try directory.items()
            if items.isEmpty { return }
            for item in items {
                guard let status = try directory.status(of: item.name) else { continue }
                guard status.kind == .directory else {
                    try directory.unlink(item.name)
                    continue
                }
                guard status.mount == mount else {
                    throw DiskError(.busy, "remove", printable(item.name), because: "a file system is mounted there")
                }
                if depth >= maximumDepth {
                    _ = try open(item.name, in: directory, mode: status.mode)
                    try hoist(item.name, from: directory, to: top, number: &hoisted)
                    continue
                }
                let child = try open(item.name, in: directory, mode: status.mode)
                try empty(child, top: top, mount: mount, depth: depth + 1, hoisted: &hoisted)
                try directory.removeEmptyDirectory(item.name)
            }
        }
    }

    private static func hoist(
        _ name: [UInt8], from directory: Directory, to top: Directory, number: inout Int
    ) throws(DiskError) {
        while true {
            number += 1
            do throws(DiskError) {
                return try directory.move(name, to: top, as: "..deep-\(number)".utf8)
            } catch  where error.code == .exists {
                continue
            }
        }
    }

    /// Opens a directory that is to be emptied. Its owner may have taken away his own right to do so.
    private static func open(_ name: [UInt8], in directory: Directory, mode: UInt16) throws(DiskError) -> Directory {
        if mode & 0o700 != 0o700 { try directory.setMode(mode | 0o700, of: name) }
        return try directory.directory(name)
    }
}
