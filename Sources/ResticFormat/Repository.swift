import Codec
import Model
import Storage
import Workers

/// A repository that a password has opened.
///
/// Source: restic's design document.
package final class Repository: Sendable {
    /// Key files that are tried: each takes half a second or more.
    static let keyLimit = 20
    /// Of a file of an index, a lock or a snapshot, encrypted.
    private static let fileLimit = 1 << 30

    package let backend: any Backend
    package let configuration: RepositoryConfiguration
    package let keys: MessageKeys
    /// The key file that the password opened.
    package let keyID: SHA256Digest

    /// Tries the key files one after the other, in the order of their names.
    ///
    /// Throws `BackupError`: `wrongPassword` names the keys that were tried, `notFound` if no repository is there, `damaged`;
    /// and `StorageError`.
    package init(_ backend: any Backend, _ password: Password) throws {
        let (keyID, keys) = try Self.open(backend, password)
        self.backend = backend
        self.keyID = keyID
        self.keys = keys
        do {
            let message = try backend.read(.configuration, limit: RepositoryConfiguration.sizeLimit)
            var cipher = MessageCipher(keys)
            configuration = try RepositoryConfiguration(json: try cipher.open(message))
        } catch let error as StorageError where error.code == .notFound {
            throw BackupError(
                .damaged, "the repository \(backend.place) has keys and no configuration",
                advice:
                    "Bring its file 'config' back from a copy; if its making was cut off, remove it and make it again")
        } catch let error as StorageError {
            throw error
        } catch {
            throw BackupError(.damaged, "the configuration of \(backend.place): \(error)")
        }
    }

    /// The same repository, reached in another way.
    init(_ repository: Repository, _ backend: any Backend) {
        self.backend = backend
        (configuration, keys, keyID) = (repository.configuration, repository.keys, repository.keyID)
    }

    private static func open(_ backend: any Backend, _ password: Password) throws -> (SHA256Digest, MessageKeys) {
        let files = try backend.list(.key).map(\.key).sorted { $0.fileName < $1.fileName }
        guard !files.isEmpty else {
            throw BackupError(
                .damaged, "the repository \(backend.place) has no keys any more: no password opens it",
                advice: "Bring back the files of its directory 'keys' from a copy")
        }
        var (tried, broken): ([String], [String]) = ([], [])
        for file in files.prefix(keyLimit) {
            do {
                if let keys = try keyFile(file, of: backend).open(with: password) { return (file.id, keys) }
                tried.append(file.id.shortHex)
            } catch let error as FormatError {
                // Another key may open the repository all the same.
                broken.append("\(file.id.shortHex): \(error)")
            } catch let error as StorageError where [.notFound, .tooShort, .invalid].contains(error.code) {
                // Removed since it was listed, or of an impossible size.
                broken.append("\(file.id.shortHex): \(error.reason)")
            }
        }
        let damage = broken.isEmpty ? "" : "; keys that cannot be read: \(broken.joined(separator: ", "))"
        guard !tried.isEmpty else {
            throw BackupError(.damaged, "no key of the repository \(backend.place) can be read\(damage)")
        }
        throw BackupError(
            .wrongPassword,
            "the password opens none of the keys of \(backend.place) (tried: \(tried.joined(separator: ", ")))\(damage)"
        )
    }

    /// What a worker decrypts with.
    package func coder() -> RepositoryCoder {
        RepositoryCoder(keys, configuration.version)
    }

    /// The JSON of a lock, a snapshot or an index. What does not have the hash that it is named by is read once more.
    ///
    /// Throws ``FormatError`` where it is damaged, and `StorageError`.
    package func document(
        _ key: ObjectKey, limit: Int, _ coder: inout RepositoryCoder
    ) throws -> [UInt8] {
        var bytes = try backend.read(key, limit: Self.fileLimit)
        if SHA256.digest(of: bytes) != key.id {
            bytes = try backend.read(key, limit: Self.fileLimit)
            guard SHA256.digest(of: bytes) == key.id else {
                throw FormatError("its bytes have not the hash that it is named by")
            }
        }
        return try coder.openDocument(bytes, limit: limit)
    }
}

extension SHA256Digest {
    /// As restic shows IDs: eight digits.
    package var shortHex: String { String(hex.prefix(8)) }
}

// Snapshots and index.
extension Repository {
    /// A snapshot and its ID.
    package struct StoredSnapshot: Sendable {
        package let id: SHA256Digest
        package let snapshot: Snapshot
    }

    /// All snapshots, the oldest first, and what cannot be read. Must come before ``index(on:)``: what others add meanwhile is
    /// then in the index.
    package func snapshots(on pool: ThreadPool) throws -> (snapshots: [StoredSnapshot], findings: [Finding]) {
        let (snapshots, unreadable) = try allSnapshots(on: pool)
        return (snapshots, unreadable.map(\.finding))
    }

    /// The same, with the IDs of those that cannot be read. Throws `StorageError` where one cannot be fetched.
    func allSnapshots(
        on pool: ThreadPool
    ) throws -> (snapshots: [StoredSnapshot], unreadable: [UnreadableDocument]) {
        let (snapshots, unreadable) = try readableSnapshots(on: pool)
        for document in unreadable where document.error is StorageError { throw document.error }
        return (snapshots, unreadable)
    }

