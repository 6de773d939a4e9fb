import Model

/// What snapshots are called: by a tag `name=…`, else by the beginning of their IDs.
struct SnapshotNames: Sendable {
    private static let prefix = "name="
    /// Digits of an ID that stand for a name: two that begin alike are as good as impossible.
    private static let digits = 16
    /// Digits that are too few to mean a snapshot.
    private static let fewest = 4

    private let snapshots: [Repository.StoredSnapshot]
    private let names: [SHA256Digest: BackupName]

    /// A name that several snapshots have is that of the one of them that `isOwn`: backups of two apps, or computers, may begin in
    /// the same second. If there are several of those, or none, it is the name of none of them.
    init(_ snapshots: [Repository.StoredSnapshot], isOwn: (Repository.StoredSnapshot) -> Bool) {
        self.snapshots = snapshots
        let tagged = snapshots.map { Self.given(to: $0.snapshot) }
        let counts = Dictionary(tagged.compactMap { $0 }.map { ($0, 1) }, uniquingKeysWith: +)
        var own: [BackupName: Int] = [:]
        for (snapshot, name) in zip(snapshots, tagged) {
            if let name, counts[name, default: 0] > 1, isOwn(snapshot) { own[name, default: 0] += 1 }
        }
        var names: [SHA256Digest: BackupName] = [:]
        for (snapshot, name) in zip(snapshots, tagged) {
            if let name, counts[name] == 1 || own[name] == 1 && isOwn(snapshot) {
                names[snapshot.id] = name
            } else {
                names[snapshot.id] = Self.short(snapshot.id)
            }
        }
        self.names = names
    }

    static func tag(for name: BackupName) -> String { prefix + name.text }

    /// Whether it was called something when it was made, which is only done by us.
    static func isNamed(_ snapshot: Snapshot) -> Bool { given(to: snapshot) != nil }

    /// The tags that a user gave.
    static func ownTags(of snapshot: Snapshot) -> [String] {
        snapshot.tags.filter { !$0.hasPrefix(prefix) }
    }

    /// What it was called when it was made.
    static func given(to snapshot: Snapshot) -> BackupName? {
        for tag in snapshot.tags where tag.hasPrefix(prefix) {
            do throws(BackupNameError) { return try BackupName(tag.dropFirst(prefix.count)) } catch { continue }
        }
        return nil
    }

    /// What a snapshot is called that has no name of its own.
    static func short(_ id: SHA256Digest) -> BackupName {
        do throws(BackupNameError) { return try BackupName(id.hex.prefix(digits)) } catch { return .unnamed }
    }

    func name(of id: SHA256Digest) -> BackupName { names[id] ?? Self.short(id) }

    /// Whether a snapshot, or several, were given this name.
    func isTaken(_ name: BackupName) -> Bool {
        snapshots.contains { $0.snapshot.tags.contains(Self.tag(for: name)) }
    }

    /// The snapshot that `text` means: its name, or the beginning of its ID. Nil if none does; throws if several do.
    func find(_ text: String) throws -> Repository.StoredSnapshot? {
        if let named = snapshots.first(where: { names[$0.id]?.text == text }) { return named }
        let tagged = snapshots.filter { $0.snapshot.tags.contains(Self.prefix + text) }
        if tagged.count > 1 { throw ambiguous(text, tagged) }
        let matching = snapshots.filter { Self.isMeant($0.id, by: text) }
        if matching.count > 1 { throw ambiguous(text, matching) }
        return matching.first
    }

    /// Whether `text` is the ID or enough of its beginning.
    static func isMeant(_ id: SHA256Digest, by text: String) -> Bool {
        fewest...64 ~= text.utf8.count && id.hex.hasPrefix(text)
    }

    private func ambiguous(_ text: String, _ found: [Repository.StoredSnapshot]) -> BackupError {
        let ids = found.suffix(5).map { "\($0.id.shortHex) (\($0.snapshot.hostName), \($0.snapshot.time.readable))" }
        return BackupError(
            .usage, "\(found.count) snapshots are called '\(printable(text.utf8))'",
            advice: "Say which by its ID: \(ids.map { printable($0.utf8) }.joined(separator: ", "))")
    }
}
