import CLinux
import Model

/// Exchanges places: the new entry of each for its old one, or back again (spec section 5).
///
/// Which steps are done is read only from our private folders (E1), so either direction can be run from any state, after
/// any crash, any number of times.
struct PlaceExchange {
    private let folders: RestoreFolders
    private let journal: RestoreJournal
    /// Where new entries wait, and where old ones go: an undo has the roles of a restore exchanged.
    private let waiting: RestoreSide
    private let paths: AppPaths
    private let attributes: DirectoryAttributes
    private let mirrors: MirrorCache
    private let places: Set<EntryPath>
    /// What was found at a place and belongs neither to the old nor to the new tree, and attributes that someone changed.
    private(set) var report = ExchangeReport()

    init(_ journal: RestoreJournal, in folders: RestoreFolders) {
        self.folders = folders
        self.journal = journal
        waiting = RestoreSide.waiting(in: journal.number)
        paths = AppPaths(folders.app)
        attributes = DirectoryAttributes(journal, app: folders.app)
        mirrors = MirrorCache(journal.id, in: folders)
        places = Set(journal.steps.map(\.place))
    }

    /// Puts the new tree in place.
    mutating func forward() throws {
        try clearRemovedPlaces()
        for step in journal.steps {
            if step.new != nil {
                try place(step)
            } else {
                try displace(step)
            }
        }
        report.attributesLeft += try attributes.set(.new)
    }

    /// Puts the old tree back in place.
    mutating func backward() throws {
        for step in journal.steps.reversed() {
            try takeBack(step)
            try putBack(step)
        }
        report.attributesLeft += try attributes.set(.old)
    }

    // MARK: Forward

    /// W1: while the new tree is not complete, whatever stands again at a place that is to be empty is a conflict. Once
    /// it is complete, what stands there was made since, and stays (a database's new log!).
    private mutating func clearRemovedPlaces() throws {
        guard try journal.steps.contains(where: { try isUndone($0) }) else { return }
        for step in journal.steps where step.new == nil {
            if try isDisplaced(step), try isOccupied(step.place) { try conflict(step.place) }
        }
    }

    private func isUndone(_ step: RestoreJournal.Step) throws -> Bool {
        if step.new != nil { return try isWaiting(step) }
        return try !isDisplaced(step) && isOccupied(step.place)
    }

    /// W2
    private mutating func place(_ step: RestoreJournal.Step) throws {
        guard let source = try mirror(step, waiting), try source.status(of: step.place.name) != nil else { return }
        let parent = try parents(of: step.place, .new)
        try setLogsAside(step, waitingIn: source, parent)
        for attempt in 1... {
            if try parent.status(of: step.place.name) != nil {
                if try isDisplaced(step) {
                    try conflict(step.place)
                } else {
                    try move(step.place, from: parent, to: try mustMirror(step, waiting.other))
                }
            }
            do {
                return try move(step.place, from: source, to: parent)
            } catch let error as DiskError where error.code == .exists && attempt <= 3 {
                // The app was faster.
                continue
            }
        }
    }

    /// W3
    private mutating func displace(_ step: RestoreJournal.Step) throws {
        guard try !isDisplaced(step), let parent = try paths.parent(of: step.place),
            try parent.status(of: step.place.name) != nil
        else { return }
        try move(step.place, from: parent, to: try mustMirror(step, waiting.other))
    }

    // MARK: Backward

    /// B1, B2
    private mutating func takeBack(_ step: RestoreJournal.Step) throws {
        guard let new = step.new, try !isWaiting(step), let parent = try paths.parent(of: step.place),
            let occupant = try parent.status(of: step.place.name)
        else { return }
        let isNew = occupant.inode == new[0].inode && occupant.kind == new[0].kind
        guard try isDisplaced(step) || step.old == nil || isNew else { return }
        try move(step.place, from: parent, to: try mustMirror(step, waiting))
    }

