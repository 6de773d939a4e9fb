/// What kind of thing an entry is.
public enum EntryKind: UInt8, Sendable, Codable {
    case file, directory, link, fifo, socket, characterDevice, blockDevice

    /// Whether it is a file, directory or link: what every format holds, and a restore may remove (promise 10).
    public var isOrdinary: Bool {
        self == .file || self == .directory || self == .link
    }

    public var isDevice: Bool { self == .characterDevice || self == .blockDevice }

    /// For messages: `file`, `directory`, `symbolic link`, …
    public var name: String {
        switch self {
        case .file: "file"
        case .directory: "directory"
        case .link: "symbolic link"
        case .fifo: "fifo"
        case .socket: "socket"
        case .characterDevice: "character device"
        case .blockDevice: "block device"
        }
    }
}

/// One extended attribute (xattr(7)), access control lists among them.
public struct ExtendedAttribute: Hashable, Sendable {
    /// With its namespace, such as `user.comment`.
    public var name: [UInt8]
    public var value: [UInt8]
    /// Where the file system listed it among those of its entry. It says nothing of the attribute, and is not compared; but trees of
    /// repositories are named by their bytes, in which attributes stand in this order.
    package var rank: UInt16 = 0

    public init(name: [UInt8], value: [UInt8]) {
        self.name = name
        self.value = value
    }

    public static func == (a: ExtendedAttribute, b: ExtendedAttribute) -> Bool {
        a.name == b.name && a.value == b.value
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(name)
        hasher.combine(value)
    }
}

extension [ExtendedAttribute] {
    /// Those of one entry by name, as all tables and manifests have them, each with its place in this list as its rank.
    package func ranked() -> [ExtendedAttribute] {
        if count < 2 { return self }
        var ranked = self
        for index in indices { ranked[index].rank = UInt16(clamping: index) }
        return ranked.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    }

    /// In the order in which they were listed, as far as that is known.
    package func byRank() -> [ExtendedAttribute] {
        if count < 2 { return self }
        return sorted { $0.rank == $1.rank ? $0.name.lexicographicallyPrecedes($1.name) : $0.rank < $1.rank }
    }
}

/// What can be set on an entry besides its content.
public struct Attributes: Hashable, Sendable {
    /// Permission, set-id and sticky bits: `07777` at most.
    public var mode: UInt16
    public var user: UInt32
    public var group: UInt32
    public var modified: Timestamp
    /// Sorted by name.
    public var extended: [ExtendedAttribute]

    public init(mode: UInt16, user: UInt32, group: UInt32, modified: Timestamp, extended: [ExtendedAttribute] = []) {
        self.mode = mode
        self.user = user
        self.group = group
        self.modified = modified
        self.extended = extended
    }
}
