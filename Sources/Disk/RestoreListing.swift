import CLinux
import Model

/// What stands at one place, whole, with its identity: written into the journal, compared when something of it is to be
/// deleted (G3).
enum RestoreListing {
    /// Nil if nothing stands at `name`. Fails if not everything can be read, or if a file system is mounted in it.
    static func read(_ name: some Collection<UInt8>, in directory: Directory) throws -> EntryTable? {
        guard let status = try directory.status(of: name) else { return nil }
        guard status.kind == .directory else { return EntryTable(root: status.record) }
        guard status.mount == (try directory.status().mount) else { throw mounted(printable(name)) }
        let top = try openTemporarily(name, in: directory, status: status)
        defer { top.putBack() }
        var walk = try TreeWalk(of: top.directory, containers: [], honorsMarker: false) { _, _, _ in .take }
        while !walk.pending.isEmpty {
            let listings = try walk.pending.map { try list($0, of: walk, in: top.directory) }
            walk.absorb(listings)
        }
        var table = try walk.table()
        for index in 0..<table.count where table[index].flags.contains(.mountRoot) {
            throw mounted("\(printable(name))/\(table.path(of: index))")
        }
        table[0] = status.record
        return table
    }

    private static func mounted(_ path: String) -> BackupError {
        BackupError(
            .refused, "a file system is mounted at \(path), which the restore would move",
            advice: "Unmount it, or leave the place out with --only")
    }

    /// Lists one directory; one that its owner (we) cannot read is opened up for the moment.
    private static func list(_ node: Int, of walk: TreeWalk, in top: Directory) throws -> TreeWalk.Listing {
        let listing = walk.list(node)
        guard let problem = listing.problems.first else { return listing }
        let path = walk.path(of: node)
        guard let parent = path.parent, linux_effective_user() != 0 else { throw unreadable(problem) }
        let holder = try top.directory(at: parent)
        guard let status = try holder.status(of: path.name), status.user == linux_effective_user() else {
            throw unreadable(problem)
        }
        let opened = try openTemporarily(path.name, in: holder, status: status)
        defer { opened.putBack() }
        let again = walk.list(node)
        if let problem = again.problems.first { throw unreadable(problem) }
        return again
    }

    private static func unreadable(_ problem: TreeWalk.Problem) -> BackupError {
        BackupError(
            .refused, "cannot read \(problem.path), which the restore would move: \(problem.reason)",
            advice: "Run as its owner or as root")
    }

    private struct Opened {
        let directory: Directory
        let mode: UInt16?

        func putBack() {
            // The journal's attributes are set at the end; here nothing depends on it.
            if let mode { _ = linux_chmod(directory.descriptor, UInt32(mode)) }
        }
    }

    private static func openTemporarily(
        _ name: some Collection<UInt8>, in directory: Directory, status: FileStatus
    ) throws(DiskError) -> Opened {
        let user = linux_effective_user()
        guard user != 0, status.user == user, status.mode & 0o500 != 0o500 else {
            return Opened(directory: try directory.directory(name), mode: nil)
        }
        try directory.setMode(status.mode | 0o700, of: name)
        return Opened(directory: try directory.directory(name), mode: status.mode)
    }
}
