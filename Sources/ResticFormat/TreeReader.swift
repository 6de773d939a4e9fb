import Codec
import Model

/// Reads the nodes of a tree one after the other. What the tree says is not trusted: names are single components, rise strictly
/// byte by byte, and each kind has what it needs.
///
/// Source: restic's design document, "Trees and Data". `bytes` must live as long as the reader.
package struct TreeReader {
    private var scanner: JSONScanner
    private var parser = NodeParser()
    private var previous: [UInt8] = []
    private var state = State.start

    private enum State { case start, nodes, finished }

    package init(_ bytes: UnsafeRawBufferPointer) {
        scanner = JSONScanner(bytes)
    }

    /// All nodes of a tree.
    package static func nodes(of bytes: [UInt8]) throws(FormatError) -> [TreeNode] {
        try bytes.withRawBytes { bytes throws(FormatError) in
            var reader = TreeReader(bytes)
            var nodes: [TreeNode] = []
            var node = TreeNode()
            while try reader.read(into: &node) { nodes.append(node) }
            return nodes
        }
    }

    /// Reads the next node; false behind the last one, when the rest of the document was found to be right.
    mutating func read(into node: inout TreeNode) throws(FormatError) -> Bool {
        do throws(JSONError) {
            return try readNode(into: &node)
        } catch {
            throw FormatError("a tree cannot be read: \(error)")
        }
    }

    private mutating func readNode(into node: inout TreeNode) throws(JSONError) -> Bool {
        if state == .start {
            try scanner.beginObject()
            try findNodes()
        }
        guard state == .nodes else { return false }
        if try scanner.nextElement() {
            let start = scanner.position
            try parser.read(&node, &scanner)
            let rises = previous.withRawBytes { previous in node.name.withRawBytes { previous.precedes($0) } }
            guard rises else {
                throw scanner.error("names that do not rise", at: start)
            }
            previous = node.name
            return true
        }
        state = .finished
        while let key = try scanner.nextKey() {
            if key.isEqual(to: "nodes") { throw scanner.error("a second list of nodes") }
            try scanner.skipValue()
        }
        try scanner.expectEnd()
        return false
    }

    private mutating func findNodes() throws(JSONError) {
        while let key = try scanner.nextKey() {
            if key.isEqual(to: "nodes") {
                state = .nodes
                // Restic 0.14 also reads `null`, which nobody writes.
                return try scanner.beginArray()
            }
            try scanner.skipValue()
        }
        throw scanner.error("no list of nodes")
    }
}

/// Reads nodes, which mostly have the same owner.
private struct NodeParser {
    private var userName: [UInt8] = []
    private var groupName: [UInt8] = []

    /// In the order in which they are written.
    private enum Field: Int {
        case name, type, mode, mtime, atime, ctime, uid, gid, user, group, inode, deviceID, size, links, target,
            rawTarget
        case extended, generic, device, content, subtree, error

        var text: StaticString {
            switch self {
            case .name: "name"
            case .type: "type"
            case .mode: "mode"
            case .mtime: "mtime"
            case .atime: "atime"
            case .ctime: "ctime"
            case .uid: "uid"
            case .gid: "gid"
            case .user: "user"
            case .group: "group"
            case .inode: "inode"
            case .deviceID: "device_id"
            case .size: "size"
            case .links: "links"
            case .target: "linktarget"
            case .rawTarget: "linktarget_raw"
            case .extended: "extended_attributes"
            case .generic: "generic_attributes"
            case .device: "device"
            case .content: "content"
            case .subtree: "subtree"
            case .error: "error"
            }
        }
    }

    /// The field called `key`. Fields mostly come in their order: the search begins behind the one before.
    private static func field(_ key: UnsafeRawBufferPointer, after previous: Int) -> Field? {
        var number = previous
        for _ in 0...Field.error.rawValue {
            number = number == Field.error.rawValue ? 0 : number + 1
            if let field = Field(rawValue: number), key.isEqual(to: field.text) { return field }
        }
        return nil
    }

    mutating func read(_ node: inout TreeNode, _ scanner: inout JSONScanner) throws(JSONError) {
        node = TreeNode()
        try scanner.beginObject()
        let start = scanner.position
        scanner.forms = []
        var kind: TreeNode.Kind?
        var rawTarget: [UInt8]?
        var previous = -1
        while let key = try scanner.nextKey() {
            guard let field = Self.field(key, after: previous) else {
                try scanner.skipValue()
                continue
            }
            previous = field.rawValue
            switch field {
            case .type: kind = try Self.kind(&scanner)
            case .rawTarget: rawTarget = try Self.base64(&scanner)
            case .user:
                userName = try scanner.string(expecting: userName)
                node.userName = userName
            case .group:
                groupName = try scanner.string(expecting: groupName)
                node.groupName = groupName
            default: try Self.read(field, into: &node, &scanner)
            }
        }
        guard let kind else { throw scanner.error("a node without type", at: start) }
        node.kind = kind
        if let rawTarget { node.target = rawTarget }
        node.forms = scanner.forms
        if let lack = node.lack { throw scanner.error("a \(kind.text) without \(lack)", at: start) }
    }

