import CLinux
import Glibc
import Model

/// A regular file that is open for reading.
package struct OpenFile: ~Copyable, Sendable {
    package let descriptor: Int32

    /// Opens the file `name` in `directory`: never through a link, and never waiting for a fifo's other end.
    package init(_ name: some Collection<UInt8>, in directory: Directory) throws(DiskError) {
        let flags = O_RDONLY | linux_O_NOFOLLOW | linux_O_NONBLOCK
        descriptor = try check(
            withCString(name) { linux_open(directory.descriptor, $0, flags) }, "open", printable(name))
    }

    /// Opens what a user named by its path: links are followed, and a fifo's other end is waited for.
    package init(path: String) throws(DiskError) {
        descriptor = try check(
            withCString(path.utf8) { linux_open(AT_FDCWD, $0, O_RDONLY) }, "open", printable(path.utf8))
    }

    deinit {
        linux_close(descriptor)
    }

    package func status() throws(DiskError) -> FileStatus {
        try FileStatus(of: descriptor)
    }

    /// Reads into `buffer` from the current position; 0 at the end of the file.
    package func read(into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        while true {
            let count = linux_read(descriptor, buffer.baseAddress, UInt(buffer.count))
            if count != -Int(EINTR) { return try check(count, "read", "the file") }
        }
    }

    /// Reads the whole file, which may have at most `limit` bytes.
    package func readAll(limit: Int) throws(DiskError) -> [UInt8] {
        let size = try status().size
        guard size <= UInt64(limit) else {
            throw DiskError(
                .invalid, "read", "the file", because: "it has \(size) bytes, more than the limit of \(limit)")
        }
        return try readStream(limit: limit, expected: Int(size))
    }

    /// Reads to the end, whatever size the file claims (those of proc claim none).
    package func readStream(limit: Int, expected: Int = 0) throws(DiskError) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(expected + 1)
        let failure: DiskError? = withUnsafeTemporaryAllocation(byteCount: 64 * 1024, alignment: 16) { buffer in
            do throws(DiskError) {
                while true {
                    let count = try read(into: buffer)
                    if count == 0 { return nil }
                    bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                    if bytes.count > limit {
                        throw DiskError(.invalid, "read", "the file", because: "it grew beyond \(limit) bytes")
                    }
                }
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        return bytes
    }
}

extension Directory {
    /// Reads the file `name`, which may have at most `limit` bytes.
    package func readFile(_ name: some Collection<UInt8>, limit: Int) throws(DiskError) -> [UInt8] {
        let file = try OpenFile(name, in: self)
        do throws(DiskError) {
            guard try file.status().kind == .file else {
                throw DiskError(.invalid, "read", "", because: "it is not a regular file")
            }
            return try file.readAll(limit: limit)
        } catch {
            var named = error
            named.path = printable(name)
            throw named
        }
    }
}

extension OpenFile {
    /// Makes the file durable. Which descriptor it was written through does not matter.
    package func fsync() throws(DiskError) {
        try check(linux_fsync(descriptor), "sync", "the file")
    }
}

extension OpenFile {
    /// Fills `buffer` from `offset` on; returns how many bytes there were, fewer only where the file ends.
    package func read(at offset: UInt64, into buffer: UnsafeMutableRawBufferPointer) throws(DiskError) -> Int {
        var filled = 0
        while filled < buffer.count {
            let count = linux_pread(
                descriptor, buffer.baseAddress?.advanced(by: filled), UInt(buffer.count - filled),
                Int64(clamping: offset) + Int64(filled))
            if count == -Int(EINTR) { continue }
            try check(count, "read", "the file")
            if count == 0 { break }
            filled += count
        }
        return filled
    }

    /// The last `count` bytes, or all there are.
    package func readTail(_ count: Int) throws(DiskError) -> [UInt8] {
        try bytes(at: max(0, Int64(clamping: try status().size) - Int64(count)), count: count)
    }

    /// Up to `count` bytes from `offset` on: fewer where the file ends.
    package func bytes(at offset: Int64, count: Int) throws(DiskError) -> [UInt8] {
        var result = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            result = linux_pread(descriptor, buffer.baseAddress, UInt(count), offset)
            filled = max(0, result)
        }
        try check(result, "read", "the file")
        return bytes
    }
}
