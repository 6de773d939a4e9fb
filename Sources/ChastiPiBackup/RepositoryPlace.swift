import Disk
import Model

/// A repository as it is named: where it is, and where its password comes from.
public struct RepositoryPlace: Sendable {
    /// The path of a directory. No other place is known yet.
    public let path: String
    /// What the configuration calls it; nil if it is named by its path.
    public let name: String?
    /// What the configuration says about its password; nil for nothing.
    public let password: PasswordOrigin?
    /// `backup.yaml:7`, or nil for one that is not configured.
    public let origin: String?

    /// Safe to print.
    public var shownPath: String { printable(path.utf8) }

    /// Kinds of places that restic knows, all of them servers or programs.
    private static let distantKinds = ["sftp", "rest", "s3", "rclone", "b2", "azure", "gs", "swift"]
    private static let directoryKind = "local:"

    /// Reads a location as restic does: a path, or a path after `local:`.
    public init(
        location: String, name: String? = nil, password: PasswordOrigin? = nil, origin: String? = nil
    ) throws(BackupError) {
        path = try Self.path(of: location)
        self.name = name
        self.password = password
        self.origin = origin
    }

    private static func path(of location: String) throws(BackupError) -> String {
        let path = location.hasPrefix(directoryKind) ? String(location.dropFirst(directoryKind.utf8.count)) : location
        guard !path.isEmpty else { throw BackupError(.usage, "the repository has no name") }
        guard path == location, !isPath(location), let colon = location.firstIndex(of: ":") else { return path }
        // What follows the colon may hold a password.
        let kind = String(location[..<colon])
        guard distantKinds.contains(kind) else {
            throw BackupError(
                .usage, "'\(printable(kind.utf8.prefix(60))):' is no kind of place for a repository",
                advice: "For the path of a directory with a ':' in it write '\(directoryKind)' before it")
        }
        throw BackupError(
            .usage, "repositories at '\(kind):' cannot be used yet",
            advice: "Name a directory, such as a mounted disk; restic can copy a repository from there")
    }

    private static func isPath(_ text: String) -> Bool {
        ["/", "./", "../", "~"].contains { text.hasPrefix($0) }
    }

    /// Names in the configuration: they cannot be taken for a path.
    static func isName(_ text: String) -> Bool {
        text.first != "-" && text.first != "." && Configuration.isTag(text) && !text.contains("=")
    }
}

extension RepositoryPlace {
    /// The repository that `text` names: a name of the configuration, or a location. One that is configured is found by its
    /// path, too, and has its password from there.
    public static func named(_ text: String, in configuration: Configuration?) throws(BackupError) -> RepositoryPlace {
        let configured = configuration?.repositories.value ?? []
        if let found = configured.first(where: { $0.name == text }) { return found }
        let place = try RepositoryPlace(location: text)
        return configured.first { $0.isSame(as: place) } ?? place
    }

    func isSame(as other: RepositoryPlace) -> Bool { comparable == other.comparable }

    private var comparable: String {
        let absolute = path.hasPrefix("/") ? "/" : ""
        return absolute + path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
    }

    /// The location that a file holds, with white space around it or without.
    public static func location(inFile path: String) throws(BackupError) -> String {
        let shown = printable(path.utf8)
        do throws(DiskError) {
            let bytes = try OpenFile(path: path).readStream(limit: 1 << 16)
            if let text = String(validating: PasswordText.trimmed(PasswordText.decoded(bytes)), as: UTF8.self) {
                return text
            }
        } catch {
            throw BackupError(.usage, "cannot read the repository file \(shown): \(error.reason)")
        }
        throw BackupError(.usage, "the repository file \(shown) is no UTF-8 text")
    }

    /// The one that is meant where none is named; throws if the configuration does not tell.
    public static func usual(in configuration: Configuration?) throws(BackupError) -> RepositoryPlace {
        if let usual = configuration?.usual { return usual }
        let configured = configuration?.repositories.value ?? []
        let names = configured.compactMap(\.name).joined(separator: ", ")
        throw BackupError(
            .usage, "which repository?",
            advice: "Name it with --repository, by its path\(names.isEmpty ? "" : " or as \(names)")")
    }
}

extension Configuration {
    /// The repository that is meant where none is named: the one that the configuration says, or its only one.
    var usual: RepositoryPlace? {
        let configured = repositories.value
        if let name = usualRepository.value { return configured.first { $0.name == name } }
        return configured.count == 1 ? configured[0] : nil
    }
}
