import CLinux
import Model

/// Sets the attributes of the directories that an exchange touched (A1-A4): after all moves, since moving entries changes
/// the times of their directories, and children before parents.
struct DirectoryAttributes {
    private let lines: [RestoreJournal.DirectoryLine]
    /// Tops of the listings, by place: a directory that is itself a place is touched only if it is that side's (A3).
    private let tops: [EntryPath: RestoreJournal.Step]
    private let paths: AppPaths
    private let ownership = Ownership.byNumber()

    init(_ journal: RestoreJournal, app: Directory) {
        lines = journal.directories
        tops = Dictionary(journal.steps.map { ($0.place, $0) }, uniquingKeysWith: { first, _ in first })
        paths = AppPaths(app)
    }

    /// Returns the directories that do not have the attributes of that side now.
    func set(_ side: RestoreSide) throws -> [ExchangeReport.AttributesLeft] {
        var left: [ExchangeReport.AttributesLeft] = []
        for line in lines.reversed() {
            guard let wanted = side == .new ? line.new : line.old else { continue }
            guard let directory = try open(line.path) else {
                if tops[line.path] == nil { left.append(.init(path: line.path, reason: "it is gone")) }
                continue
            }
            if let step = tops[line.path] {
                let top = side == .new ? step.new : step.old
                guard try directory.status().inode == top?[0].inode else { continue }
            }
            if let reason = try set(wanted, on: directory, knowing: line) {
                left.append(.init(path: line.path, reason: reason))
            }
        }
        return left
    }

    private func open(_ path: EntryPath) throws -> Directory? {
        if path.isRoot { return try paths.directory(at: .root) }
        guard let parent = try paths.parent(of: path), let status = try parent.status(of: path.name),
            status.kind == .directory
        else { return nil }
        return try paths.child(path.name, of: parent)
    }

    /// What keeps the directory from having all of `wanted`: nil if nothing does. Mode, owner and extended attributes that
    /// are neither the old nor the new ones are left (A2).
    private func set(
        _ wanted: Attributes, on directory: Directory, knowing line: RestoreJournal.DirectoryLine
    ) throws -> String? {
        let now = try directory.status()
        let extended = try FileAttributes.extended(of: directory.descriptor)
        let current = Attributes(
            mode: now.mode, user: now.user, group: now.group, modified: now.modified, extended: extended)
        if current == wanted { return nil }
        // Only its owner may: without this an exchange in a directory that we may merely write to would never end.
        guard ownership.maySetAttributes(ofWhatBelongsTo: now.user) else {
            return "only its owner may set its attributes"
        }
        let known = [line.old, line.new].compactMap { $0 }
        guard known.contains(where: { $0.isSame(as: current) }) else {
            let time = wanted.modified
            let result = linux_set_modified(directory.descriptor, time.seconds, time.nanoseconds)
            try check(result, "set the time of", line.path.description)
            return "someone changed its attributes meanwhile; they were left"
        }
        let unset = try FileAttributes.apply(
            wanted, to: directory.descriptor, now: now.owner, ownership: ownership, currentExtended: extended)
        return unset.isEmpty ? nil : "cannot be set: \(unset.joined(separator: ", "))"
    }

    /// Makes a directory again that someone removed, with the attributes of a side, opened up until the end.
    func make(_ path: EntryPath, in parent: Directory, _ side: RestoreSide) throws -> Directory {
        let made = try parent.makeDirectory(path.name)
        guard let line = lines.first(where: { $0.path == path }),
            var wanted = side == .new ? line.new ?? line.old : line.old ?? line.new
        else { return made }
        wanted.mode |= 0o700
        _ = try FileAttributes.apply(wanted, to: made.descriptor, now: try made.status().owner, ownership: ownership)
        return made
    }
}

extension Attributes {
    /// Whether `current` is this but for the time, and perhaps opened up for its owner.
    fileprivate func isSame(as current: Attributes) -> Bool {
        (current.mode == mode || current.mode == mode | 0o700)
            && current.user == user && current.group == group && current.extended == extended
    }
}
