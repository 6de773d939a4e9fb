import Model

/// Which processes have files open, as proc tells: of other users' processes only root hears.
package enum FileUsers {
    package struct User: Sendable {
        package let process: Int32
        /// As the kernel calls it; safe to print.
        package let name: String
        package let file: FileIdentity
        package let mayWrite: Bool
    }

    /// All other processes that have a file open which `isWanted`. Processes come and go meanwhile: what cannot be read is
    /// passed over.
    package static func find(_ isWanted: (FileIdentity) -> Bool) throws(DiskError) -> [User] {
        var users: [User] = []
        guard let proc = openIfPossible({ () throws(DiskError) in try Directory(path: "/proc") }) else { return [] }
        for item in try proc.items() {
            guard let number = Int32(String(decoding: item.name, as: UTF8.self)), number != ProcessIdentity.number,
                let process = openIfPossible({ () throws(DiskError) in try proc.directory(item.name) })
            else { continue }
            users += find(in: process, number, isWanted)
        }
        return users.sorted { $0.process < $1.process }
    }

    private static func name(of process: Directory) -> String {
        do throws(DiskError) {
            let bytes = try OpenFile("comm".utf8, in: process).readStream(limit: 4096)
            return printable(bytes.prefix { $0 != UInt8(ascii: "\n") })
        } catch {
            return "process"
        }
    }

    private static func find(
        in process: Directory, _ number: Int32, _ isWanted: (FileIdentity) -> Bool
    ) -> [User] {
        guard let descriptors = openIfPossible({ () throws(DiskError) in try process.directory("fd".utf8) }),
            let items = openIfPossible({ () throws(DiskError) in try descriptors.items() })
        else { return [] }
        var users: [User] = []
        for item in items {
            guard let file = descriptors.identity(following: item.name), isWanted(file) else { continue }
            users.append(
                User(
                    process: number, name: name(of: process), file: file,
                    mayWrite: mayWrite(item.name, of: process)))
        }
        return users
    }

    /// The access mode are the two lowest bits of the flags, which stand in octal.
    private static func mayWrite(_ descriptor: [UInt8], of process: Directory) -> Bool {
        do throws(DiskError) {
            let folder = try process.directory("fdinfo".utf8)
            let bytes = try OpenFile(descriptor, in: folder).readStream(limit: 4096)
            let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
            guard let line = lines.first(where: { $0.hasPrefix("flags:") }),
                let flags = line.split(separator: "\t").last.flatMap({ Int($0, radix: 8) })
            else { return true }
            return flags & 3 != 0
        } catch {
            return true
        }
    }

    private static func openIfPossible<Value>(_ body: () throws(DiskError) -> Value) -> Value? {
        do throws(DiskError) { return try body() } catch { return nil }
    }
}
