import Storage
import Synchronization

/// A backend whose process dies after so many changes: later calls fail, all of them. Removing several objects is several changes.
final class KillingBackend: Backend {
    private let inner: any Backend
    private let left: Mutex<Int>

    init(_ inner: any Backend, after changes: Int) {
        self.inner = inner
        left = Mutex(changes)
    }

    /// Changes that were still allowed.
    var changesLeft: Int { left.withLock { $0 } }

    var place: String { inner.place }
    var abilities: BackendAbilities { inner.abilities }

    private func change() throws(StorageError) {
        let isAlive = left.withLock { left in
            left -= 1
            return left >= 0
        }
        if !isAlive { throw Self.death }
    }

    private func live() throws(StorageError) {
        if left.withLock({ $0 < 0 }) { throw Self.death }
    }

    private static var death: StorageError {
        StorageError(.unavailable, "reach", "the place", because: "the process was killed")
    }

    func prepare() throws(StorageError) { try inner.prepare() }

    func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        try live()
        return try inner.list(kind, from: start)
    }

    func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo {
        try live()
        return try inner.info(key)
    }

    func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        try live()
        try inner.read(key, at: offset, into: target)
    }

    func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try change()
        try inner.create(key, bytes)
    }

    func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] {
        var failures: [ObjectKey: StorageError] = [:]
        for key in keys {
            do throws(StorageError) {
                try change()
                failures.merge(inner.remove([key])) { $1 }
            } catch {
                failures[key] = error
            }
        }
        return failures
    }
}
