import Disk
import Glibc

/// A file system of its own in a file, mounted for one test. Only root can have one.
package final class LoopFileSystem: Sendable {
    /// Where it is mounted.
    package let path: String
    private let image: String
    private let isMounted: Bool

    /// Nil where it cannot be had: not root, or `mkfs.KIND` is not installed, or there is no loop device.
    package init?(_ kind: String, megabytes: Int, options: [String] = []) throws {
        guard geteuid() == 0 else { return nil }
        var template = Array("/tmp/chastipi-loop-XXXXXX".utf8CString)
        let created = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        guard let made = created else { return nil }
        path = String(cString: made)
        image = path + ".img"
        let quiet = kind == "vfat" ? [] : ["-q"]
        isMounted =
            try ToolRun.run("truncate", ["-s", "\(megabytes)M", image]).status == 0
            && ToolRun.run("mkfs.\(kind)", quiet + options + [image]).status == 0
            && ToolRun.run("mount", ["-o", "loop", image, path]).status == 0
        guard isMounted else {
            rmdir(path)
            unlink(image)
            return nil
        }
    }

    deinit {
        guard isMounted else { return }
        do {
            // Lazily: a process that another test starts may hold copies of our descriptors for a moment.
            let result = try ToolRun.run("umount", ["--lazy", path])
            guard result.status == 0 else {
                return print("warning: \(path) is still mounted: \(String(decoding: result.errors, as: UTF8.self))")
            }
        } catch {
            return print("warning: \(path) is still mounted: \(error)")
        }
        rmdir(path)
        unlink(image)
    }
}
