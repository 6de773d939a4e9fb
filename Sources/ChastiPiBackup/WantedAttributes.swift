import Disk
import Model

/// What restored entries are given, on this system and with our rights.
///
/// Owners are found by name, else by number. What we have no right to set counts as right where it stands already, and is
/// told of what is made anew. Set-id bits come only from backups that are trusted (promise 11).
struct WantedAttributes: Sendable {
    private let backup: EntryTable
    let ownership: Ownership
    /// Whom everything is given to; nil if owners come from the backup.
    private let owner: FileOwner?

    /// `owner`: whom everything belongs to if the backup is not trusted.
    init(_ backup: EntryTable, owner: FileOwner?) {
        self.backup = backup
        self.owner = owner
        ownership =
            owner == nil ? .byName(users: backup.userNames, groups: backup.groupNames) : .byNumber()
    }

    /// The attributes that the entry shall have; ``ownership`` tells which of them it can have.
    func attributes(of index: Int) -> Attributes {
        var wanted = backup.attributes(of: index)
        guard let owner else { return wanted }
        (wanted.user, wanted.group) = (owner.user, owner.group)
        wanted.mode &= ~0o6000
        // Capabilities and the like are as powerful as set-id bits.
        wanted.extended.removeAll { !$0.name.starts(with: "user.".utf8) }
        return wanted
    }

    /// What the entry is denied because its backup is not trusted, as clauses.
    func denied(_ index: Int) -> [String] {
        guard owner != nil else { return [] }
        var denied: [String] = []
        if backup[index].kind != .link && backup[index].mode & 0o6000 != 0 { denied.append("set-id bits") }
        for attribute in backup.extended(of: index) where !attribute.name.starts(with: "user.".utf8) {
            denied.append(printable(attribute.name))
        }
        return denied.map { "\($0), which only --trust takes over from a backup of unknown origin" }
    }

    /// What an existing entry, of which `now` is known, can be given of what it shall have.
    func attainable(_ index: Int, from now: EntryRecord) -> Attributes {
        ownership.attainable(attributes(of: index), from: FileOwner(user: now.user, group: now.group))
    }

    /// Whether `now` has the attributes that entry `index` shall have, as far as we can set them. `extended` are those of
    /// `now`, or nil to leave them out of the comparison.
    func match(_ now: EntryRecord, of index: Int, extended: [ExtendedAttribute]?) -> Bool {
        let wanted = attainable(index, from: now)
        if now.modified != wanted.modified && !isRounded(now, wanted.modified) { return false }
        if now.kind != .link && now.mode != wanted.mode { return false }
        if now.user != wanted.user || now.group != wanted.group { return false }
        guard let extended else { return true }
        return extended.filter(ownership.maySet) == wanted.extended.filter(ownership.maySet)
    }

    /// Whether the file system keeps times in whole seconds, and this is the one wanted. The time of the change, which
    /// the kernel sets, tells.
    private func isRounded(_ now: EntryRecord, _ wanted: Timestamp) -> Bool {
        now.changed.nanoseconds == 0 && now.modified == Timestamp(seconds: wanted.seconds)
    }
}