    /// B3
    private mutating func putBack(_ step: RestoreJournal.Step) throws {
        guard let source = try mirror(step, waiting.other), try source.status(of: step.place.name) != nil else {
            return
        }
        let parent = try parents(of: step.place, .old)
        try setLogsAside(step, waitingIn: source, parent)
        for attempt in 1... {
            if try parent.status(of: step.place.name) != nil { try conflict(step.place) }
            do {
                return try move(step.place, from: source, to: parent)
            } catch let error as DiskError where error.code == .exists && attempt <= 3 {
                continue
            }
        }
    }

    /// A database that is about to be placed must not meet the log of another: what stands there and is no place of its
    /// own was made meanwhile, and is a conflict.
    private mutating func setLogsAside(
        _ step: RestoreJournal.Step, waitingIn source: Directory, _ parent: Directory
    ) throws {
        guard step.new?[0].kind == .file || step.old?[0].kind == .file else { return }
        for log in try DatabaseFiles.logs(of: step.place, in: parent, replacedFrom: source)
        where !places.contains(log) {
            try conflict(log)
        }
    }

    // MARK: Evidence (E1)

    private func isWaiting(_ step: RestoreJournal.Step) throws -> Bool {
        try mirror(step, waiting)?.status(of: step.place.name) != nil
    }

    private func isDisplaced(_ step: RestoreJournal.Step) throws -> Bool {
        try mirror(step, waiting.other)?.status(of: step.place.name) != nil
    }

    private func isOccupied(_ place: EntryPath) throws -> Bool {
        try paths.parent(of: place)?.status(of: place.name) != nil
    }

    private func mirror(_ step: RestoreJournal.Step, _ side: RestoreSide) throws -> Directory? {
        try mirrors.mirror(of: step.place, in: side)
    }

    private func mustMirror(_ step: RestoreJournal.Step, _ side: RestoreSide) throws -> Directory {
        if let mirror = try mirror(step, side) { return mirror }
        throw RestoreFolders.damaged("restores/\(journal.id)/\(side.rawValue) lacks the folder for \(step.place)")
    }

    // MARK: Moving

    private func move(_ place: EntryPath, from: Directory, to: Directory) throws {
        try paths.open(from)
        try paths.open(to)
        try paths.openForMoving(place.name, in: from)
        try from.move(place.name, to: to, as: place.name)
    }

    /// Moves what stands at `path` to a folder of its own, where it is kept until someone discards it.
    private mutating func conflict(_ path: EntryPath) throws {
        guard let parent = try paths.parent(of: path) else { return }
        try paths.open(parent)
        try paths.openForMoving(path.name, in: parent)
        let folder = try Conflicts.keep(path, name: path.name, from: parent, in: folders.volume(of: path))
        report.conflicts.append(ExchangeReport.Conflict(path: path, keptAt: folder))
    }

    /// The parent directory of a place, made again if someone removed it.
    private mutating func parents(of place: EntryPath, _ side: RestoreSide) throws -> Directory {
        if let parent = try paths.parent(of: place) { return parent }
        var directory = folders.app
        for path in (place.ancestors.dropFirst()) {
            if let status = try directory.status(of: path.name), status.kind != .directory { try conflict(path) }
            if try directory.status(of: path.name) == nil {
                try paths.open(directory)
                directory = try attributes.make(path, in: directory, side)
            } else {
                directory = try paths.child(path.name, of: directory)
            }
        }
        return directory
    }
}

extension RestoreSide {
    /// Where new entries wait: in `new/` for a restore and for a redo, in `old/` for an undo (U1).
    static func waiting(in journalNumber: Int) -> RestoreSide {
        journalNumber % 2 == 1 ? .new : .old
    }
}

/// The folders that mirror the parents of places. Nobody but us changes them, and neighbouring places share them.
private final class MirrorCache {
    private let id: String
    private let folders: RestoreFolders
    private var last: [RestoreSide: (parent: EntryPath, directory: Directory)] = [:]

