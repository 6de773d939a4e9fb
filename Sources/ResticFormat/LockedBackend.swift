import Model
import Storage

/// A backend on which nothing is changed unless a lock is held: it is checked before each change.
///
/// A lost lock is told as a `StorageError`, since a backend can tell nothing else; what ``Repository/withLock(_:for:patience:times:in:_:)``
/// throws then is the lock's own error.
final class LockedBackend: Backend {
    private let base: any Backend
    private let lock: RepositoryLock

    init(_ base: any Backend, _ lock: RepositoryLock) {
        self.base = base
        self.lock = lock
    }

    private func check(_ operation: String, _ subject: String) throws(StorageError) {
        do {
            try lock.check()
        } catch {
            let reason = error is Stopped ? "the run was asked to stop" : (error as? BackupError)?.message
            throw StorageError(.other, operation, subject, because: reason ?? "\(error)")
        }
    }

    var place: String { base.place }
    var abilities: BackendAbilities { base.abilities }

    func prepare() throws(StorageError) {
        try check("prepare", place)
        try base.prepare()
    }

    func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        try base.list(kind, from: start)
    }

    func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo { try base.info(key) }

    func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        try base.read(key, at: offset, into: target)
    }

    func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try check("create", "\(key)")
        try base.create(key, bytes)
    }

    /// Begun before the lock is confirmed: what is not finished nobody sees, and the wait goes on beside it.
    func upload() throws(StorageError) -> any ObjectUpload { Upload(try base.upload(), self) }

    func removeLeftovers() throws(StorageError) {
        try check("remove", "what unfinished uploads left in \(place)")
        try base.removeLeftovers()
    }

    func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] {
        do throws(StorageError) {
            try check("remove", keys.count == 1 ? "\(keys[0])" : "\(keys.count) objects")
        } catch {
            return Dictionary(keys.map { ($0, error) }) { first, _ in first }
        }
        return base.remove(keys)
    }

    /// What is not finished is seen by nobody: the lock counts at the end.
    private final class Upload: ObjectUpload {
        private let base: any ObjectUpload
        private let backend: LockedBackend

        init(_ base: any ObjectUpload, _ backend: LockedBackend) {
            self.base = base
            self.backend = backend
        }

        func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError) { try base.append(bytes) }

        func finish(as key: ObjectKey) throws(StorageError) {
            do throws(StorageError) {
                try backend.check("create", "\(key)")
            } catch {
                base.discard()
                throw error
            }
            try base.finish(as: key)
        }

        func discard() { base.discard() }
    }
}
