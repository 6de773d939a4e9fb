import Disk
import Glibc
import Model

/// A path in a test, where a wrong one is a mistake in the test.
package func entry(_ text: String) -> EntryPath {
    guard let path = EntryPath(text) else { preconditionFailure("'\(text)' is no path of an entry") }
    return path
}

/// A scratch directory that goes when its last reference does.
package final class TemporaryTree: Sendable {
    package let path: String
    package let directory: Directory

    /// Made in `base`: tmpfs, unless the test is about a file system.
    package init(in base: String = "/dev/shm") throws {
        var template = Array("\(base)/chastipi-test-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        guard let made else { throw DiskError("make", base, number: errno) }
        path = String(cString: made)
        directory = try Directory(path: path)
    }

    deinit {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        do {
            let parent = try Directory(path: String(path[..<slash]))
            try TreeRemoval.remove(Array(path[path.index(after: slash)...].utf8), in: parent)
        } catch {
            print("warning: the scratch directory \(path) was not removed: \(error)")
        }
    }
}

// Making entries. Directories above an entry are made if they are missing.
extension TemporaryTree {
    package func makeDirectory(_ path: EntryPath) throws {
        var current = directory
        for component in path.components { current = try current.directory(making: component) }
    }

    /// The directory that holds `path`.
    package func parent(of path: EntryPath) throws -> Directory {
        try makeDirectory(path.parent ?? .root)
        return try directory.directory(at: path.parent ?? .root)
    }

    package func write(_ path: EntryPath, _ bytes: [UInt8], mode: UInt16 = 0o644) throws {
        let parent = try parent(of: path)
        if try parent.status(of: path.name) != nil { try parent.unlink(path.name) }
        var file = try NewFile(path.name, in: parent, mode: mode)
        try file.write(bytes)
    }

    package func write(_ path: String, _ text: String) throws {
        try write(entry(path), Array(text.utf8))
    }

    /// Writes bytes into a file that stays the same file.
    package func overwrite(_ path: EntryPath, at offset: Int, with bytes: [UInt8]) throws {
        let parent = try parent(of: path)
        let descriptor = path.name.withUnsafeBytes { name in
            openat(parent.descriptor, String(decoding: name, as: UTF8.self), O_WRONLY | O_NOFOLLOW)
        }
        guard descriptor >= 0 else { throw DiskError("open", path.description, number: errno) }
        defer { close(descriptor) }
        let written = bytes.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, off_t(offset)) }
        guard written == bytes.count else { throw DiskError("write", path.description, number: errno) }
    }

    package func makeLink(_ path: EntryPath, to target: [UInt8]) throws {
        try parent(of: path).makeLink(path.name, to: target)
    }

    /// Gives the file at `path` the further name `other`.
    package func makeHardLink(_ other: EntryPath, to path: EntryPath) throws {
        try parent(of: path).link(path.name, to: parent(of: other), as: other.name)
    }

    /// A file that begins with `head`, then has a hole, then ends with `tail`.
    package func writeSparse(_ path: EntryPath, head: [UInt8], hole: UInt64, tail: [UInt8]) throws {
        var file = try NewFile(path.name, in: try parent(of: path))
        try file.write(head)
        try file.skip(hole)
        try file.write(tail)
        try file.finishHole()
    }

    package func makeFifo(_ path: EntryPath) throws {
        let parent = try parent(of: path)
        let result = mkfifoat(parent.descriptor, String(decoding: path.name, as: UTF8.self), 0o600)
        if result != 0 { throw DiskError("make the fifo", path.description, number: errno) }
    }

    package func remove(_ path: EntryPath) throws {
        try TreeRemoval.remove(Array(path.name), in: try parent(of: path))
    }
}

// Asking and setting.
extension TemporaryTree {
    package func status(_ path: EntryPath) throws -> FileStatus? {
        if path.isRoot { return try directory.status() }
        return try directory.directory(at: path.parent ?? .root).status(of: path.name)
    }

    package func read(_ path: EntryPath) throws -> [UInt8] {
        try directory.directory(at: path.parent ?? .root).readFile(path.name, limit: 1 << 30)
    }

    package func read(_ path: String) throws -> String {
        String(decoding: try read(entry(path)), as: UTF8.self)
    }

    /// Sets everything but content; fails if something cannot be set.
    package func set(_ attributes: Attributes, of path: EntryPath) throws {
        let unset: [String]
        if let status = try status(path), status.kind == .link {
            unset = try FileAttributes.apply(
                attributes, toUnopened: path.name, in: try parent(of: path), ownership: .byNumber())
        } else if try status(path)?.kind == .directory {
            let opened = try directory.directory(at: path)
            unset = try FileAttributes.apply(
                attributes, to: opened.descriptor, now: try opened.status().owner, ownership: .byNumber())
        } else {
            let file = try OpenFile(path.name, in: try directory.directory(at: path.parent ?? .root))
            unset = try FileAttributes.apply(
                attributes, to: file.descriptor, now: try file.status().owner, ownership: .byNumber())
        }
        guard unset.isEmpty else { throw DiskError(.unsupported, "set", path.description, because: "\(unset)") }
    }

    /// Changes some attributes of the entry at `path`.
    package func change(_ path: EntryPath, _ change: (inout Attributes) -> Void) throws {
        guard let status = try status(path) else { throw DiskError("change", path.description, number: ENOENT) }
        let extended: [ExtendedAttribute]
        if path.isRoot {
            extended = try FileAttributes.extended(of: directory.descriptor)
        } else {
            extended = try FileAttributes.extended(
                of: path.name, in: try directory.directory(at: path.parent ?? .root))
        }
        var attributes = status.attributes(with: extended)
        change(&attributes)
        try set(attributes, of: path)
    }
}
