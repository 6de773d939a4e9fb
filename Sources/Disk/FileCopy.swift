import CLinux
import Glibc
import Model

/// What is copied could not be read: the fault is the source's and not the target's.
package struct SourceUnreadable: Error, Sendable {
    package let cause: DiskError

    package init(cause: DiskError) {
        self.cause = cause
    }
}

/// Copies the bytes of a file, holes as holes. Fails with ``SourceUnreadable`` where the source cannot be read, with
/// ``DiskError`` where the target cannot be written.
package enum FileCopy {
    /// Copies the first `size` bytes of `source`, which has just been opened, to `target`, through `buffer`. `each` sees
    /// every byte in order, the zeros of holes too. Less is copied where the file has become shorter.
    package static func copy(
        _ source: borrowing OpenFile, size: UInt64, to target: inout NewFile,
        through buffer: UnsafeMutableRawBufferPointer, isSparse: Bool, stop: StopFlag,
        each: (UnsafeRawBufferPointer) -> Void
    ) throws {
        if !isSparse {
            return try copyRun(source, to: &target, through: buffer, limit: size, stop: stop, each: each)
        }
        while target.size < size {
            let position = Int64(target.size)
            let data = linux_seek_data(source.descriptor, position)
            if data == -Int64(ENXIO) || data >= Int64(size) { break }
            if data == -Int64(EINVAL) || data == -Int64(EOPNOTSUPP) {
                // The file system knows no holes after all.
                return try copyRun(
                    source, to: &target, through: buffer, limit: size - target.size, stop: stop, each: each)
            }
            if data < 0 { throw SourceUnreadable(cause: DiskError("seek in", "the file", number: Int32(-data))) }
            try pass(zeros: UInt64(data - position), through: buffer, stop: stop, each: each)
            try target.skip(UInt64(data - position))
            let end = min(Int64(size), try check(linux_seek_hole(source.descriptor, data), "seek in", "the file"))
            guard lseek(source.descriptor, off_t(data), SEEK_SET) >= 0 else {
                throw DiskError("seek in", "the file", number: errno)
            }
            try copyRun(source, to: &target, through: buffer, limit: UInt64(end - data), stop: stop, each: each)
            if target.size < UInt64(end) { return }
        }
        if size > target.size, try source.status().size >= size {
            try pass(zeros: size - target.size, through: buffer, stop: stop, each: each)
            try target.skip(size - target.size)
            try target.finishHole()
        }
    }

    private static func copyRun(
        _ source: borrowing OpenFile, to target: inout NewFile, through buffer: UnsafeMutableRawBufferPointer,
        limit: UInt64, stop: StopFlag, each: (UnsafeRawBufferPointer) -> Void
    ) throws {
        var left = limit
        while left > 0 {
            try stop.check()
            let room = Int(min(UInt64(buffer.count), left))
            let count = try read(source, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<room]))
            if count == 0 { return }
            let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count])
            each(bytes)
            try target.write(bytes)
            left -= UInt64(count)
        }
    }

    private static func read(
        _ source: borrowing OpenFile, into buffer: UnsafeMutableRawBufferPointer
    ) throws(SourceUnreadable) -> Int {
        do throws(DiskError) {
            return try source.read(into: buffer)
        } catch {
            throw SourceUnreadable(cause: error)
        }
    }

    private static func pass(
        zeros: UInt64, through buffer: UnsafeMutableRawBufferPointer, stop: StopFlag,
        each: (UnsafeRawBufferPointer) -> Void
    ) throws {
        guard zeros > 0 else { return }
        var left = zeros
        let used = Int(min(UInt64(buffer.count), left))
        UnsafeMutableRawBufferPointer(rebasing: buffer[..<used]).initializeMemory(as: UInt8.self, repeating: 0)
        while left > 0 {
            try stop.check()
            let count = Int(min(UInt64(used), left))
            each(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
            left -= UInt64(count)
        }
    }

    /// Passes all bytes of `source` to `each`.
    package static func read(
        _ source: borrowing OpenFile, through buffer: UnsafeMutableRawBufferPointer, stop: StopFlag,
        each: (UnsafeRawBufferPointer) throws -> Void
    ) throws {
        while true {
            try stop.check()
            let count = try read(source, into: buffer)
            if count == 0 { return }
            try each(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(buffer)[..<count]))
        }
    }
}
