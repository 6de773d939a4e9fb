import Codec
import Model
import Storage

/// What a new repository is to be like.
package struct NewRepository: Sendable {
    package var version = RepositoryConfiguration.Version.two
    /// Nil for one that nobody knows: another repository's makes copies between the two share blobs.
    package var polynomial: ChunkerPolynomial?
    package var parameters = ScryptParameters.standard
    /// Who made the key, for people.
    package var userName = ""
    package var hostName = ""

    package init() {}
}

extension Repository {
    /// Makes a repository where there is none, and opens it: first the key, then the configuration.
    ///
    /// Throws `BackupError.nameTaken` if something of one is there, and `StorageError`.
    package static func create(
        _ new: NewRepository, at backend: any Backend, _ password: Password, now: LocalTime
    ) throws -> Repository {
        for kind in [ObjectKind.configuration, .key, .snapshot] where try !backend.list(kind).isEmpty {
            throw BackupError(.nameTaken, "there is a repository at \(backend.place) already")
        }
        try backend.prepare()
        let keys = MessageKeys.random()
        let file = try KeyFile(
            keys, password: password, new.parameters, created: now, userName: new.userName, hostName: new.hostName
        ).bytes
        try backend.create(.key(SHA256.digest(of: file)), file)
        guard let id = SHA256Digest(SecureRandom.bytes(32)) else { throw FormatError("an ID has not 32 bytes") }
        let configuration = RepositoryConfiguration(
            version: new.version, id: id, polynomial: new.polynomial ?? .random())
        var cipher = MessageCipher(keys)
        try backend.create(.configuration, cipher.seal(configuration.json))
        // Opened as everyone will: what cannot be opened is found now.
        return try Repository(backend, password)
    }
}
