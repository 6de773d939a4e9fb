import Model
import Synchronization

/// Objects in memory: for tests, and for what need not outlive the process.
package final class MemoryBackend: Backend {
    package let place = "memory"
    package let abilities: BackendAbilities
    private let pageSize: Int
    private let objects = Mutex<[ObjectKey: [UInt8]]>([:])

    /// - Parameters:
    ///   - pageSize: objects in each page of a listing.
    ///   - promisesConsistency: whether listings are said to be consistent, which they are.
    package init(pageSize: Int = 1000, promisesConsistency: Bool = true) {
        abilities =
            promisesConsistency ? [.remove, .exclusiveCreate, .consistentListing] : [.remove, .exclusiveCreate]
        self.pageSize = max(1, pageSize)
    }

    package func prepare() {}

    package func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        // Pages go by names, so that what comes or goes meanwhile moves nothing else.
        let after = start?.token ?? ""
        let all = objects.withLock { objects in
            objects.filter { $0.key.kind == kind && $0.key.fileName > after }.map { ($0.key, $0.value.count) }
        }
        let page = all.sorted { $0.0.fileName < $1.0.fileName }.prefix(pageSize)
        let next = page.count < all.count ? page.last.map { PageStart($0.0.fileName) } : nil
        return ObjectPage(objects: page.map { ObjectInfo(key: $0.0, size: UInt64($0.1)) }, next: next)
    }

    package func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo {
        ObjectInfo(key: key, size: UInt64(try bytes(of: key, "look up").count))
    }

    package func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        let bytes = try bytes(of: key, "read")
        guard let offset = Int(exactly: offset), offset <= bytes.count, target.count <= bytes.count - offset else {
            throw StorageError(.tooShort, "read", "\(key)", because: "it has only \(bytes.count) bytes")
        }
        bytes.withUnsafeBytes {
            target.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + target.count]))
        }
    }

    package func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        let copy = Array(bytes)
        let isNew = objects.withLock { objects in
            guard objects[key] == nil else { return false }
            objects[key] = copy
            return true
        }
        if !isNew { throw StorageError(.exists, "create", "\(key)", because: "it exists already") }
    }

    package func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] {
        objects.withLock { objects in
            for key in keys { objects[key] = nil }
        }
        return [:]
    }

    private func bytes(of key: ObjectKey, _ operation: String) throws(StorageError) -> [UInt8] {
        guard let bytes = objects.withLock({ $0[key] }) else {
            throw StorageError(.notFound, operation, "\(key)", because: "it does not exist")
        }
        return bytes
    }
}
