import Model

/// What a backend knows of an object without reading it.
package struct ObjectInfo: Equatable, Sendable {
    package let key: ObjectKey
    package let size: UInt64

    package init(key: ObjectKey, size: UInt64) {
        self.key = key
        self.size = size
    }
}

/// Some of the objects of a kind.
package struct ObjectPage: Sendable {
    package let objects: [ObjectInfo]
    /// Where the next page begins; nil after the last one.
    package let next: PageStart?

    package init(objects: [ObjectInfo], next: PageStart?) {
        self.objects = objects
        self.next = next
    }
}

/// Where a page of a listing begins. Only the backend that made it knows what it means.
package struct PageStart: Hashable, Sendable {
    package let token: String

    package init(_ token: String) {
        self.token = token
    }
}

/// What a place lets its users do beyond adding and reading objects.
package struct BackendAbilities: OptionSet, Sendable {
    package let rawValue: Int
    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Objects can be removed. Without it a place is append-only: locks alone can be.
    package static let remove = BackendAbilities(rawValue: 1)
    /// `create` cannot replace an object, whoever else creates it at that moment. Without it, it looks first.
    package static let exclusiveCreate = BackendAbilities(rawValue: 2)
    /// Objects can be kept from being removed for a time.
    package static let objectLock = BackendAbilities(rawValue: 4)
    /// A listing holds whatever anyone's `create` had returned for before it began. Without it, that may take a moment.
    package static let consistentListing = BackendAbilities(rawValue: 8)
}

/// Where the objects of one repository live: a directory, a server, another backend with something added.
///
/// All calls may come from several threads at once. An object, once there, never changes; it is there as a whole or not at all.
/// A call that throws may be repeated. What is promised here is held by one suite of tests for all backends.
package protocol Backend: Sendable {
    /// What to show to people: a path or an address, safe to print and without user names, passwords and tokens.
    var place: String { get }

    var abilities: BackendAbilities { get }

    /// Makes what the place needs before its first object; does nothing where it is made already.
    func prepare() throws(StorageError)

    /// Some objects of `kind` with their sizes, in no promised order, beginning with the first page for nil. A page may be
    /// empty. All pages together hold each object once that was there from the first page to the last. What is not an object
    /// (other names, unfinished uploads) is left out, and a place without objects has an empty listing.
    ///
    /// Throws `denied`, `unavailable`, `invalid` (a start that this backend did not make), `other`.
    func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage

    /// What is known of the object. Throws `notFound`, `denied`, `unavailable`, `other`.
    func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo

    /// Fills all of `target` with the object's bytes from `offset` on.
    ///
    /// Throws `tooShort` where the object ends before, with `target` in any state; `notFound`, `denied`, `unavailable`, `other`.
    func read(_ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer) throws(StorageError)

    /// Stores `bytes` as a new object: durable and visible to everyone when this returns. After an error there is no object,
    /// or a complete one.
    ///
    /// Throws `exists` where there is one already, which stays as it is; `denied`, `readOnly`, `noSpace`, `unavailable`, `other`.
    func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError)

    /// Begins a pack whose bytes come one after the other. Throws as ``create(_:_:)``.
    func upload() throws(StorageError) -> any ObjectUpload

    /// Removes what uploads left that were cut off. Nobody else may be adding objects.
    func removeLeftovers() throws(StorageError)

    /// Removes the objects, durably. An object that is not there counts as removed. Returns what failed; all others are removed.
    func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError]
}

extension Backend {
    package func upload() throws(StorageError) -> any ObjectUpload { BufferedUpload(self) }

    package func removeLeftovers() throws(StorageError) {}

    /// All objects of `kind`.
    package func list(_ kind: ObjectKind) throws(StorageError) -> [ObjectInfo] {
        var objects: [ObjectInfo] = []
        var start: PageStart?
        repeat {
            let page = try list(kind, from: start)
            objects += page.objects
            start = page.next
        } while start != nil
        return objects
    }

    /// The whole object, which may have at most `limit` bytes. Throws `invalid` if it has more.
    package func read(_ key: ObjectKey, limit: Int) throws(StorageError) -> [UInt8] {
        let size = try info(key).size
        guard size <= UInt64(limit) else {
            throw StorageError(
                .invalid, "read", "\(key)", because: "it has \(size) bytes, more than the limit of \(limit)")
        }
        return try read(key, at: 0, count: Int(size))
    }

    /// `count` bytes of the object from `offset` on.
    package func read(_ key: ObjectKey, at offset: UInt64, count: Int) throws(StorageError) -> [UInt8] {
        var failure: StorageError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            do throws(StorageError) {
                try read(key, at: offset, into: UnsafeMutableRawBufferPointer(buffer))
                filled = count
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    package func create(_ key: ObjectKey, _ bytes: [UInt8]) throws(StorageError) {
        try bytes.withRawBytes { bytes throws(StorageError) in try create(key, bytes) }
    }

    /// Removes one object.
    package func remove(_ key: ObjectKey) throws(StorageError) {
        if let error = remove([key])[key] { throw error }
    }
}
