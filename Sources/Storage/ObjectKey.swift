import Model

/// What kind of object is stored.
package enum ObjectKind: String, Sendable, CaseIterable {
    case configuration = "config"
    case key = "keys"
    case lock = "locks"
    case snapshot = "snapshots"
    case index = "index"
    case pack = "data"

    /// For messages.
    package var name: String {
        switch self {
        case .configuration: "configuration"
        case .key: "key"
        case .lock: "lock"
        case .snapshot: "snapshot"
        case .index: "index"
        case .pack: "pack"
        }
    }
}

/// Names a stored object: the configuration, of which there is one, or a kind and the SHA-256 of the object's bytes.
///
/// Source: restic's design document, "Repository Format" and "Repository Layout".
package struct ObjectKey: Hashable, Sendable {
    package let kind: ObjectKind
    /// 32 zero bytes for the configuration.
    package let id: SHA256Digest

    package static let configuration = ObjectKey(kind: .configuration, id: SHA256Digest())

    private init(kind: ObjectKind, id: SHA256Digest) {
        self.kind = kind
        self.id = id
    }

    package static func key(_ id: SHA256Digest) -> ObjectKey { ObjectKey(kind: .key, id: id) }
    package static func lock(_ id: SHA256Digest) -> ObjectKey { ObjectKey(kind: .lock, id: id) }
    package static func snapshot(_ id: SHA256Digest) -> ObjectKey { ObjectKey(kind: .snapshot, id: id) }
    package static func index(_ id: SHA256Digest) -> ObjectKey { ObjectKey(kind: .index, id: id) }
    package static func pack(_ id: SHA256Digest) -> ObjectKey { ObjectKey(kind: .pack, id: id) }

    /// The object of a kind that has the file name `name`; nil unless that is 64 lower-case hexadecimal digits, or `config` for
    /// the configuration.
    package init?(_ kind: ObjectKind, fileName name: some Collection<UInt8>) {
        if kind == .configuration {
            guard name.elementsEqual(kind.rawValue.utf8) else { return nil }
            self = .configuration
        } else {
            guard let id = SHA256Digest(hex: name), name.elementsEqual(id.hex.utf8) else { return nil }
            self.init(kind: kind, id: id)
        }
    }

    package var fileName: String { kind == .configuration ? kind.rawValue : id.hex }

    /// Directories above the object, outermost first: packs are spread over 256 by the first two digits.
    package var directories: [String] {
        switch kind {
        case .configuration: []
        case .pack: [kind.rawValue, String(id.hex.prefix(2))]
        default: [kind.rawValue]
        }
    }

    /// Path of the object in its place, parts divided by slashes.
    package var path: String { (directories + [fileName]).joined(separator: "/") }
}

extension ObjectKey: CustomStringConvertible {
    package var description: String {
        kind == .configuration ? "the configuration" : "the \(kind.name) \(id.hex.prefix(8))"
    }
}
