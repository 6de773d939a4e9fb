import Codec
import Model
import Storage

/// A password of a repository, as its file shows it to everyone.
package struct StoredKey: Equatable, Sendable {
    package let id: SHA256Digest
    package let created: LocalTime
    package let userName: String
    package let hostName: String
    /// Whether it is the one that opened the repository.
    package let isInUse: Bool
}

/// What a new key is to be like.
package struct NewKey: Sendable {
    package var parameters = ScryptParameters.standard
    /// Who made it, for people.
    package var userName = ""
    package var hostName = ""

    package init() {}
}

/// Passwords of a repository. All open it alike; whoever had one once may have kept what it opens.
///
/// A crash at any moment leaves a key that opens: a new one counts only when it was opened, and an old one goes only after that.
extension Repository {
    /// All keys, the oldest first, and what cannot be read.
    package func storedKeys() throws -> (keys: [StoredKey], findings: [Finding]) {
        var (keys, findings): ([StoredKey], [Finding]) = ([], [])
        for object in try backend.list(.key) {
            do {
                let file = try Self.keyFile(object.key, of: backend)
                keys.append(
                    StoredKey(
                        id: object.key.id, created: file.created, userName: file.userName, hostName: file.hostName,
                        isInUse: object.key.id == keyID))
            } catch let error as FormatError {
                findings.append(Finding(.damage, "\(object.key)", error.description))
            } catch let error as StorageError where [.notFound, .tooShort, .invalid].contains(error.code) {
                // Gone since it was listed, or of an impossible size.
                if error.code != .notFound { findings.append(Finding(.damage, "\(object.key)", error.reason)) }
            }
        }
        keys.sort { a, b in
            let (first, second) = (a.created.moment, b.created.moment)
            return first == second ? a.id.hex < b.id.hex : first < second
        }
        return (keys, findings.sorted { $0.subject < $1.subject })
    }

    /// Throws `BackupError(.refused)` if there are as many keys as are tried when a repository is opened.
    package func checkRoomForKey() throws {
        let count = try backend.list(.key).count
        guard count < Self.keyLimit else {
            throw BackupError(
                .refused, "the repository \(backend.place) has \(count) keys already, and no more are tried",
                advice: "Remove one that is not needed: 'repository key remove'")
        }
    }

    /// Adds a password, where there is room for it. The caller holds a lock. Returns the ID of the key.
    package func addKey(_ password: Password, _ new: NewKey, now: LocalTime) throws -> SHA256Digest {
        try checkRoomForKey()
        return try storeKey(password, new, now: now)
    }

    /// Replaces the password that opened the repository. The caller holds an exclusive lock. Returns the ID of the new key.
    package func changePassword(to password: Password, _ new: NewKey, now: LocalTime) throws -> SHA256Digest {
        let id = try storeKey(password, new, now: now)
        do throws(StorageError) {
            try backend.remove(.key(keyID))
        } catch {
            throw BackupError(
                .system,
                "the new password opens the repository \(backend.place), and the old one may still do so: \(error)",
                advice: "Remove the key \(keyID.shortHex) with 'repository key remove'")
        }
        return id
    }

    /// Removes the key that ``removableKey(_:)`` finds. The caller holds an exclusive lock. Returns its ID.
    package func removeKey(_ prefix: String) throws -> SHA256Digest {
        let key = try removableKey(prefix)
        try backend.remove(key)
        return key.id
    }

    /// The key whose ID begins with `prefix`, if it may be removed.
    ///
    /// Throws `BackupError`: `notFound`, `usage` if several begin so, `refused` for the one that is in use.
    package func removableKey(_ prefix: String) throws -> ObjectKey {
        let all = try backend.list(.key).map(\.key)
        let found = all.filter { $0.fileName.hasPrefix(prefix.lowercased()) }
        let shown = printable(prefix.utf8)
        guard !prefix.isEmpty, let key = found.first else {
            throw BackupError(
                .notFound, "no key's ID begins with '\(shown)'", advice: "'repository key list' shows them")
        }
        guard found.count == 1 else {
            throw BackupError(
                .usage, "the IDs of \(found.count) keys begin with '\(shown)'", advice: "Give more digits")
        }
        guard key.id != keyID else {
            throw BackupError(
                .refused, "the key \(key.id.shortHex) is the one that has opened the repository",
                advice: "Use the password of another key, or change this one with 'repository key passwd'")
        }
        // Somebody with the other password may have removed this one since: then none would be left.
        guard all.contains(.key(keyID)) else {
            throw BackupError(.refused, "the key \(keyID.shortHex), which has opened the repository, is there no more")
        }
        return key
    }

    // MARK: Files

    static func keyFile(_ key: ObjectKey, of backend: any Backend) throws -> KeyFile {
        let bytes = try backend.read(key, limit: KeyFile.sizeLimit)
        guard SHA256.digest(of: bytes) == key.id else { throw FormatError("it is damaged") }
        return try KeyFile(bytes)
    }

    /// Stores a key and opens it, as it is stored. One that does not open is removed.
    private func storeKey(_ password: Password, _ new: NewKey, now: LocalTime) throws -> SHA256Digest {
        let file = try KeyFile(
            keys, password: password, new.parameters, created: now, userName: new.userName, hostName: new.hostName
        ).bytes
        let key = ObjectKey.key(SHA256.digest(of: file))
        do {
            try backend.create(key, file)
            guard let opened = try Self.keyFile(key, of: backend).open(with: password), opened.json == keys.json else {
                throw FormatError("the new key does not open the repository")
            }
        } catch {
            // After an error it may be there all the same.
            _ = backend.remove([key])
            throw error
        }
        return key.id
    }
}
