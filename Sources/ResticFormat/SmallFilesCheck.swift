import Codec
import Model
import Storage

/// Checks what is neither a snapshot nor an index nor a pack: configuration, keys and locks.
struct SmallFilesCheck {
    /// Of a lock, which has a few hundred bytes.
    private static let lockLimit = 1 << 20

    private let repository: Repository

    init(_ repository: Repository) {
        self.repository = repository
    }

    func findings() throws -> [Finding] {
        var findings: [Finding] = []
        try check(.configuration, &findings) {
            let message = try repository.backend.read(.configuration, limit: RepositoryConfiguration.sizeLimit)
            var cipher = MessageCipher(repository.keys)
            let found = try RepositoryConfiguration(json: try cipher.open(message))
            guard found == repository.configuration else { throw FormatError("it has changed") }
        }
        for key in try repository.backend.list(.key).map(\.key) {
            try check(key, &findings) {
                let bytes = try repository.backend.read(key, limit: KeyFile.sizeLimit)
                guard SHA256.digest(of: bytes) == key.id else {
                    throw FormatError("its bytes have not the hash that it is named by")
                }
                _ = try KeyFile(bytes)
            }
        }
        var coder = repository.coder()
        for lock in try repository.backend.list(.lock) {
            if lock.size == 0 {
                findings.append(Finding(.note, "\(lock.key)", "it is empty: an interrupted upload"))
                continue
            }
            var lockFindings: [Finding] = []
            try check(lock.key, &lockFindings) {
                _ = try readObject(
                    try repository.document(lock.key, limit: Self.lockLimit, &coder), what: "the lock")
            }
            // Locks come and go.
            if try isThere(lock.key) { findings += lockFindings }
        }
        return findings
    }

    private func check(_ key: ObjectKey, _ findings: inout [Finding], _ body: () throws -> Void) throws {
        do {
            try body()
        } catch let error as FormatError {
            findings.append(Finding(.damage, "\(key)", error.description))
        } catch let error as MessageError {
            findings.append(Finding(.damage, "\(key)", error.description))
        } catch let error as StorageError where error.concernsObject {
            findings.append(Finding(.damage, "\(key)", error.description))
        }
    }

    private func isThere(_ key: ObjectKey) throws(StorageError) -> Bool {
        do throws(StorageError) {
            _ = try repository.backend.info(key)
            return true
        } catch {
            if error.code == .notFound { return false }
            throw error
        }
    }
}
