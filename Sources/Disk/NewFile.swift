import CLinux
import Glibc
import Model

/// A regular file that is being written. Nobody else knows it yet: it did not exist before.
package struct NewFile: ~Copyable {
    package let descriptor: Int32
    /// Bytes written or left as holes so far.
    package private(set) var size: UInt64 = 0
    /// Whether anything was left out.
    package private(set) var hasHoles = false
    private var endsInHole = false
    /// Up to here the kernel was asked to begin.
    private var writtenOut: UInt64 = 0
    private static let writeOutSize: UInt64 = 16 << 20

    /// Makes the file `name` in `directory`; nothing may stand there.
    package init(_ name: some Collection<UInt8>, in directory: Directory, mode: UInt16 = 0o600) throws(DiskError) {
        let created = withCString(name) { linux_create(directory.descriptor, $0, O_WRONLY, UInt32(mode)) }
        descriptor = try check(created, "create", printable(name))
    }

    deinit {
        // Whoever needs the bytes durable has synced them; without that, nothing was promised.
        linux_close(descriptor)
    }

    package mutating func write(_ bytes: UnsafeRawBufferPointer) throws(DiskError) {
        var rest = bytes
        while !rest.isEmpty {
            let count = linux_write(descriptor, rest.baseAddress, UInt(rest.count))
            if count == -Int(EINTR) { continue }
            try check(count, "write", "the file")
            rest = UnsafeRawBufferPointer(rebasing: rest[count...])
        }
        size += UInt64(bytes.count)
        if !bytes.isEmpty { endsInHole = false }
        writeOut()
    }

    /// The disk has begun with a large file long before the sync that waits for it (decision 012).
    private mutating func writeOut() {
        guard size - writtenOut >= Self.writeOutSize else { return }
        linux_start_writing_out(descriptor, Int64(writtenOut), Int64(size - writtenOut))
        writtenOut = size
    }

    package mutating func write(_ bytes: [UInt8]) throws(DiskError) {
        try bytes.withRawBytes { bytes throws(DiskError) in try write(bytes) }
    }

    /// Puts `bytes` in the place of others that were written before.
    package func overwrite(_ bytes: [UInt8], at offset: UInt64) throws(DiskError) {
        var written = 0
        while written < bytes.count {
            let count = bytes.withRawBytes { raw in
                linux_pwrite(
                    descriptor, raw.baseAddress?.advanced(by: written), UInt(raw.count - written),
                    Int64(offset) + Int64(written))
            }
            if count == -Int(EINTR) { continue }
            try check(count, "write", "the file")
            written += count
        }
    }

    /// Drops what was written from `size` on.
    package mutating func cut(to size: UInt64) throws(DiskError) {
        try check(linux_truncate(descriptor, Int64(size)), "shorten", "the file")
        guard lseek(descriptor, off_t(size), SEEK_SET) >= 0 else {
            throw DiskError("seek in", "the file", number: errno)
        }
        self.size = size
        writtenOut = min(writtenOut, size)
    }

    /// Leaves `count` bytes out: they read as zeros and take no room.
    package mutating func skip(_ count: UInt64) throws(DiskError) {
        guard count > 0 else { return }
        size += count
        (hasHoles, endsInHole) = (true, true)
        guard lseek(descriptor, off_t(size), SEEK_SET) >= 0 else {
            throw DiskError("seek in", "the file", number: errno)
        }
    }

    /// Gives a file that ends with a hole its full size.
    package mutating func finishHole() throws(DiskError) {
        guard endsInHole else { return }
        try check(linux_truncate(descriptor, Int64(size)), "extend", "the file")
        endsInHole = false
    }

    /// Takes over the whole content of `source` without copying it, where the file system can.
    package mutating func reflink(from source: borrowing OpenFile) throws(DiskError) {
        try check(linux_reflink(descriptor, source.descriptor), "reflink", "the file")
    }

    package func fsync() throws(DiskError) {
        try check(linux_fsync(descriptor), "sync", "the file")
    }

    package func status() throws(DiskError) -> FileStatus {
        try FileStatus(of: descriptor)
    }
}

extension Directory {
    /// Puts `bytes` at `name`, in place of what stands there: all of it or nothing, and durable when this returns.
    package func replaceFile(_ name: String, with bytes: [UInt8]) throws(DiskError) {
        try putInPlace(name, bytes, isDurable: true)
        try fsync()
    }

    /// The same for what may be lost, such as a cache: after a power cut it may be the old one, missing or cut off. Two
    /// syncs for each would take longer than what they save, and wear out a card.
    package func replaceCache(_ name: String, with bytes: [UInt8]) throws(DiskError) {
        try putInPlace(name, bytes, isDurable: false)
    }

    /// Makes the file `name`, which does not exist: all of it, and durable when this returns, or nothing.
    package func createFile(_ name: String, with bytes: [UInt8]) throws(DiskError) {
        do throws(DiskError) {
            try replaceFile(name, with: bytes)
        } catch {
            // It may stand there although it is not known to be durable.
            withCString(name.utf8) { _ = linux_unlink(descriptor, $0) }
            throw error
        }
    }

    private func putInPlace(_ name: String, _ bytes: [UInt8], isDurable: Bool) throws(DiskError) {
        let temporary = Array((name + ".tmp").utf8)
        if try status(of: temporary) != nil { try unlink(temporary) }
        do throws(DiskError) {
            var file = try NewFile(temporary, in: self)
            try giveToOwner(file.descriptor)
            try file.write(bytes)
            if isDurable { try file.fsync() }
            try replace(name.utf8, by: temporary)
        } catch {
            // The first error is what the caller must hear; the leftover is removed before the next write.
            withCString(temporary) { _ = linux_unlink(descriptor, $0) }
            throw error
        }
    }
}
