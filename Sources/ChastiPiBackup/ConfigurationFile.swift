import Codec
import Disk
import Model

/// `backups/backup.yaml`: where it is, and how it is read.
struct ConfigurationFile {
    static let name = "backup.yaml"
    private static let sizeLimit = 1 << 20

    /// Nil only where there is a path.
    let places: AppPlaces?
    /// Where the user says it is; nil for the usual place, where it may be missing.
    let path: String?

    func read() throws -> Configuration {
        guard let bytes = try bytes() else { return Configuration() }
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw BackupError(.configuration, "\(shownName) is not UTF-8 text", advice: "Save it as UTF-8")
        }
        var reader = ConfigurationReader(file: shownName)
        return try reader.read(text)
    }

    private var shownName: String { path.map { printable($0.utf8) } ?? Self.name }

    private func bytes() throws -> [UInt8]? {
        do {
            if let path {
                let slash = path.lastIndex(of: "/")
                let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
                let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
                return try Directory(path: directory).readFile(name.utf8, limit: Self.sizeLimit)
            }
            guard let backups = try places?.existingBackups(), try backups.status(of: Self.name.utf8) != nil else {
                return nil
            }
            return try backups.readFile(Self.name.utf8, limit: Self.sizeLimit)
        } catch let error as DiskError {
            throw BackupError(.configuration, "cannot read \(shownName): \(error.reason)")
        }
    }
}

extension Configuration {
    /// What the file at `path` says. Throws `BackupError.configuration` with the place of what is not understood.
    public static func read(_ path: String) throws -> Configuration {
        try ConfigurationFile(places: nil, path: path).read()
    }
}

/// Reads the text strictly: what is not understood is an error with its place, never passed over.
struct ConfigurationReader {
    let file: String
    private var configuration = Configuration()

    init(file: String) {
        self.file = file
    }

    /// Keys with how each is read: a new one is a line here.
    private static let keys: [(name: String, read: @Sendable (inout ConfigurationReader, YAMLNode) throws -> Void)] = [
        ("items", { try $0.readItems($1) }),
        ("exclude", { try $0.readExclude($1) }),
        ("default_exclusions", { try $0.readDefaultExclusions($1) }),
        ("tags", { try $0.readTags($1) }),
        ("full_read", { try $0.readFullRead($1) }),
        ("format", { try $0.readFormat($1) }),
        ("sqlite", { try $0.readDatabases($1) }),
        ("retention", { $0.setRetention(try $0.retention($1), $1) }),
        ("repositories", { $0.setRepositories(try $0.repositories($1), $1) }),
        ("repository", { try $0.readUsualRepository($1) }),
    ]

    mutating func read(_ text: String) throws -> Configuration {
        guard let node = try document(in: text) else { return configuration }
        guard let mapping = node.mapping else {
            if node.scalar?.isEmpty == true { return configuration }
            throw problem(node, "the file must consist of lines 'key: value'")
        }
        for member in mapping {
            guard let known = Self.keys.first(where: { $0.name == member.key }) else {
                throw unknown(member, among: Self.keys.map(\.name))
            }
            try known.read(&self, member.value)
        }
        try checkUsualRepository()
        return configuration
    }

    private func document(in text: String) throws -> YAMLNode? {
        do throws(YAMLError) {
            return try YAMLNode.document(in: text)
        } catch {
            throw problem(error.place, printable(error.message.utf8))
        }
    }

    // MARK: Keys

    private mutating func readItems(_ node: YAMLNode) throws {
        let items = try strings(node).map { text, place in
            do {
                return try ItemPattern(text, origin: origin(place))
            } catch let error as BackupError {
                throw problem(place, error.message)
            }
        }
        guard !items.isEmpty else {
            throw problem(node, "'items' names nothing: leave the key out for the usual items")
        }
        configuration.items = .init(value: items, origin: origin(node))
    }

    private mutating func readExclude(_ node: YAMLNode) throws {
        configuration.exclude = try strings(node).map { text, place in
            do throws(ExclusionError) {
                return try ExclusionRule(text, origin: origin(place))
            } catch {
                throw problem(place, "\(error)")
            }
        }
    }

    private mutating func readDefaultExclusions(_ node: YAMLNode) throws {
        guard let value = Self.boolean(node) else { throw problem(node, "'default_exclusions' is true or false") }
        configuration.usesDefaultExclusions = .init(value: value, origin: origin(node))
    }

    private mutating func readTags(_ node: YAMLNode) throws {
        let tags = try strings(node).map { text, place in
            guard Configuration.isTag(text) else { throw problem(place, "'\(printable(text.utf8))' is no tag") }
            return text
        }
        configuration.tags = .init(value: tags, origin: origin(node))
    }