    init(_ id: String, in folders: RestoreFolders) {
        self.id = id
        self.folders = folders
    }

    func mirror(of place: EntryPath, in side: RestoreSide) throws -> Directory? {
        let parent = place.parent ?? .root
        if let known = last[side], known.parent == parent { return known.directory }
        let directory = try folders.volume(of: place).mirror(of: place, in: side, of: id)
        last[side] = directory.map { (parent, $0) }
        return directory
    }
}

/// What an exchange met that it had not expected. Nothing of it was deleted.
package struct ExchangeReport: Sendable {
    package struct Conflict: Sendable {
        /// Where it was found.
        package let path: EntryPath
        /// Where it lies now, relative to the file system's root or the app.
        package let keptAt: String
    }

    package internal(set) var conflicts: [Conflict] = []
    /// A directory that does not have the attributes it should have.
    package struct AttributesLeft: Sendable {
        package let path: EntryPath
        package let reason: String
    }

    package internal(set) var attributesLeft: [AttributesLeft] = []

    /// What could not be removed now; the next run tries again.
    package internal(set) var leftovers: [String] = []
}

/// Opens directories of the app. When not root, directories whose owner (we) took away his own rights are opened up for
/// the exchange; their attributes are set at its end.
struct AppPaths {
    private let app: Directory
    private let isRoot: Bool
    private let user: UInt32

    init(_ app: Directory) {
        self.app = app
        user = linux_effective_user()
        isRoot = user == 0
    }

    /// The directory that holds `place`; nil if it is gone, or is no directory any more.
    func parent(of place: EntryPath) throws(DiskError) -> Directory? {
        try directory(at: place.parent ?? .root)
    }

    /// The directory at `path`; nil if it is gone, or is no directory any more.
    func directory(at path: EntryPath) throws(DiskError) -> Directory? {
        do throws(DiskError) {
            return try app.directory(at: path)
        } catch  where error.code == .notFound || error.code == .notDirectory || error.code == .isLink {
            return nil
        } catch  where error.code == .denied && !isRoot {
            var directory = app
            for component in path.components {
                guard let status = try directory.status(of: component), status.kind == .directory else { return nil }
                directory = try child(component, of: directory)
            }
            return directory
        }
    }

    /// The attributes of the directory at `path`, read without opening it; nil if none is there.
    func attributes(at path: EntryPath) throws(DiskError) -> Attributes? {
        guard !path.isRoot else {
            let extended = try FileAttributes.extended(of: app.descriptor)
            return try app.status().attributes(with: extended)
        }
        guard let parent = try parent(of: path), let status = try parent.status(of: path.name),
            status.kind == .directory
        else { return nil }
        return status.attributes(with: try FileAttributes.extended(of: path.name, in: parent))
    }

    func child(_ name: some Collection<UInt8>, of directory: Directory) throws(DiskError) -> Directory {
        do throws(DiskError) {
            return try directory.directory(name)
        } catch  where error.code == .denied && !isRoot {
            guard let status = try directory.status(of: name) else { throw error }
            try directory.setMode(status.mode | 0o700, of: name)
            return try directory.directory(name)
        }
    }

    /// Lets us change what is in an open directory.
    func open(_ directory: Directory) throws(DiskError) {
        guard !isRoot else { return }
        let status = try directory.status()
        guard status.user == user, status.mode & 0o700 != 0o700 else { return }
        try check(linux_chmod(directory.descriptor, UInt32(status.mode | 0o700)), "set the mode of", "a directory")
    }

    /// A directory that moves elsewhere changes its `..`, for which its owner needs the right to write.
    func openForMoving(_ name: some Collection<UInt8>, in directory: Directory) throws(DiskError) {
        guard !isRoot, let status = try directory.status(of: name), status.kind == .directory, status.user == user,
            status.mode & 0o200 == 0
        else { return }
        try directory.setMode(status.mode | 0o700, of: name)
    }
}
