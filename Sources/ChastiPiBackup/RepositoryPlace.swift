import Model

/// A repository as it is named on the command line or in `backup.yaml`.
public struct RepositoryPlace: Sendable, Equatable {
    /// A path.
    public let location: String
    /// Its short name, if it has one.
    public let name: String?

    public init(location: String, name: String? = nil) {
        self.location = location
        self.name = name
    }
}
