import Disk
import Model
import Workers

/// Restores into a directory of its own (`--to`): built beside it and put in its place, so that it is complete or as it was
/// found.
struct RestoreToDirectory {
    private let planning: RestorePlanning
    private let parent: Directory
    private let name: String
    /// What stands there: an empty directory, or nothing.
    private let existing: FileStatus?
    private let scope: RestoreScope

    /// Checks that `path` can take the backup. Changes nothing.
    init(planning: RestorePlanning, path: String) throws {
        self.planning = planning
        (parent, name) = try Self.split(path)
        existing = try parent.status(of: name.utf8)
        scope = try planning.scope()
        if let existing {
            guard existing.kind == .directory, try parent.directory(name.utf8).items().isEmpty else {
                throw BackupError(
                    .refused, "\(printable(path.utf8)) exists and is not an empty directory",
                    advice: "Nothing was changed. Name a directory that does not exist yet")
            }
            guard try existing.mount == parent.status().mount else {
                throw BackupError(
                    .refused, "a file system is mounted at \(printable(path.utf8))",
                    advice: "Nothing was changed. Name a directory in it")
            }
        }
        if try isOurs() {
            throw BackupError(
                .refused, "\(printable(path.utf8)) lies where backups are kept",
                advice: "Nothing was changed. Name a directory outside")
        }
    }

    /// What ``apply()`` would bring, by what lies at the top.
    func plan() throws -> RestorePlan {
        let backup = scope.backup
        let changes = backup.children(of: 0).filter { scope.roles[$0] != .none }.map { top in
            let below = (top..<backup.endOfSubtree(at: top)).filter { scope.roles[$0] != .none }
            return RestorePlan.Change(
                path: backup.path(of: top), action: .add, entries: below.count,
                bytes: below.lazy.map { backup[$0].size }.saturatingSum())
        }
        return RestorePlan(
            backup: planning.found.name, changes: changes, kept: [], unchanged: 0,
            exchange: ExchangePlan(steps: [], directories: [:], mounts: []),
            staged: (0..<backup.count).filter { scope.roles[$0] != .none }, scope: scope,
            live: EntryTable(root: EntryRecord(kind: .directory)), notKept: scope.denied)
    }

    func apply() throws -> RestoreResult {
        try planning.checkObjections()
        let rest = BackgroundResult { [planning] in
            try planning.found.contents.checkRest(stop: planning.run.stop)
        }
        let plan = try plan()
        try checkSpace(for: plan)
        let durability = try Durability(in: parent)
        var partial = try PartialDirectory(name, token: planning.run.randomHex(bytes: 4), in: parent)
        var result = RestoreResult(ending: .done, notKept: plan.notKept)
        do {
            // While it is locked nobody takes it for dead.
            partial.directory.lockIfPossible()
            let attributes = try planning.attributes()
            let meter = ProgressMeter(.staging, entries: plan.staged.count, bytes: plan.bytes, in: planning.run)
            result.notKept += try StagedTree(
                planning.found.contents, attributes: attributes, pool: planning.pool, in: planning.run
            ).build(plan.staged, in: partial.directory, meter: meter)
            result.notKept += try setTop(of: partial.directory, attributes)
            try rest.get()
            try planning.run.stop.check()
        } catch {
            partial.discard()
            throw error
        }
        do {
            try partial.publish(as: name, inPlaceOf: existing, durability: durability)
        } catch let error as DiskError where error.code == .exists || error.code == .notEmpty {
            throw BackupError(
                .refused, "\(name) was made by someone else meanwhile",
                advice: "Name a directory that does not exist yet")
        }
        return result
    }

    /// Removes what killed runs left beside the target `path`.
    static func clear(_ path: String) throws {
        let (parent, name) = try split(path)
        PartialDirectory.removeDead(name, in: parent)
    }

    private func checkSpace(for plan: RestorePlan) throws {
        let free = try FileSystemTraits(of: parent).freeBytes
        guard plan.bytes > free else { return }
        throw BackupError(
            .noSpace, "no space: the restore needs \(ByteCount(plan.bytes)), \(ByteCount(free)) are free",
            advice: "Free space, or restore parts with --only")
    }

    /// The directory itself gets the app's attributes if the whole app was an item; else it keeps those it has, and a new
    /// one gets those of any new directory. Returns what could not be set, as clauses.
    private func setTop(of directory: Directory, _ attributes: WantedAttributes) throws -> [String] {
        let now = try directory.status()
        var wanted = now.attributes(with: [])
        wanted.mode = 0o777 & ~ProcessIdentity.fileModeMask
        var ownership = Ownership.byNumber()
        if scope.roles[0] == .selected {
            wanted = attributes.attributes(of: 0)
            ownership = attributes.ownership
        } else if let existing {
            let extended = try FileAttributes.extended(of: name.utf8, in: parent)
            wanted = existing.attributes(with: extended)
            wanted.modified = now.modified
        }
        let unset = try FileAttributes.apply(wanted, to: directory.descriptor, now: now.owner, ownership: ownership)
        return unset.map { ".: \($0)" }
    }

    /// Whether the target is a place of backups, or of what a restore keeps, or lies in one.
    private func isOurs() throws -> Bool {
        let containers = try planning.places.containers()
        var directory = existing == nil ? parent : try parent.directory(name.utf8)
        while true {
            let identity = try directory.status().identity
            if try containers.contains(identity) || directory.status(of: TreeWalk.marker) != nil { return true }
            let above = try directory.directory("..".utf8)
            if try above.status().identity == identity { return false }
            directory = above
        }
    }

    private static func split(_ path: String) throws -> (parent: Directory, name: String) {
        var trimmed = path[...]
        while trimmed.count > 1, trimmed.hasSuffix("/") { trimmed = trimmed.dropLast() }
        let slash = trimmed.lastIndex(of: "/")
        let name = slash.map { String(trimmed[trimmed.index(after: $0)...]) } ?? String(trimmed)
        let parent = slash.map { $0 == trimmed.startIndex ? "/" : String(trimmed[..<$0]) } ?? "."
        guard let component = EntryPath(name), !component.isRoot else {
            throw BackupError(.usage, "--to '\(printable(path.utf8))' names no directory")
        }
        do throws(DiskError) {
            return (try Directory(path: parent), name)
        } catch {
            throw BackupError(
                .refused, "cannot open \(printable(parent.utf8)): \(error.reason)", advice: "Nothing was changed")
        }
    }
}