    static func isOlder(_ a: StoredSnapshot, _ b: StoredSnapshot) -> Bool {
        let (first, second) = (a.snapshot.time.moment, b.snapshot.time.moment)
        return first == second ? a.id.hex < b.id.hex : first < second
    }

    /// The index of all files, and what cannot be read.
    package func index(on pool: ThreadPool) throws -> (index: BlobIndex, findings: [Finding]) {
        let index = Monitor(BlobIndex())
        let version = configuration.version
        let (_, findings) = try documents(.index, limit: IndexFile.sizeLimit, on: pool) { _, json in
            let packs = try IndexFile.read(json, version)
            index.withLock { index in
                for pack in packs { index.add(pack) }
            }
        }
        return (index.withLock { $0 }, findings)
    }

    /// Reads all documents of a kind; a damaged one becomes a finding.
    private func documents<R: Sendable>(
        _ kind: ObjectKind, limit: Int, on pool: ThreadPool,
        _ read: @escaping @Sendable (SHA256Digest, [UInt8]) throws -> R
    ) throws -> ([R], [Finding]) {
        let (values, unreadable) = try readDocuments(kind, limit: limit, on: pool, read)
        for document in unreadable where document.error is StorageError { throw document.error }
        return (values, unreadable.map(\.finding))
    }

    /// Reads all documents of a kind, in the order of their names, and says which cannot be read.
    ///
    /// Throws `StorageError` where the place, and not an object, is to blame.
    func readDocuments<R: Sendable>(
        _ kind: ObjectKind, limit: Int, on pool: ThreadPool,
        _ read: @escaping @Sendable (SHA256Digest, [UInt8]) throws -> R
    ) throws -> ([R], [UnreadableDocument]) {
        let keys = try backend.list(kind).map(\.key).sorted { $0.fileName < $1.fileName }
        let coders = PerWorker(pool) { self.coder() }
        let results = try pool.map(keys.count) { worker, number -> Result<R, any Error> in
            let key = keys[number]
            do {
                return .success(
                    try readingTwice {
                        let json = try coders.with(worker) { try self.document(key, limit: limit, &$0) }
                        return try read(key.id, json)
                    })
            } catch let error as FormatError {
                return .failure(error)
            } catch let error as StorageError where error.concernsObject {
                return .failure(error)
            }
        }
        var (values, unreadable): ([R], [UnreadableDocument]) = ([], [])
        for (key, result) in zip(keys, results) {
            switch result {
            case .success(let value): values.append(value)
            case .failure(let error): unreadable.append(UnreadableDocument(key: key, error: error))
            }
        }
        return (values, unreadable)
    }
}

extension StorageError {
    /// Whether the object may be to blame, such as one on a bad sector, so that others can be read all the same.
    var concernsObject: Bool { [.notFound, .tooShort, .invalid, .other].contains(code) }
}

/// Reads something, and once more if it seems to be damaged or missing: bytes may have got lost on the way, and what is called damaged
/// may be removed. `body` changes nothing before it knows that all is well.
func readingTwice<R>(_ body: () throws -> R) throws -> R {
    do {
        return try body()
    } catch is FormatError {
        return try body()
    } catch let error as StorageError where error.concernsObject {
        return try body()
    }
}

// Blobs.
extension Repository {
    /// Reads a blob from the first of its places where it is undamaged, and calls `body` with its content.
    ///
    /// Throws ``FormatError`` if there is none, and what the last of them says.
    package func withBlob<R>(
        _ key: BlobKey, in index: BlobIndex, _ coder: inout RepositoryCoder,
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        var damaged: [Int] = []
        return try withBlob(key, in: index, &coder, damaged: &damaged, body)
    }

    /// The same; adds to `damaged` the numbers of the copies that cannot be read.
    func withBlob<R>(
        _ key: BlobKey, in index: BlobIndex, _ coder: inout RepositoryCoder, damaged: inout [Int],
        _ body: (UnsafeRawBufferPointer) throws -> R
    ) throws -> R {
        var reason = "the index does not have it"
        for number in index.numbers(of: key) {
            do {
                return try readingTwice {
                    try coder.readBlob(key, at: index.location(number), from: backend, body)
                }
            } catch let error as FormatError {
                reason = error.description
            } catch let error as StorageError where error.concernsObject {
                reason = error.description
            }
            damaged.append(number)
        }
        throw FormatError("the \(key) cannot be read: \(reason)")
    }

    /// The content of a blob.
    package func blob(_ key: BlobKey, in index: BlobIndex, _ coder: inout RepositoryCoder) throws -> [UInt8] {
        try withBlob(key, in: index, &coder) { Array($0) }
    }

    /// The nodes of a tree.
    package func tree(
        _ id: SHA256Digest, in index: BlobIndex, _ coder: inout RepositoryCoder
    ) throws -> [TreeNode] {
        try TreeReader.nodes(of: try blob(BlobKey(.tree, id), in: index, &coder))
    }
}
