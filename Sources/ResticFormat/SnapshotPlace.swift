import Model

/// Where in a snapshot's tree an app lies: restic keeps absolute paths, an app's entries are relative to its directory.
struct SnapshotPlace: Equatable {
    /// Names of the directories from the root of the tree to the app's.
    let components: [[UInt8]]

    var path: String { "/" + components.map { printable($0) }.joined(separator: "/") }

    init(_ components: [[UInt8]]) { self.components = components }

    /// The first name below this place on the way to `path`; nil if that is not below it.
    func firstName(of path: String) -> [UInt8]? {
        let all = Self.split(path)
        return all.count > components.count && all.starts(with: components) ? all[components.count] : nil
    }

    /// What a snapshot of ours says: its paths are the app's and then the item's.
    init?(_ paths: [String], items: [EntryPath]) {
        guard let path = paths.first, let item = items.first else { return nil }
        let components = Self.split(path)
        let below = item.components.map { Array($0) }
        guard components.count >= below.count, Array(components.suffix(below.count)) == below else { return nil }
        self.components = Array(components.dropLast(below.count))
    }

    /// Nil unless all paths of a snapshot lie in the app whose directory is at `path` now.
    init?(_ paths: [String], within path: [UInt8]) {
        let components = path.split(separator: UInt8(ascii: "/")).map { Array($0) }
        guard !paths.isEmpty, paths.allSatisfy({ Self.split($0).starts(with: components) }) else { return nil }
        self.components = components
    }

    /// What the paths of a snapshot that others made tell. One path is the app, unless it has the name of an item and what
    /// lies in it (`children`, if it is a directory) has not.
    init(_ paths: [String], isItem: (EntryPath) -> Bool, children: ([[UInt8]]) throws -> [[UInt8]]?) rethrows {
        let all = paths.map { Self.split($0) }
        guard var common = all.first else {
            components = []
            return
        }
        for path in all.dropFirst() {
            common = zip(common, path).prefix { $0 == $1 }.map { $0.0 }
        }
        // Of several paths none is above all of them, unless it is one of them.
        func isNamed(_ name: [UInt8]) -> Bool { isItem(EntryPath(unchecked: name)) }
        if all.contains(common), let last = common.last {
            let names = try children(common)
            if names == nil || isNamed(last) && !(names ?? []).contains(where: isNamed) { common.removeLast() }
        }
        components = common
    }

    private static func split(_ path: String) -> [[UInt8]] {
        path.utf8.split(separator: UInt8(ascii: "/")).map { Array($0) }
    }
}
