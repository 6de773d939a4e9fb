/// The path of an entry: raw bytes, relative to the source, `/` between components.
///
/// Never absolute, never with an empty, `.` or `..` component, never with a NUL byte, so that an `EntryPath` always names
/// something inside the source. The source itself is ``root``, which has no bytes and prints as `.`.
///
/// Paths are ordered component by component, each by its bytes, so that the contents of a directory follow it at once:
/// `a`, `a/b`, `a-b`. The walk, manifests, zips and repository trees all use this order.
public struct EntryPath: Hashable, Comparable, Sendable {
    /// The bytes of the path; empty for ``root``.
    public let bytes: [UInt8]

    /// The source itself.
    public static let root = EntryPath(unchecked: [])

    /// Nil unless `bytes` is a path as described above; `.` and no bytes at all are ``root``.
    public init?(_ bytes: some Sequence<UInt8>) {
        self.init(checking: Array(bytes))
    }

    /// The same for an array: not generic, for the lines of a manifest.
    package init?(checking bytes: [UInt8]) {
        if bytes == [0x2e] {
            self = .root
            return
        }
        guard Self.isValid(bytes) else { return nil }
        self.bytes = bytes
    }

    /// Nil unless the UTF-8 bytes of `string` are a path.
    public init?(_ string: String) {
        self.init(string.utf8)
    }

    /// For bytes that are known to form a path, such as the names that a directory listed.
    package init(unchecked bytes: [UInt8]) {
        self.bytes = bytes
    }

    public var isRoot: Bool { bytes.isEmpty }

    /// The components from the top; none for ``root``.
    public var components: [ArraySlice<UInt8>] {
        bytes.split(separator: UInt8(ascii: "/"))
    }

    /// The last component; empty for ``root``.
    public var name: ArraySlice<UInt8> {
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return bytes[...] }
        return bytes[(slash + 1)...]
    }

    /// The directory that holds this entry; nil for ``root``.
    public var parent: EntryPath? {
        if isRoot { return nil }
        guard let slash = bytes.lastIndex(of: UInt8(ascii: "/")) else { return .root }
        return EntryPath(unchecked: Array(bytes[..<slash]))
    }

    /// Every directory above this entry, ``root`` first; none for ``root``.
    public var ancestors: [EntryPath] {
        var all: [EntryPath] = []
        var path = self
        while let parent = path.parent {
            all.append(parent)
            path = parent
        }
        return all.reversed()
    }

    /// The entry called `name` in this directory. `name` is one component.
    package func appending(_ name: some Collection<UInt8>) -> EntryPath {
        EntryPath(unchecked: isRoot ? Array(name) : bytes + [UInt8(ascii: "/")] + name)
    }

    /// The entry at `path` below this directory.
    package func appending(_ path: EntryPath) -> EntryPath {
        path.isRoot ? self : appending(path.bytes)
    }

    /// Whether this is `other` or lies below it.
    public func isAtOrBelow(_ other: EntryPath) -> Bool {
        if other.isRoot { return true }
        guard bytes.starts(with: other.bytes) else { return false }
        return bytes.count == other.bytes.count || bytes[other.bytes.count] == UInt8(ascii: "/")
    }

    /// Whether this lies below `other`, and is not `other` itself.
    public func isBelow(_ other: EntryPath) -> Bool {
        bytes.count != other.bytes.count && isAtOrBelow(other)
    }

    public static func < (a: EntryPath, b: EntryPath) -> Bool {
        a.bytes.lexicographicallyPrecedes(b.bytes) { orderKey($0) < orderKey($1) }
    }

    /// Maps `/` below every other byte: comparing bytes mapped in this way is comparing component by component.
    @inline(__always)
    package static func orderKey(_ byte: UInt8) -> UInt8 {
        byte == UInt8(ascii: "/") ? 0 : byte
    }

    private static func isValid(_ bytes: [UInt8]) -> Bool {
        var start = 0
        for (index, byte) in bytes.enumerated() {
            if byte == 0 { return false }
            if byte == UInt8(ascii: "/") {
                if !isComponent(bytes, start, index) { return false }
                start = index + 1
            }
        }
        return bytes.isEmpty || isComponent(bytes, start, bytes.count)
    }

    @inline(__always)
    private static func isComponent(_ bytes: [UInt8], _ start: Int, _ end: Int) -> Bool {
        let isDots = end - start <= 2 && bytes[start..<end].allSatisfy { $0 == UInt8(ascii: ".") }
        return start < end && !isDots
    }
}

extension EntryPath: CustomStringConvertible {
    /// For people: `.` for ``root``, control characters and bytes that are not UTF-8 as `\ooo`.
    public var description: String {
        isRoot ? "." : printable(bytes)
    }
}
