import Model
import Synchronization

/// A pack that is stored while it grows: its name, the hash of all its bytes, is known when the last of them is. Until then nobody
/// sees it. Calls come one after the other; it ends with ``finish(as:)`` or ``discard()``.
package protocol ObjectUpload: AnyObject, Sendable {
    /// Adds bytes at the end. Throws `noSpace`, `denied`, `unavailable`, `other`.
    func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError)

    /// Makes it an object: as ``Backend/create(_:_:)`` does. After an error it is discarded.
    func finish(as key: ObjectKey) throws(StorageError)

    /// Nothing is left of it, or what no listing shows.
    func discard()
}

/// For places that take objects as a whole: the bytes wait in memory.
final class BufferedUpload: ObjectUpload {
    private let backend: any Backend
    private let bytes = Mutex<[UInt8]>([])

    init(_ backend: any Backend) {
        self.backend = backend
    }

    func append(_ bytes: UnsafeRawBufferPointer) { self.bytes.withLock { $0.append(contentsOf: bytes) } }

    func finish(as key: ObjectKey) throws(StorageError) {
        let all = bytes.withLock { $0 }
        discard()
        try backend.create(key, all)
    }

    func discard() { bytes.withLock { $0 = [] } }
}
