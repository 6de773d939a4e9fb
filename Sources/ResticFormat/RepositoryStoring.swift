import Codec
import Model
import Storage

extension Repository {
    /// Stores a document, which is read again before. Returns its ID.
    func store(
        _ json: UnsafeRawBufferPointer, _ tools: inout PackingTools, _ key: (SHA256Digest) -> ObjectKey
    ) throws -> SHA256Digest {
        let bytes = tools.coder.sealDocument(json, &tools.textCompressor)
        try bytes.withRawBytes { try tools.coder.verifyDocument($0, holds: json) }
        let id = SHA256.digest(of: bytes)
        try bytes.withUnsafeBytes { try create(key(id), $0) }
        return id
    }

    func storeIndex(_ packs: [IndexedPack], _ tools: inout PackingTools) throws {
        try IndexFile.withEncoded(packs) { json in
            _ = try store(json, &tools) { .index($0) }
        }
    }

    /// Stores an object. One that is there already, named by its hash, is one that an earlier try has stored.
    func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws {
        do throws(StorageError) {
            try backend.create(key, bytes)
        } catch {
            guard error.code == .exists, try backend.info(key).size == UInt64(bytes.count) else { throw error }
        }
    }

    /// What documents are stored with.
    func packingTools() -> PackingTools {
        PackingTools(coder: coder(), compressor: ZstdCompressor())
    }

    /// Removes objects. Returns what failed.
    func remove(_ keys: [ObjectKey]) -> [Finding] {
        let failures = keys.isEmpty ? [:] : backend.remove(keys)
        return failures.sorted { $0.key.path < $1.key.path }.map { key, error in
            Finding(.note, "\(key)", "it was not removed: \(error.reason)")
        }
    }

    /// Throws `BackupError.refused` where nothing can be removed.
    func requireRemoval(for verb: String) throws {
        guard backend.abilities.contains(.remove), !configuration.isAppendOnly else {
            throw BackupError(.refused, "the repository \(backend.place) is append-only: it cannot \(verb)")
        }
    }
}
