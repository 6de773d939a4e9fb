import CLinux
import Glibc
import Model

/// A held lock on a file that is never removed (promise 15). The kernel drops it when the process ends, however it ends.
package final class Lock: Sendable {
    private let descriptor: Int32

    package enum Mode: Sendable {
        /// Others may hold it in this mode too.
        case shared
        case exclusive
    }

    /// Takes the lock `name` in `directory` without waiting. Throws a ``DiskError`` of code `locked` whose reason tells
    /// the holder, if it is taken. `holder` is written into the file for such messages.
    package init(
        _ name: some Collection<UInt8>, in directory: Directory, mode: Mode, holder: String
    ) throws(DiskError) {
        let descriptor = try Self.open(name, in: directory, mode: mode)
        let result = linux_lock(descriptor, mode == .exclusive ? 1 : 0, 0)
        if result < 0 {
            let other = Self.text(descriptor)
            linux_close(descriptor)
            guard result == -EWOULDBLOCK else { throw DiskError("lock", printable(name), number: -result) }
            throw DiskError(.locked, "lock", printable(name), because: "held by \(other)")
        }
        self.descriptor = descriptor
        write(holder)
    }

    deinit {
        linux_close(descriptor)
    }

    /// A shared lock needs no right to write; an exclusive one makes the file if it is missing.
    private static func open(
        _ name: some Collection<UInt8>, in directory: Directory, mode: Mode
    ) throws(DiskError) -> Int32 {
        var isNew = false
        let opened = withCString(name) { name in
            let existing = linux_open(directory.descriptor, name, O_RDWR | linux_O_NOFOLLOW)
            if existing == -ENOENT {
                isNew = true
                return linux_open_or_create(directory.descriptor, name, 0o600)
            }
            if existing >= 0 || mode == .exclusive { return existing }
            return linux_open(directory.descriptor, name, O_RDONLY | linux_O_NOFOLLOW)
        }
        try check(opened, "open the lock", printable(name))
        if isNew {
            do throws(DiskError) {
                try directory.giveToOwner(opened)
            } catch {
                linux_close(opened)
                throw error
            }
        }
        return opened
    }

    /// For messages only, so an error here is of no consequence.
    private func write(_ holder: String) {
        let line = Array((holder + "\n").utf8)
        _ = linux_truncate(descriptor, 0)
        _ = line.withUnsafeBytes { linux_write(descriptor, $0.baseAddress, UInt($0.count)) }
    }

    private static func text(_ descriptor: Int32) -> String {
        let bytes = [UInt8](unsafeUninitializedCapacity: 256) { buffer, count in
            count = max(0, linux_pread(descriptor, buffer.baseAddress, 256, 0))
        }
        let line = bytes.prefix { $0 != UInt8(ascii: "\n") }
        return line.isEmpty ? "another run" : printable(line)
    }
}
