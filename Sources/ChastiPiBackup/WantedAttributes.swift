import Disk
import Model

/// What restored entries are given, on this system and with our rights.
///
/// Owners are found by name, else by number. Without the right to give files away, whose they are now counts as right: it
/// cannot be changed, and that is reported once. Set-id bits come only from backups that are trusted (promise 11).
struct WantedAttributes: Sendable {
    private let backup: EntryTable
    let ownership: Ownership
    private let keepsSetID: Bool

    init(_ backup: EntryTable, isTrusted: Bool) {
        self.backup = backup
        let names = isTrusted
        ownership = .byName(users: names ? backup.userNames : [:], groups: names ? backup.groupNames : [:])
        keepsSetID = isTrusted && ownership.mayGive
    }

    /// The attributes that the entry shall have.
    func attributes(of index: Int) -> Attributes {
        var wanted = ownership.resolved(backup.attributes(of: index))
        if !keepsSetID { wanted.mode &= ~0o6000 }
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
