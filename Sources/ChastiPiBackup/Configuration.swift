import Disk
import Model

/// What is in force for an app: the defaults, and over them what `backup.yaml` says. A value; ``ConfigurationFile`` reads it.
public struct Configuration: Sendable {
    /// A value with where it comes from: `default`, or `backup.yaml:7`.
    public struct Setting<Value: Sendable>: Sendable {
        public var value: Value
        public var origin: String
    }

    public internal(set) var items = Setting(value: ItemPattern.defaults, origin: "default")
    public internal(set) var usesDefaultExclusions = Setting(value: true, origin: "default")
    /// After the default exclusions, in gitignore's syntax.
    public internal(set) var exclude: [ExclusionRule] = []
    public internal(set) var tags = Setting<[String]>(value: [], origin: "default")
    /// After how many days a backup reads everything anew; nil for never.
    public internal(set) var fullReadDays = Setting<Int?>(value: 30, origin: "default")

    /// How backups are kept; nil for folders, but zips where the file system keeps no links and attributes.
    public internal(set) var format = Setting<BackupFormat?>(value: nil, origin: "default")

    /// Databases that are copied as files, with their logs, and not by SQLite.
    public internal(set) var rawDatabases = Setting<Set<EntryPath>>(value: [], origin: "default")

    /// What `prune` keeps where its options say nothing; nil for everything.
    public internal(set) var retention = Setting<RetentionPolicy?>(value: nil, origin: "default")

    /// Repositories that have a name, in the order in which they are written.
    public internal(set) var repositories = Setting<[RepositoryPlace]>(value: [], origin: "default")
    /// The name of the one that is meant where none is named.
    public internal(set) var usualRepository = Setting<String?>(value: nil, origin: "default")

    init() {}
}

// What a request and the configuration select together.
extension Configuration {
    /// Items and rules of one backup, in their order: of the rules that match the last decides.
    struct Choice: Sendable {
        let items: [ItemPattern]
        let rules: [ExclusionRule]
        let tags: [String]

        var selection: Selection { Selection(items: items, rules: Exclusions(rules)) }
    }

    func choice(for request: CreateRequest, ignoreFile: ExclusionFile?) throws -> Choice {
        var items = try request.items.map { try ItemPattern($0, origin: "--item") }
        if items.isEmpty { items = self.items.value }
        var rules = usesDefaultExclusions.value && request.usesDefaultExclusions ? Exclusions.defaults.rules : []
        if request.includesLogs {
            items += ItemPattern.logs
            rules += try ["!/*.log", "!/logs/*.log", "!/logs/**/*.log"].map { try Self.rule($0, "--include-logs") }
        }
        rules += exclude
        rules += ignoreFile?.rules ?? []
        rules += try request.exclude.map { try Self.rule($0, "--exclude") }
        let tags = tags.value + request.tags
        for tag in tags where !Self.isTag(tag) {
            throw BackupError(
                .usage, "'\(printable(tag.utf8))' is no tag: letters, digits, '.', '_', '-' and '=' make one")
        }
        return Choice(items: items, rules: rules, tags: tags)
    }

    private static func rule(_ pattern: String, _ origin: String) throws -> ExclusionRule {
        do throws(ExclusionError) {
            return try ExclusionRule(pattern, origin: origin)
        } catch {
            throw BackupError(.usage, "\(origin): \(error)")
        }
    }

    static func isTag(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 128
            && text.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"):
                    true
                default: "._-=".utf8.contains(byte)
                }
            }
    }
}

/// Which rule decides on a path: `config show --explain PATH`.
public struct PathExplanation: Sendable {
    public let path: EntryPath
    public let isBackedUp: Bool
    /// One sentence.
    public let reason: String
}

extension BackupManager {
    /// Tells whether a path of the app is backed up, and by which item or rule.
    public func explain(_ path: String) throws -> PathExplanation {
        try Self.reporting {
            guard let entry = EntryPath(RestorePlanning.trimmed(path)) else {
                throw BackupError(.usage, "'\(printable(path.utf8))' is no path inside the app")
            }
            let choice = try Creating.choice(configuration, CreateRequest(), places, run)
            return try Explaining(places: places, choice: choice).explain(entry)
        }
    }
}

private struct Explaining {
    let places: AppPlaces
    let choice: Configuration.Choice

    func explain(_ path: EntryPath) throws -> PathExplanation {
        let selection = choice.selection
        let kind = try kind(of: path)
        let decision = selection.decision(on: path, kind: kind ?? .file)
        let absent = kind == nil ? " (the app has no such entry now)" : ""
        func told(_ isBackedUp: Bool, _ reason: String) -> PathExplanation {
            PathExplanation(path: path, isBackedUp: isBackedUp, reason: reason + absent)
        }
        if let ours = ([path] + path.ancestors).first(where: { isOurs($0) }) {
            return told(false, "\(ours) belongs to the backup system and is never backed up")
        }
        if path.isRoot {
            return told(
                selection.takesAll, selection.takesAll ? "the whole app is an item" : "the whole app is no item")
        }
        if decision == .take, let item = item(covering: path) {
            return told(true, "covered by the item '\(item)' (\(item.origin))")
        }
        if let found = selection.exclusion(of: path, kind: kind ?? .file), item(covering: path) != nil {
            let what = found.path == path ? "" : "\(found.path) is "
            return told(false, "\(what)excluded by '\(found.rule)' (\(found.rule.origin))")
        }
        return told(false, "no item covers it")
    }

    private func item(covering path: EntryPath) -> ItemPattern? {
        choice.items.first { item in
            switch item.form {
            case .path(let itemPath): path.isAtOrBelow(itemPath)
            case .names(let rule):
                path.components.first.map {
                    Exclusions([rule]).decision(path: Array($0)[...], isDirectory: false) != nil
                }
                    ?? false
            }
        }
    }

    private func isOurs(_ path: EntryPath) -> Bool {
        path.bytes.withRawBytes { Selection.isOurs($0, kind: .directory) || Selection.isOurs($0, kind: .file) }
    }

    private func kind(of path: EntryPath) throws -> EntryKind? {
        guard let parent = path.parent else { return .directory }
        do throws(DiskError) {
            return try places.app.directory(at: parent).status(of: path.name)?.kind
        } catch {
            guard [.notFound, .notDirectory, .isLink].contains(error.code) else { throw error }
            return nil
        }
    }
}
