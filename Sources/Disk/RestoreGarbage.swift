import Model

/// Deletes what no state names any more (spec section 9). Only what a journal lists unchanged is deleted; all else that lies
/// in a folder of ours becomes a conflict, since it may be the only copy.
enum RestoreGarbage {
    /// Adds to `report` what was kept because it had been changed, and what could not be removed now. Only called while the
    /// state is durable, idle or settled (G1).
    static func collect(in folders: RestoreFolders, _ report: inout ExchangeReport) {
        let state = folders.state
        guard state.phase == .idle || state.phase == .settled else { return }
        do {
            guard try folders.own.status(of: "restores".utf8) != nil else { return }
            let restores = try folders.own.directory("restores".utf8)
            for item in try restores.items() {
                let id = String(decoding: item.name, as: UTF8.self)
                guard id == state.current?.id else {
                    removeIfPossible(id, from: restores, in: folders, &report)
                    continue
                }
                try removeOldJournals(in: try restores.directory(item.name), keeping: state.current?.number ?? 1)
            }
            try clearOrphans(in: folders, known: restores, &report)
        } catch {
            report.leftovers.append("leftovers of earlier restores in \(RestoreFolders.name)/restores: \(error)")
        }
    }

    /// One that cannot be removed keeps none of the others.
    private static func removeIfPossible(
        _ id: String, from restores: Directory, in folders: RestoreFolders, _ report: inout ExchangeReport
    ) {
        do {
            try remove(id, from: restores, in: folders, &report)
        } catch {
            let text = "\(RestoreFolders.name)/restores/\(printable(id.utf8)) of an earlier restore stays: \(error)"
            if !report.leftovers.contains(text) { report.leftovers.append(text) }
        }
    }

    private static func removeOldJournals(in folder: Directory, keeping number: Int) throws(DiskError) {
        let kept = ["new", "old", RestoreJournal.fileName(1), RestoreJournal.fileName(number)]
        for item in try folder.items() where !kept.contains(where: { item.name.elementsEqual($0.utf8) }) {
            try folder.unlink(item.name)
        }
    }

    /// G2-G4: entries first, mounts before the app, journals last.
    private static func remove(
        _ id: String, from restores: Directory, in folders: RestoreFolders, _ report: inout ExchangeReport
    ) throws {
        guard isHexID(id) else {
            throw DiskError(.invalid, "remove", printable(id.utf8), because: "it is not ours")
        }
        let folder = try restores.directory(id.utf8)
        let first = RestoreJournal.fileName(1)
        let journal: RestoreJournal?
        if try folder.status(of: first.utf8) == nil {
            // Nothing was applied, so everything here is ours (G2). Staging on mounts is found by their names.
            try removeUnapplied(id, in: folders)
            return try TreeRemoval.remove(Array(id.utf8), in: restores)
        }
        journal = RestoreJournal(parsing: try folder.readFile(first.utf8, limit: 1 << 31))
        // A file system that is away is waited for (G4), also while another one stands in its place.
        if let journal { try folders.use(journal, then: "the next restore clears it") }
        for volume in folders.volumes.reversed() {
            guard let transaction = try volume.transaction(id) else { continue }
            try clear(transaction, journal: journal, on: volume, &report)
            try TreeRemoval.remove(Array(id.utf8), in: try volume.own.directory("restores".utf8))
        }
    }

    /// What lies on a mounted file system for a transaction that the app knows nothing of: staged when the file system was
    /// away, or displaced for an app that this one is a copy of. In doubt it is kept aside (G2).
    private static func clearOrphans(
        in folders: RestoreFolders, known: Directory, _ report: inout ExchangeReport
    ) throws {
        for volume in folders.volumes.dropFirst() where try volume.own.status(of: "restores".utf8) != nil {
            let restores = try volume.own.directory("restores".utf8)
            for item in try restores.items() {
                guard isHexID(String(decoding: item.name, as: UTF8.self)), try known.status(of: item.name) == nil
                else { continue }
                let transaction = try restores.directory(item.name)
                // The mirrored directories are ours, and kept of nobody.
                if try holdsMore(than: transaction) { try clear(transaction, journal: nil, on: volume, &report) }
                try TreeRemoval.remove(item.name, in: restores)
            }
        }
    }

    /// Whether anything but directories lies below.
    private static func holdsMore(than directories: Directory) throws(DiskError) -> Bool {
        var paths: [EntryPath] = [.root]
        while let path = paths.popLast() {
            let directory = try directories.directory(at: path)
            for item in try directory.items() {
                guard try directory.kind(of: item) == .directory else { return true }
                paths.append(path.appending(item.name))
            }
        }
        return false
    }

    /// Empties both sides of a transaction's folder with care (G3).
    private static func clear(
        _ transaction: Directory, journal: RestoreJournal?, on volume: RestoreFolders.Volume,
        _ report: inout ExchangeReport
    ) throws {
        for side in [RestoreSide.new, .old] {
            guard try transaction.status(of: side.rawValue.utf8) != nil else { continue }
            var clearing = SideClearing(of: journal, side, in: volume)
            defer { report.conflicts += clearing.conflicts }
            try clearing.clear(try transaction.directory(side.rawValue.utf8))
            try transaction.removeEmptyDirectory(side.rawValue.utf8)
        }
    }

