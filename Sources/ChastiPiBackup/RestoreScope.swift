import Disk
import Model

/// Which entries of a backup a restore brings back, and which entries of the app it may remove (promise 10).
struct RestoreScope: Sendable {
    enum Role: UInt8, Sendable {
        /// Not brought back this time.
        case none
        /// A directory on the way to something that is.
        case ancestor
        case selected
    }

    let backup: EntryTable
    private(set) var roles: [Role]
    /// What this restore cannot or may not make. A line for each.
    private(set) var denied: [String] = []
    /// The selection that the backup was made with, and today's.
    let recorded: Selection
    let today: Selection
    private let skipped: Set<EntryPath>
    /// Whether what the backup does not hold may go.
    let removesExtra: Bool
    private let includesLogs: Bool

    /// - Parameters:
    ///   - only: what to bring back; everything if empty.
    ///   - includesLogs: whether `logs/` and `*.log` at the top level are brought back.
    ///   - denial: why an entry of a kind is not made, as a clause; nil for what is.
    init(
        _ backup: EntryTable, recorded: Selection, today: Selection, skipped: Set<EntryPath>, removesExtra: Bool,
        only: [EntryPath], includesLogs: Bool, denial: (EntryKind) -> String?, stop: StopFlag
    ) throws {
        self.backup = backup
        self.recorded = recorded
        self.today = today
        self.skipped = skipped
        self.removesExtra = removesExtra
        self.includesLogs = includesLogs
        roles = Array(repeating: .none, count: backup.count)
        for path in only where backup.index(of: path) == nil {
            throw BackupError(
                .refused, "the backup does not hold \(path)", advice: "'show NAME --files' lists what it holds")
        }
        // What holds an entry stands in the table before it.
        var isLog = [Bool](repeating: false, count: backup.count)
        for index in 1..<max(1, backup.count) {
            try stop.check()
            try refusePrivate(index)
            let parent = Int(backup[index].parent)
            isLog[index] = parent == 0 ? backup.withName(of: index) { Self.isLog(top: $0) } : isLog[parent]
        }
        for index in 0..<backup.count where includesLogs || !isLog[index] {
            try stop.check()
            guard isWanted(index, only: only) else { continue }
            if let reason = denial(backup[index].kind) {
                denied.append("\(backup.path(of: index)): \(reason)")
                continue
            }
            select(index)
        }
    }

    private func isWanted(_ index: Int, only: [EntryPath]) -> Bool {
        guard !backup[index].flags.contains(.ancestor) else { return false }
        if backup.withPath(of: index, { Selection.isOurs($0, kind: backup[index].kind) }) { return false }
        guard !only.isEmpty else { return true }
        let path = backup.path(of: index)
        return only.contains { path.isAtOrBelow($0) }
    }

    /// P7: a protected path that a backup entry names. What holds it has been looked at.
    private func refusePrivate(_ index: Int) throws {
        let isPrivate = backup.withName(of: index) { name in
            backup[index].parent == 0 && name.elementsEqual(RestoreFolders.name.utf8)
                || name.starts(with: RestoreFolders.mountPrefix.utf8)
        }
        guard isPrivate else { return }
        throw BackupError(
            .refused, "the backup names \(backup.path(of: index)), where restores keep what is theirs",
            advice: "Nothing was changed. It was not made by this program")
    }

    private static func isLog(_ path: EntryPath) -> Bool {
        path.components.first.map { isLog(top: $0) } == true
    }

    /// `logs` and `*.log` at the top, and what lies in them.
    private static func isLog(top name: some BidirectionalCollection<UInt8>) -> Bool {
        name.elementsEqual("logs".utf8) || name.suffix(4).elementsEqual(".log".utf8)
    }

    private mutating func select(_ index: Int) {
        roles[index] = .selected
        var parent = Int(backup[index].parent)
        while parent >= 0, roles[parent] == .none {
            roles[parent] = .ancestor
            parent = Int(backup[parent].parent)
        }
    }

    /// Decides for a walk of the app: what may be exchanged or removed is taken, what stays whatever happens is left.
    func decision(_ path: UnsafeRawBufferPointer, kind: EntryKind, parent: TreeWalk.Decision) -> TreeWalk.Decision {
        if Selection.isOurs(path, kind: kind) { return .leave }
        if let index = backup.index(ofBytes: path), roles[index] != .none {
            return roles[index] == .selected ? .take : .pass
        }
        // Below a directory that is only on the way nothing is ours to remove.
        let isBelowSelected = parent == .take || path.contains(UInt8(ascii: "/")) == false && roles[0] == .selected
        guard isBelowSelected, removesExtra, kind.isOrdinary else { return .leave }
        if backup.index(ofBytes: path) != nil { return .leave }
        let path = EntryPath(unchecked: Array(path))
        if isSkipped(path) || isExcluded(path, kind: kind) || !includesLogs && Self.isLog(path) { return .leave }
        return .take
    }

    private func isSkipped(_ path: EntryPath) -> Bool {
        !skipped.isEmpty && (skipped.contains(path) || path.ancestors.contains { skipped.contains($0) })
    }

    private func isExcluded(_ path: EntryPath, kind: EntryKind) -> Bool {
        let isDirectory = kind == .directory
        return recorded.rules.decision(path: path.bytes[...], isDirectory: isDirectory)?.isExcluded == true
            || today.rules.decision(path: path.bytes[...], isDirectory: isDirectory)?.isExcluded == true
    }

    /// Why an entry that the backup does not hold stays.
    func reasonToStay(_ path: EntryPath, _ record: EntryRecord) -> String {
        if path.bytes.withRawBytes({ Selection.isOurs($0, kind: record.kind) }) {
            return "belongs to the backup system"
        }
        if record.flags.contains(.container) { return "holds backups" }
        if record.flags.contains(.mountRoot) { return "a file system is mounted there" }
        if !record.kind.isOrdinary { return "a \(record.kind.name)" }
        if isSkipped(path) { return "the backup could not read it" }
        if !includesLogs && Self.isLog(path) { return "a log (--include-logs)" }
        for (selection, whose) in [(today, ""), (recorded, ", when the backup was made")] {
            if let found = selection.exclusion(of: path, kind: record.kind) {
                return "excluded by \(found.rule) (\(found.rule.origin))\(whose)"
            }
        }
        if let index = backup.index(of: path), roles[index] == .none { return "not asked for" }
        return removesExtra ? "outside what the backup covers" : "the backup has no manifest"
    }
}
