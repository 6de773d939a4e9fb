import CLinux
import Glibc
import Model

/// This process, for messages about who holds a lock, and for what it makes.
package enum ProcessIdentity {
    package static var number: Int32 { getpid() }
    package static var user: UInt32 { getuid() }
    package static var group: UInt32 { getgid() }

    /// The bits of permission that this process takes from what it makes (umask(2)). Read from proc, since asking the
    /// kernel would change it; the usual one where there is no proc.
    package static var fileModeMask: UInt16 {
        let usual: UInt16 = 0o022
        return words(of: "status")?["Umask:"].flatMap { UInt16($0.last ?? "", radix: 8) } ?? usual
    }

    /// Whether the kernel lets this process make device nodes: with CAP_MKNOD, and not as the root of a user namespace alone
    /// (mknod(2), user_namespaces(7)). Where there is no proc, the user tells.
    package static var mayMakeDevices: Bool {
        guard linux_effective_user() == 0 else { return false }
        guard let status = words(of: "status"), let users = words(of: "uid_map") else { return true }
        let makeNode: UInt64 = 1 << 27
        let capabilities = status["CapEff:"].flatMap { UInt64($0.last ?? "", radix: 16) } ?? .max
        return capabilities & makeNode != 0 && users["0"].map { $0 == ["0", "4294967295"] } == true
    }

    /// The lines of a file of proc on this process, by their first words; nil where there is none.
    private static func words(of file: String) -> [String: [String]]? {
        do throws(DiskError) {
            let bytes = try OpenFile(file.utf8, in: try Directory(path: "/proc/self")).readStream(limit: 1 << 16)
            var lines: [String: [String]] = [:]
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n") {
                let words = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).map(String.init)
                if let first = words.first { lines[first] = Array(words.dropFirst()) }
            }
            return lines
        } catch {
            return nil
        }
    }
}
