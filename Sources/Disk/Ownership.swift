import CLinux
import Model

/// Whom entries can be made to belong to: root gives to anyone, everyone else only what is his own, and only to groups
/// that he is in.
package struct Ownership: Sendable {
    private let user: UInt32
    /// Groups of this process.
    private let ownGroups: Set<UInt32>
    /// Numbers used here, by the number that was recorded, where a name says so.
    private let users: [UInt32: UInt32]
    private let groups: [UInt32: UInt32]

    private init(users: [UInt32: UInt32], groups: [UInt32: UInt32]) {
        user = linux_effective_user()
        ownGroups = Self.groupsOfThisProcess()
        self.users = users
        self.groups = groups
    }

    /// Numbers stay as they are.
    package static func byNumber() -> Ownership {
        Ownership(users: [:], groups: [:])
    }

    /// By name if the name exists here, else by number (promise 10).
    package static func byName(users: [UInt32: String], groups: [UInt32: String]) -> Ownership {
        var userNumbers: [UInt32: UInt32] = [:]
        for (number, name) in users {
            let found = withCString(name.utf8) { linux_user_id($0) }
            if found >= 0 { userNumbers[number] = UInt32(found) }
        }
        var groupNumbers: [UInt32: UInt32] = [:]
        for (number, name) in groups {
            let found = withCString(name.utf8) { linux_group_id($0) }
            if found >= 0 { groupNumbers[number] = UInt32(found) }
        }
        return Ownership(users: userNumbers, groups: groupNumbers)
    }

    private static func groupsOfThisProcess() -> Set<UInt32> {
        let own: Set = [linux_effective_group()]
        let count = Int(linux_groups(nil, 0))
        guard count > 0 else { return own }
        var filled = 0
        let groups = [UInt32](unsafeUninitializedCapacity: count) { buffer, initialized in
            filled = Int(linux_groups(buffer.baseAddress, Int32(count)))
            initialized = max(0, filled)
        }
        return own.union(groups)
    }

    /// Whether we may set attributes of what belongs to `owner`.
    package func maySetAttributes(ofWhatBelongsTo owner: UInt32) -> Bool {
        user == 0 || user == owner
    }

    /// Whether we may set the extended attribute of this name on what is ours: capabilities and the like are root's.
    package func maySet(_ attribute: ExtendedAttribute) -> Bool {
        user == 0 || ["user.", "system.posix_acl_"].contains { attribute.name.starts(with: $0.utf8) }
    }

    /// The owner that attributes name, by the numbers that are used here.
    package func owner(for attributes: Attributes) -> FileOwner {
        FileOwner(user: users[attributes.user] ?? attributes.user, group: groups[attributes.group] ?? attributes.group)
    }

    /// What an entry that belongs to `current` can be given of `wanted`.
    package func attainable(_ wanted: FileOwner, from current: FileOwner) -> FileOwner {
        if user == 0 { return wanted }
        let mayGiveGroup = current.user == user && ownGroups.contains(wanted.group)
        return FileOwner(user: current.user, group: mayGiveGroup ? wanted.group : current.group)
    }

    /// The mode that an entry which belongs to `owner` can be given: a set-id bit means the owner that it was set for, and
    /// is never given with another one.
    package func attainableMode(_ mode: UInt16, for wanted: FileOwner, belongingTo owner: FileOwner) -> UInt16 {
        var mode = mode
        if owner.user != wanted.user { mode &= ~0o4000 }
        if owner.group != wanted.group { mode &= ~0o2000 }
        return mode
    }

    /// All that an entry which belongs to `current` can be given of `wanted`.
    package func attainable(_ wanted: Attributes, from current: FileOwner) -> Attributes {
        let named = owner(for: wanted)
        let owner = attainable(named, from: current)
        var attributes = wanted
        (attributes.user, attributes.group) = (owner.user, owner.group)
        attributes.mode = attainableMode(wanted.mode, for: named, belongingTo: owner)
        return attributes
    }
}

/// The names behind numbers of owners, as this system knows them.
package enum OwnerNames {
    package static func user(_ number: UInt32) -> String? {
        name { linux_user_name(number, $0, 256) }
    }

    package static func group(_ number: UInt32) -> String? {
        name { linux_group_name(number, $0, 256) }
    }

    private static func name(_ read: (UnsafeMutablePointer<CChar>?) -> Int) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            read(buffer.baseAddress) > 0 ? String(validatingCString: buffer.baseAddress.unsafelyUnwrapped) : nil
        }
    }
}
