import Disk
import Model

/// What must hold before a restore begins, so that it need not be taken back (P2, P7, promise 6): every directory in which
/// something is exchanged lets us do that, and makes a difference between all names that will stand in it.
struct RestorePreconditions {
    let app: Directory
    let live: EntryTable
    let scope: RestoreScope
    let ownership: Ownership
    private var refusals: [String] = []

    init(app: Directory, live: EntryTable, scope: RestoreScope, ownership: Ownership) {
        self.app = app
        self.live = live
        self.scope = scope
        self.ownership = ownership
    }

    /// `steps` are in path order; `live` is what stands at the place, by index. `directories` get attributes.
    mutating func check(_ steps: [(place: EntryPath, live: Int?)], attributesOf directories: [EntryPath]) throws {
        var parents: Set<Int> = []
        for (place, live) in steps {
            guard let parent = self.live.index(of: place.parent ?? .root) else { continue }
            if parents.insert(parent).inserted { try checkDirectory(parent) }
            if let live { try checkMovable(live, from: parent) }
        }
        for path in directories { try checkAttributes(path) }
        guard !refusals.isEmpty else { return }
        throw BackupError(
            .refused, "the restore cannot be done: \(refusals.joined(separator: "; "))",
            advice: "Nothing was changed. Mend that, run as root, or leave the place out with --only")
    }

    private mutating func checkDirectory(_ index: Int) throws {
        let path = live.path(of: index)
        do throws(DiskError) {
            let directory = try app.directory(at: path)
            try directory.checkEntriesMayChange()
            try checkNames(in: directory, index)
        } catch {
            // What its owner took away from himself the exchange gives back for as long as it takes.
            if error.code == .denied && ownership.maySetAttributes(ofWhatBelongsTo: live[index].user) { return }
            refusals.append("entries of \(path.isRoot ? "the app" : "\(path)") cannot be changed: \(error.reason)")
        }
    }

    private mutating func checkAttributes(_ path: EntryPath) throws {
        guard let index = live.index(of: path) else { return }
        let what = path.isRoot ? "the app's directory" : "\(path)"
        if live[index].flags.contains(.immutable) {
            refusals.append("attributes of \(what) cannot be set: it is immutable (see lsattr)")
        } else if try FileSystemTraits(of: app.directory(at: path)).isReadOnly {
            refusals.append("attributes of \(what) cannot be set: it is on a read-only file system")
        }
    }

    /// A directory that moves gets another `..`, for which one must be allowed to write in it; and a sticky directory lets
    /// go of what is one's own.
    private mutating func checkMovable(_ index: Int, from parent: Int) throws {
        if ownership.maySetAttributes(ofWhatBelongsTo: live[index].user) { return }
        let path = live.path(of: index)
        if live[parent].mode & 0o1000 != 0, !ownership.maySetAttributes(ofWhatBelongsTo: live[parent].user) {
            refusals.append("\(path) cannot be moved: it belongs to someone else, and its directory is sticky")
            return
        }
        guard live[index].kind == .directory else { return }
        do throws(DiskError) {
            try app.directory(at: path).checkEntriesMayChange()
        } catch {
            refusals.append("\(path) cannot be moved: it belongs to someone else (\(error.reason))")
        }
    }

    /// P2. Names that fold together would take each other's place.
    private mutating func checkNames(in directory: Directory, _ index: Int) throws(DiskError) {
        let names = live.children(of: index).map { live.withName(of: $0) { Array($0) } }
        guard try directory.foldsCase(names: names) else { return }
        let path = live.path(of: index)
        var wanted: Set<[UInt8]> = []
        if let backup = scope.backup.index(of: path) {
            for child in scope.backup.children(of: backup) where scope.roles[child] != .none {
                wanted.insert(scope.backup.withName(of: child) { Array($0) })
            }
        }
        // What the restore removes makes room.
        let staying = live.children(of: index).filter { live[$0].flags.contains(.outside) }
        let all = wanted.union(staying.map { child in live.withName(of: child) { Array($0) } })
        var known: [String: [UInt8]] = [:]
        for name in all.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            let folded = String(decoding: name, as: UTF8.self).lowercased()
            if let other = known.updateValue(name, forKey: folded) {
                refusals.append(
                    "\(printable(other)) and \(printable(name)) in \(path) are one name to its file system")
            }
        }
    }
}
