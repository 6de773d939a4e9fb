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
        do throws(DiskError) {
            let bytes = try OpenFile("status".utf8, in: try Directory(path: "/proc/self")).readStream(limit: 1 << 16)
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            guard let line = lines.first(where: { $0.hasPrefix("Umask:") }),
                let text = line.split(whereSeparator: { $0 == "\t" || $0 == " " }).last
            else { return usual }
            return UInt16(text, radix: 8) ?? usual
        } catch {
            return usual
        }
    }
}
