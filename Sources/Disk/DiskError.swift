import CLinux
import Glibc
import Model

/// A system call failed: which one, on what, and why.
package struct DiskError: Error, Sendable {
    /// What a caller can do about it.
    package enum Code: Sendable {
        case notFound, exists, denied, readOnly, noSpace, tooManyOpenFiles, crossesDevices, busy, isLink
        case notDirectory, isDirectory, notEmpty, unsupported, tooManyLinks, locked, tooLong, io, other
        /// What was found is not what had to be there: damaged, or made by someone else.
        case invalid
    }

    package let code: Code
    /// What was tried, as a verb: `open`, `write`, `rename`.
    package let operation: String
    /// Safe to print.
    package var path: String
    /// The kernel's number, or 0.
    package let number: Int32
    private let explanation: String?

    package init(_ operation: String, _ path: String, number: Int32) {
        self.operation = operation
        self.path = path
        self.number = number
        explanation = nil
        code = Self.code(of: number)
    }

    /// An error that no system call reported.
    package init(_ code: Code, _ operation: String, _ path: String, because explanation: String) {
        self.code = code
        self.operation = operation
        self.path = path
        self.explanation = explanation
        number = 0
    }

    /// Whether the file system has no hard links, none here, or no room for another: a copy does instead.
    package var meansNoHardLink: Bool {
        number == EPERM || code == .tooManyLinks || code == .unsupported || code == .crossesDevices
    }

    /// Whether the file system has no symbolic links: symlink(2) says so with EPERM, as on a USB stick.
    package var meansNoSymbolicLink: Bool { number == EPERM || code == .unsupported }

    /// The same for the entry at `path`, where only a name or nothing was known.
    package func naming(_ path: EntryPath) -> DiskError {
        var named = self
        named.path = path.description
        return named
    }

    /// A clause: `permission denied`.
    package var reason: String {
        if let explanation { return explanation }
        let text = String(cString: linux_error_text(number))
        return text.prefix(1).lowercased() + text.dropFirst()
    }

    private static func code(of number: Int32) -> Code {
        switch number {
        case ENOENT: .notFound
        case EEXIST: .exists
        case EACCES, EPERM: .denied
        case EROFS: .readOnly
        case ENOSPC, EDQUOT: .noSpace
        case EMFILE, ENFILE: .tooManyOpenFiles
        case EXDEV: .crossesDevices
        case EBUSY, ETXTBSY: .busy
        case ELOOP: .isLink
        case ENOTDIR: .notDirectory
        case EISDIR: .isDirectory
        case ENOTEMPTY: .notEmpty
        case EOPNOTSUPP, EINVAL, ENOSYS, ENOTTY: .unsupported
        case EMLINK: .tooManyLinks
        case EWOULDBLOCK: .locked
        case ENAMETOOLONG: .tooLong
        case EIO: .io
        default: .other
        }
    }
}

extension DiskError: CustomStringConvertible {
    package var description: String { "cannot \(operation) \(path): \(reason)" }
}

/// Turns the result of a CLinux call into a value or an error.
@inline(__always)
@discardableResult
func check<I: SignedInteger>(
    _ result: I, _ operation: StaticString, _ path: @autoclosure () -> String
) throws(DiskError) -> I {
    if result >= 0 { return result }
    throw DiskError("\(operation)", path(), number: Int32(-Int(result)))
}

/// Calls `body` with the bytes of `name` and a NUL after them.
@inline(__always)
func withCString<N: Collection<UInt8>, R>(_ name: N, _ body: (UnsafePointer<CChar>) -> R) -> R {
    withUnsafeTemporaryAllocation(of: CChar.self, capacity: name.count + 1) { buffer in
        let copied: Void? = name.withContiguousStorageIfAvailable { bytes in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(bytes))
        }
        if copied == nil {
            for (index, byte) in name.enumerated() { buffer[index] = CChar(bitPattern: byte) }
        }
        buffer[name.count] = 0
        return body(UnsafePointer(buffer.baseAddress.unsafelyUnwrapped))
    }
}