    private static func removeUnapplied(_ id: String, in folders: RestoreFolders) throws {
        for volume in folders.volumes.dropFirst() where try volume.transaction(id) != nil {
            try TreeRemoval.remove(Array(id.utf8), in: try volume.own.directory("restores".utf8))
        }
    }

    /// Deletes everything that restores keep, without care: the user has seen the list and said yes (U6).
    static func discardAll(in folders: RestoreFolders) throws {
        for volume in folders.volumes.reversed() {
            for name in ["restores", "conflicts"] { try TreeRemoval.remove(Array(name.utf8), in: volume.own) }
        }
    }
}

/// Empties `new/` or `old/` of a transaction (G3).
private struct SideClearing {
    private let listings: [EntryPath: EntryTable]
    private let ancestors: Set<EntryPath>
    private let volume: RestoreFolders.Volume
    private(set) var conflicts: [ExchangeReport.Conflict] = []

    /// Without a journal nothing is known, and everything becomes a conflict (G2).
    init(of journal: RestoreJournal?, _ side: RestoreSide, in volume: RestoreFolders.Volume) {
        var listings: [EntryPath: EntryTable] = [:]
        var ancestors: Set<EntryPath> = []
        for step in journal?.steps ?? [] {
            ancestors.formUnion(step.place.ancestors)
            if let listing = side == .new ? step.new : step.old { listings[step.place] = listing }
        }
        self.listings = listings
        self.ancestors = ancestors
        self.volume = volume
    }

    mutating func clear(_ side: Directory) throws {
        try clear(side, at: .root)
    }

    private mutating func keep(_ path: EntryPath, name: [UInt8], from directory: Directory) throws {
        conflicts.append(.init(path: path, keptAt: try Conflicts.keep(path, name: name, from: directory, in: volume)))
    }

    /// Mirrored directories are ours; the depth is that of places in the app.
    private mutating func clear(_ directory: Directory, at path: EntryPath) throws {
        for item in try directory.items() {
            let child = path.appending(item.name)
            if let listing = listings[child] {
                try clear(item.name, of: directory, at: child, listing)
            } else if ancestors.contains(child), try directory.kind(of: item) == .directory {
                try clear(try directory.directory(item.name), at: child)
                try directory.removeEmptyDirectory(item.name)
            } else {
                try keep(child, name: item.name, from: directory)
            }
        }
    }

    /// Removes the entry at a place as far as it is as listed; children first, so in reverse order.
    private mutating func clear(
        _ name: [UInt8], of directory: Directory, at place: EntryPath, _ listing: EntryTable
    ) throws {
        guard let found = try directory.status(of: name) else { return }
        guard matches(found, listing[0]) else {
            try keep(place, name: name, from: directory)
            return
        }
        guard found.kind == .directory else { return try directory.unlink(name) }
        let paths = AppPaths(directory)
        let top = try paths.child(name, of: directory)
        try paths.open(top)
        try clear(top, of: listing, at: 0, place: place)
        try directory.removeEmptyDirectory(name)
    }

    private mutating func clear(_ directory: Directory, of listing: EntryTable, at index: Int, place: EntryPath) throws
    {
        // Level by level, without recursion: a tree can be deeper than a process has descriptors.
        var levels = [index]
        var next = 0
        while next < levels.count {
            let current = levels[next]
            next += 1
            let opened = try open(listing.path(of: current), below: directory)
            try clearEntries(of: opened, at: current, in: listing, place: place, directories: &levels)
        }
        for index in levels.dropFirst().reversed() {
            let path = listing.path(of: index)
            let parent = try open(path.parent ?? .root, below: directory)
            try parent.removeEmptyDirectory(path.name)
        }
    }

    private mutating func clearEntries(
        of directory: Directory, at index: Int, in listing: EntryTable, place: EntryPath, directories: inout [Int]
    ) throws {
        let path = listing.path(of: index)
        for item in try directory.items() {
            let child = path.appending(item.name)
            guard let status = try directory.status(of: item.name) else { continue }
            guard let known = listing.index(of: child), matches(status, listing[known]) else {
                try AppPaths(directory).openForMoving(item.name, in: directory)
                try keep(place.appending(child), name: item.name, from: directory)
                continue
            }
            if status.kind == .directory {
                try AppPaths(directory).open(try AppPaths(directory).child(item.name, of: directory))
                directories.append(known)
            } else {
                try directory.unlink(item.name)
            }
        }
    }

    private func open(_ path: EntryPath, below directory: Directory) throws(DiskError) -> Directory {
        try directory.directory(at: path)
    }

    private func matches(_ found: FileStatus, _ listed: EntryRecord) -> Bool {
        guard found.kind == listed.kind else { return false }
        return found.kind == .directory || found.record.size == listed.size && found.modified == listed.modified
    }
}
