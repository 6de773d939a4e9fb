import Disk
import Model

/// Which entries of the app belong to its backups: items, and among what lies below them the rules.
///
/// An item that is named by its path is never excluded itself; what it holds may be.
struct Selection: Sendable {
    /// Items named by path, sorted; `root` alone if the whole app is an item.
    let paths: [EntryPath]
    private let patterns: Exclusions
    let rules: Exclusions
    let takesAll: Bool
    /// Whether an item lies below another: then it is taken even where a rule excludes it.
    private let hasNestedItems: Bool
    private let exact: Set<EntryPath>
    private let onTheWay: Set<EntryPath>

    init(items: [ItemPattern], rules: Exclusions) {
        var paths: [EntryPath] = []
        var patterns: [ExclusionRule] = []
        for item in items {
            switch item.form {
            case .path(let path): paths.append(path)
            case .names(let rule): patterns.append(rule)
            }
        }
        exact = Set(paths)
        takesAll = exact.contains(.root)
        onTheWay = Set(paths.flatMap(\.ancestors))
        self.paths = exact.sorted()
        self.patterns = Exclusions(patterns)
        hasNestedItems =
            !takesAll && paths.contains { path in path.ancestors.contains { $0.isRoot ? false : paths.contains($0) } }
            || takesAll && paths.count > 1
        self.rules = rules
    }

    /// What of ours lies in an app under fixed names, never saved and never restored (promise 4).
    static func isOurs(_ path: UnsafeRawBufferPointer, kind: EntryKind) -> Bool {
        switch kind {
        case .directory: path.elementsEqual(privateFolder) || name(of: path).starts(with: mountFolder)
        case .file: path.elementsEqual(log)
        default: false
        }
    }

    private static let privateFolder = Array(RestoreFolders.name.utf8)
    private static let mountFolder = Array(RestoreFolders.mountPrefix.utf8)
    private static let log = Array("logs/backup.log".utf8)

    /// What becomes of an entry, by what became of its directory; the hot path of every walk.
    func decision(_ path: UnsafeRawBufferPointer, kind: EntryKind, parent: TreeWalk.Decision) -> TreeWalk.Decision {
        if Self.isOurs(path, kind: kind) { return .leave }
        if parent == .take && !hasNestedItems { return decisionByRules(path, kind: kind) }
        if exact.contains(EntryPath(unchecked: Array(path))) { return .take }
        if parent == .take || takesAll || matchesPattern(path, kind: kind) { return decisionByRules(path, kind: kind) }
        return kind == .directory && onTheWay.contains(EntryPath(unchecked: Array(path))) ? .pass : .leave
    }

    private func decisionByRules(_ path: UnsafeRawBufferPointer, kind: EntryKind) -> TreeWalk.Decision {
        let verdict = rules.decision(path: path, isDirectory: kind == .directory)
        return verdict?.isExcluded == true ? .leave : .take
    }

    private func matchesPattern(_ path: UnsafeRawBufferPointer, kind: EntryKind) -> Bool {
        !path.contains(UInt8(ascii: "/")) && patterns.decision(path: path, isDirectory: kind == .directory) != nil
    }

    private static func name(of path: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer.SubSequence {
        path[(path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...]
    }
}

// Single paths.
extension Selection {
    /// What becomes of the entry at `path`, by all that lies above it.
    func decision(on path: EntryPath, kind: EntryKind) -> TreeWalk.Decision {
        var decision = TreeWalk.Decision.pass
        for candidate in path.ancestors.dropFirst() + [path] {
            decision = candidate.bytes.withRawBytes {
                self.decision($0, kind: candidate == path ? kind : .directory, parent: decision)
            }
            if decision == .leave { return .leave }
        }
        return decision
    }

    /// The rule that excludes `path`, or the directory above it that is excluded; nil if no rule does.
    func exclusion(of path: EntryPath, kind: EntryKind) -> (path: EntryPath, rule: ExclusionRule)? {
        for candidate in path.ancestors.dropFirst() + [path] where !exact.contains(candidate) {
            let isDirectory = candidate == path ? kind == .directory : true
            if let verdict = rules.decision(path: candidate.bytes[...], isDirectory: isDirectory), verdict.isExcluded {
                return (candidate, verdict.rule)
            }
        }
        return nil
    }
}