    /// `30 days`, or `never`.
    private mutating func readFullRead(_ node: YAMLNode) throws {
        let words = (node.scalar ?? "").split(separator: " ")
        if words == ["never"] {
            configuration.fullReadDays = .init(value: nil, origin: origin(node))
            return
        }
        guard words.count == 2, words[1] == "days" || words[1] == "day", let days = Int(words[0]), 1...36_500 ~= days
        else { throw problem(node, "'full_read' is a number of days such as '30 days', or 'never'") }
        configuration.fullReadDays = .init(value: days, origin: origin(node))
    }

    /// `folder` or `zip`.
    private mutating func readFormat(_ node: YAMLNode) throws {
        guard let text = node.scalar, let format = BackupFormat(rawValue: text) else {
            throw problem(node, "'format' is folder, zip or repository")
        }
        configuration.format = .init(value: format, origin: origin(node))
    }

    /// Lines `path: raw`.
    private mutating func readDatabases(_ node: YAMLNode) throws {
        guard let mapping = node.mapping else { throw problem(node, "'sqlite' consists of lines 'path/of.db: raw'") }
        var paths: Set<EntryPath> = []
        for member in mapping {
            guard let path = EntryPath(RestorePlanning.trimmed(member.key)), !path.isRoot else {
                throw problem(member.keyPlace, "this is no path inside the app")
            }
            switch member.value.scalar {
            case "raw": paths.insert(path)
            case "consistent": break
            default: throw problem(member.value, "a database is 'raw' or 'consistent'")
            }
        }
        configuration.rawDatabases = .init(value: paths, origin: origin(node))
    }

    private mutating func setRetention(_ policy: RetentionPolicy, _ node: YAMLNode) {
        configuration.retention = .init(value: policy, origin: origin(node))
    }

    private mutating func setRepositories(_ places: [RepositoryPlace], _ node: YAMLNode) {
        configuration.repositories = .init(value: places, origin: origin(node))
    }

    private mutating func readUsualRepository(_ node: YAMLNode) throws {
        guard let name = node.scalar else {
            throw problem(node, "'repository' is the name of one of 'repositories'")
        }
        configuration.usualRepository = .init(value: name, origin: origin(node))
    }

    /// Whichever of the two lines comes first.
    private func checkUsualRepository() throws {
        let (usual, configured) = (configuration.usualRepository, configuration.repositories.value)
        guard let name = usual.value, !configured.contains(where: { $0.name == name }) else { return }
        throw BackupError(
            .configuration, "\(usual.origin): 'repositories' has no '\(printable(name.utf8))'")
    }

    // MARK: Values

    func strings(_ node: YAMLNode) throws -> [(String, YAMLNode)] {
        guard let sequence = node.sequence else { throw problem(node, "this must be a list, a line '- …' for each") }
        return try sequence.map { element in
            guard let text = element.scalar, !text.isEmpty else { throw problem(element, "this must be text") }
            return (text, element)
        }
    }

    static func boolean(_ node: YAMLNode) -> Bool? {
        switch node.scalar {
        case "true": true
        case "false": false
        default: nil
        }
    }

    // MARK: Errors

    func origin(_ node: YAMLNode) -> String {
        origin(node.place)
    }

    func origin(_ place: YAMLPlace) -> String {
        "\(file):\(place.line)"
    }

    func problem(_ node: YAMLNode, _ what: String) -> BackupError {
        problem(node.place, what)
    }

    func problem(_ place: YAMLPlace, _ what: String) -> BackupError {
        BackupError(.configuration, "\(file):\(place.line):\(place.column): \(what)")
    }

    func unknown(_ member: YAMLNode.Member, among keys: [String]) -> BackupError {
        let key = member.key
        let nearest = keys.min { Self.distance($0, key) < Self.distance($1, key) } ?? ""
        let hint = Self.distance(nearest, key) <= max(2, key.utf8.count / 3) ? "; did you mean '\(nearest)'?" : ""
        return BackupError(
            .configuration,
            "\(problem(member.keyPlace, "there is no key '\(printable(key.utf8.prefix(60)))'").message)\(hint)",
            advice: "The keys are \(keys.joined(separator: ", "))")
    }

    /// Letters to change, add or take away (Levenshtein).
    private static func distance(_ a: String, _ b: String) -> Int {
        let b = Array(b.utf8.prefix(60))
        var row = Array(0...b.count)
        for (i, x) in a.utf8.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, y) in b.enumerated() {
                let cost = min(diagonal + (x == y ? 0 : 1), row[j] + 1, row[j + 1] + 1)
                diagonal = row[j + 1]
                row[j + 1] = cost
            }
        }
        return row[b.count]
    }
}
