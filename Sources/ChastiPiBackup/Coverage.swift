import Disk
import Model

/// An item that is a symbolic link: it is saved as one.
public struct ItemLink: Sendable, Equatable {
    public let path: EntryPath
    /// Safe to print.
    public let target: String
    /// Whether it leads out of the app: then what it points to is in no backup.
    public let leadsOut: Bool
}

/// Which of what the app has at its top level, and of its items, is in backups and which is not.
public struct Coverage: Sendable {
    public struct Excluded: Sendable, Equatable {
        public let path: EntryPath
        public let rule: String
        /// Where the rule stands, such as `default`.
        public let origin: String
    }

    /// What no item covers and no rule excludes.
    public internal(set) var uncovered: [Uncovered] = []
    public internal(set) var excluded: [Excluded] = []
    /// Items that the newest complete backup does not hold: the next one will.
    public internal(set) var notSavedYet: [EntryPath] = []
    public internal(set) var links: [ItemLink] = []
    /// Items that the app does not have, as written; those of the defaults do not count.
    public internal(set) var absentItems: [String] = []
}

extension Coverage {
    /// `newest`: the newest complete backup.
    init(of places: AppPlaces, _ choice: Configuration.Choice, newest: Backup?) throws {
        let selection = choice.selection
        let table = try Self.table(of: places, selection)
        uncovered = try UncoveredSearch(table, selection, app: places.app).run()
        for index in table.children(of: 0) where !table[index].flags.contains(.container) {
            let (path, kind) = (table.path(of: index), table[index].kind)
            guard table[index].flags.contains(.outside), let found = selection.exclusion(of: path, kind: kind) else {
                continue
            }
            excluded.append(Excluded(path: path, rule: found.rule.description, origin: found.rule.origin))
        }
        let items = ItemPresence(choice.items, in: table)
        links = items.links
        let configured = Set(choice.items.lazy.filter { $0.origin != "default" }.map(\.text))
        absentItems = items.absent.filter { configured.contains($0) }
        if let saved = newest?.items, !saved.isEmpty {
            var present = items.present
            if present.contains(.root) {
                let tops = table.children(of: 0).filter { table[$0].flags.isDisjoint(with: [.outside, .container]) }
                present = tops.map { table.path(of: $0) }
            }
            notSavedYet = present.filter { item in !saved.contains { item.isAtOrBelow($0) } }
        }
    }

    /// The app's top level, and what is needed to tell whether it has the items. What is not covered is marked as outside.
    static func table(of places: AppPlaces, _ selection: Selection) throws -> EntryTable {
        let onTheWay = Set(selection.paths.flatMap(\.ancestors))
        var walk = try TreeWalk(of: places.app, containers: try places.containers()) { path, kind, _ in
            kind == .directory && onTheWay.contains(EntryPath(unchecked: Array(path))) ? .pass : .leave
        }
        while !walk.pending.isEmpty { walk.absorb(walk.pending.map { walk.list($0) }) }
        var table = try walk.table()
        // Read as if nothing were covered; what is covered is told apart here.
        for index in table.children(of: 0)
        where selection.decision(on: table.path(of: index), kind: table[index].kind) != .leave {
            table[index].flags.remove(.outside)
        }
        return table
    }
}
