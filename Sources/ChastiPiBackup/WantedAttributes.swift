import Disk
import Model

/// What restored entries are given, on this system and with our rights.
///
/// Owners are found by name, else by number. Without the right to give files away, whose they are now counts as right: it
/// cannot be changed, and that is reported once. Set-id bits come only from backups that are trusted (promise 11).
struct WantedAttributes: Sendable {
    private let backup: EntryTable
    let ownership: Ownership
    /// Whom everything is given to; nil if owners come from the backup.
    private let owner: (user: UInt32, group: UInt32)?

    /// `owner`: whom everything belongs to if the backup is not trusted.
    init(_ backup: EntryTable, owner: (user: UInt32, group: UInt32)?) {
        self.backup = backup
        self.owner = owner
        ownership =
            owner == nil ? .byName(users: backup.userNames, groups: backup.groupNames) : .byNumber()
    }

    /// The attributes that the entry shall have.
    func attributes(of index: Int) -> Attributes {
        var wanted = backup.attributes(of: index)
        if let owner {
            (wanted.user, wanted.group) = owner
            // Capabilities and the like are as powerful as set-id bits.
            wanted.extended.removeAll { !$0.name.starts(with: "user.".utf8) }
        } else {
            wanted = ownership.resolved(wanted)
        }
        if owner != nil || !ownership.mayGive { wanted.mode &= ~0o6000 }
        return wanted
    }

    /// Whether `now` has the attributes that entry `index` shall have. `extended` are those of `now`, or nil to leave
    /// them out of the comparison.
    func match(_ now: EntryRecord, of index: Int, extended: [ExtendedAttribute]?) -> Bool {
        let wanted = attributes(of: index)
        if now.modified != wanted.modified { return false }
        if now.kind != .link && now.mode != wanted.mode { return false }
        if ownership.mayGive && (now.user != wanted.user || now.group != wanted.group) { return false }
        return extended.map { $0 == wanted.extended } ?? true
    }
}
