import Codec
import Model

/// Why a node cannot be added to a tree.
package enum TreeWriterError: Error, Sendable {
    /// Its name does not come after that of the node before, byte by byte.
    case outOfOrder
}

/// Writes a tree as restic does, byte for byte, so that a directory has one ID whoever stores it. Used again and again: give each
/// worker its own.
///
/// Source: restic's design document, "Trees and Data"; the order of fields and what is left out is that of restic's `restic.Node`.
package struct TreeWriter: ~Copyable {
    private var writer = CanonicalWriter()
    private var previous: [UInt8] = []

    package init() {
        reset()
    }

    /// Begins another tree.
    package mutating func reset() {
        writer.reset()
        writer.literal("{\"nodes\":[")
        previous = []
    }

    /// Adds the next node.
    package mutating func add(_ node: TreeNode) throws(TreeWriterError) {
        guard previous.isEmpty || previous.lexicographicallyPrecedes(node.name) else { throw .outOfOrder }
        if !previous.isEmpty { writer.literal(",") }
        previous = node.name
        write(node)
    }

    /// Calls `body` with the whole tree, and begins another one.
    package mutating func finish<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        writer.literal("]}\n")
        defer { reset() }
        return try body(writer.bytes)
    }

    private mutating func write(_ node: TreeNode) {
        writer.literal("{\"name\":")
        writer.name(node.name)
        writer.literal(",\"type\":\"")
        writer.literal(node.kind.text)
        writer.literal("\"")
        number(",\"mode\":", UInt64(node.mode))
        writer.literal(",\"mtime\":")
        writer.time(node.modified)
        writer.literal(",\"atime\":")
        writer.time(node.accessed)
        writer.literal(",\"ctime\":")
        writer.time(node.changed)
        writer.literal(",\"uid\":")
        writer.unsigned(UInt64(node.user))
        writer.literal(",\"gid\":")
        writer.unsigned(UInt64(node.group))
        text(",\"user\":", node.userName, node.forms)
        text(",\"group\":", node.groupName, node.forms)
        number(",\"inode\":", node.inode)
        number(",\"device_id\":", node.device)
        number(",\"size\":", node.size)
        number(",\"links\":", node.links)
        if node.target.isEmpty || String(validating: node.target, as: UTF8.self) != nil {
            text(",\"linktarget\":", node.target, node.forms)
        } else {
            text(",\"linktarget\":", node.target, node.forms.subtracting(.replacement))
            writer.literal(",\"linktarget_raw\":")
            writer.base64(node.target)
        }
        extended(node)
        if !node.generic.isEmpty {
            writer.literal(",\"generic_attributes\":")
            writer.append(node.generic)
        }
        number(",\"device\":", node.represented)
        content(node)
        text(",\"error\":", node.error, node.forms)
        writer.literal("}")
    }

    private mutating func content(_ node: TreeNode) {
        writer.literal(",\"content\":")
        if let content = node.content {
            writer.literal("[")
            for (index, id) in content.enumerated() {
                if index > 0 { writer.literal(",") }
                writer.digest(id)
            }
            writer.literal("]")
        } else {
            writer.literal("null")
        }
        if let subtree = node.subtree {
            writer.literal(",\"subtree\":")
            writer.digest(subtree)
        }
    }

    private mutating func extended(_ node: TreeNode) {
        guard !node.extended.isEmpty else { return }
        writer.literal(",\"extended_attributes\":[")
        for (index, attribute) in node.extended.enumerated() {
            writer.literal(index > 0 ? ",{\"name\":" : "{\"name\":")
            writer.string(attribute.name, node.forms)
            writer.literal(",\"value\":")
            writer.base64(attribute.value)
            writer.literal("}")
        }
        writer.literal("]")
    }

    /// A field that is left out where it is 0.
    private mutating func number(_ key: StaticString, _ value: UInt64) {
        guard value != 0 else { return }
        writer.literal(key)
        writer.unsigned(value)
    }

    /// A field that is left out where it is empty.
    private mutating func text(_ key: StaticString, _ value: [UInt8], _ forms: JSONScanner.Forms) {
        guard !value.isEmpty else { return }
        writer.literal(key)
        writer.string(value, forms)
    }
}