    private static func read(
        _ field: Field, into node: inout TreeNode, _ scanner: inout JSONScanner
    ) throws(JSONError) {
        switch field {
        case .name: node.name = try name(&scanner)
        case .mode: node.mode = try scanner.unsigned32()
        case .mtime: node.modified = try time(&scanner)
        case .atime: node.accessed = try time(&scanner)
        case .ctime: node.changed = try time(&scanner)
        case .uid: node.user = try scanner.unsigned32()
        case .gid: node.group = try scanner.unsigned32()
        case .inode: node.inode = try scanner.unsigned()
        case .deviceID: node.device = try scanner.unsigned()
        case .size: node.size = try scanner.unsigned()
        case .links: node.links = try scanner.unsigned()
        case .target: node.target = try scanner.string()
        case .extended: node.extended = try extended(&scanner)
        case .generic: node.generic = scanner.isNull() ? [] : try scanner.rawValue()
        case .device: node.represented = try scanner.unsigned()
        case .content: node.content = try content(&scanner)
        case .subtree: node.subtree = scanner.isNull() ? nil : try scanner.digest()
        case .error: node.error = try scanner.string()
        case .type, .rawTarget, .user, .group: try scanner.skipValue()
        }
    }

    private static let kinds = TreeNode.Kind.allCases

    private static func kind(_ scanner: inout JSONScanner) throws(JSONError) -> TreeNode.Kind {
        let start = scanner.position
        let text = try scanner.plainString()
        guard let kind = kinds.first(where: { text.isEqual(to: $0.text) }) else {
            throw scanner.error("an unknown type of node", at: start)
        }
        return kind
    }

    private static func name(_ scanner: inout JSONScanner) throws(JSONError) -> [UInt8] {
        let start = scanner.position
        let quoted = try scanner.string()
        guard quoted.contains(where: { $0 == UInt8(ascii: "\\") || $0 == UInt8(ascii: "\"") || $0 == 0x0a }) else {
            return quoted
        }
        guard let name = NameQuoting.unquoted(quoted) else { throw scanner.error("a name quoted wrongly", at: start) }
        return name
    }

    private static func time(_ scanner: inout JSONScanner) throws(JSONError) -> LocalTime {
        let start = scanner.position
        guard let time = LocalTime(goText: try scanner.plainString()) else {
            throw scanner.error("expected a time", at: start)
        }
        return time
    }

    private static func base64(_ scanner: inout JSONScanner) throws(JSONError) -> [UInt8] {
        if scanner.isNull() { return [] }
        let start = scanner.position
        // Go's encoder escapes none of base64's characters; others may escape `/` and `+`.
        guard let bytes = Base64.decode(try scanner.string()) else { throw scanner.error("expected base64", at: start) }
        return bytes
    }

    private static func extended(_ scanner: inout JSONScanner) throws(JSONError) -> [ExtendedAttribute] {
        if scanner.isNull() { return [] }
        var attributes: [ExtendedAttribute] = []
        try scanner.beginArray()
        while try scanner.nextElement() {
            var attribute = ExtendedAttribute(name: [], value: [])
            try scanner.beginObject()
            while let key = try scanner.nextKey() {
                if key.isEqual(to: "name") {
                    attribute.name = try scanner.string()
                } else if key.isEqual(to: "value") {
                    attribute.value = try base64(&scanner)
                } else {
                    try scanner.skipValue()
                }
            }
            attributes.append(attribute)
        }
        return attributes
    }

    private static func content(_ scanner: inout JSONScanner) throws(JSONError) -> [SHA256Digest]? {
        if scanner.isNull() { return nil }
        var content: [SHA256Digest] = []
        try scanner.beginArray()
        while try scanner.nextElement() { content.append(try scanner.digest()) }
        return content
    }
}

extension TreeNode {
    /// What a node of this kind must have and this one has not.
    fileprivate var lack: String? {
        switch kind {
        case _ where !Self.isName(name): "a name that can be one"
        case .file where content == nil: "content"
        case .directory where subtree == nil: "a tree"
        default: nil
        }
    }
}
