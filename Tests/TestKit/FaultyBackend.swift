import Model
import Storage
import Synchronization

/// What goes wrong with a call to a backend.
package enum StorageFault: Sendable {
    /// The call does nothing and fails.
    case fail(StorageError.Code)
    /// The call is done, and fails all the same: the answer was lost.
    case failDone(StorageError.Code)
    /// The process ends before the call: nothing is done, by it or any later one.
    case kill
    /// The process ends after the call.
    case killDone
    /// A read finds fewer bytes than there are.
    case short
    /// A read brings a byte that is another one.
    case flip
}

/// Another backend, with faults at chosen calls. All calls are counted, or those that change something.
package final class FaultyBackend: Backend {
    package enum Counted: Sendable {
        case all
        /// Creating, each step of an upload, and removing, each object for itself.
        case changing
    }

    private struct State {
        var calls = 0
        var fault: (number: Int, StorageFault)?
        var isKilled = false
        /// Bytes of objects that are read as others.
        var flipped: [ObjectKey: Int] = [:]
    }

    private let base: any Backend
    private let counted: Counted
    private let state = Mutex(State())

    package init(_ base: any Backend, counting counted: Counted = .changing) {
        self.base = base
        self.counted = counted
    }

    /// Counted calls until now, from the last ``inject(_:at:)`` on.
    package var calls: Int { state.withLock { $0.calls } }

    /// The counted call `number`, the next one being 0, goes wrong; nothing does for nil.
    package func inject(_ fault: StorageFault?, at number: Int = 0) {
        state.withLock { state in
            (state.calls, state.isKilled) = (0, false)
            state.fault = fault.map { (number, $0) }
        }
    }

    /// From now on the byte at `offset` of an object is read as another one; none for nil.
    package func flip(_ key: ObjectKey, at offset: Int?) { state.withLock { $0.flipped[key] = offset } }

    // MARK: Faults

    private func fault(_ kind: Counted) -> StorageFault? {
        state.withLock { state in
            if state.isKilled { return .kill }
            guard counted == .all || kind == .changing else { return nil }
            defer { state.calls += 1 }
            guard let (number, fault) = state.fault, number == state.calls else { return nil }
            switch fault {
            case .kill, .killDone: state.isKilled = true
            default: state.fault = nil
            }
            return fault
        }
    }

    /// Does a call as it is to go.
    fileprivate func call<R>(
        _ kind: Counted, _ operation: String, _ subject: @autoclosure () -> String,
        _ body: () throws(StorageError) -> R
    ) throws(StorageError) -> R {
        guard let fault = fault(kind) else { return try body() }
        switch fault {
        case .fail(let code): throw StorageError(code, operation, subject(), because: "a test says so")
        case .failDone(let code):
            _ = try body()
            throw StorageError(code, operation, subject(), because: "a test says so, and it is done")
        case .kill: throw StorageError(.other, operation, subject(), because: "the process has ended")
        case .killDone:
            _ = try body()
            throw StorageError(.other, operation, subject(), because: "the process has ended after it")
        case .short: throw StorageError(.tooShort, operation, subject(), because: "a test says so")
        case .flip: return try body()
        }
    }

    // MARK: Calls

    package var place: String { base.place }
    package var abilities: BackendAbilities { base.abilities }

    package func prepare() throws(StorageError) {
        try call(.changing, "prepare", place) { () throws(StorageError) in try base.prepare() }
    }

    package func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        try call(.all, "list", kind.name) { () throws(StorageError) in try base.list(kind, from: start) }
    }

    package func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo {
        try call(.all, "look up", "\(key)") { () throws(StorageError) in try base.info(key) }
    }

    package func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        let flips = state.withLock { state in
            if counted == .all, case (state.calls, .flip)? = state.fault { return true }
            return false
        }
        try call(.all, "read", "\(key)") { () throws(StorageError) in try base.read(key, at: offset, into: target) }
        if flips, !target.isEmpty { target[target.count / 2] ^= 0x10 }
        if let flipped = state.withLock({ $0.flipped[key] }), flipped >= Int(offset),
            flipped - Int(offset) < target.count
        {
            target[flipped - Int(offset)] ^= 1 << UInt8(flipped % 8)
        }
    }

    package func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try call(.changing, "create", "\(key)") { () throws(StorageError) in try base.create(key, bytes) }
    }

    package func upload() throws(StorageError) -> any ObjectUpload {
        let upload = try call(.changing, "create", "a pack") { () throws(StorageError) in try base.upload() }
        return FaultyUpload(upload, self)
    }

    package func removeLeftovers() throws(StorageError) {
        try call(.changing, "remove", "leftovers") { () throws(StorageError) in try base.removeLeftovers() }
    }

    package func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] {
        var failures: [ObjectKey: StorageError] = [:]
        for key in keys {
            do throws(StorageError) {
                try call(.changing, "remove", "\(key)") { () throws(StorageError) in try base.remove(key) }
            } catch {
                failures[key] = error
            }
        }
        return failures
    }

    fileprivate var isKilled: Bool { state.withLock { $0.isKilled } }
}

private final class FaultyUpload: ObjectUpload {
    private let base: any ObjectUpload
    private let backend: FaultyBackend

    init(_ base: any ObjectUpload, _ backend: FaultyBackend) {
        self.base = base
        self.backend = backend
    }

    func append(_ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        try backend.call(.changing, "write", "a pack") { () throws(StorageError) in try base.append(bytes) }
    }

    func finish(as key: ObjectKey) throws(StorageError) {
        do throws(StorageError) {
            try backend.call(.changing, "create", "\(key)") { () throws(StorageError) in try base.finish(as: key) }
        } catch {
            // As is promised.
            discard()
            throw error
        }
    }

    /// A process that has ended discards nothing.
    func discard() { if !backend.isKilled { base.discard() } }
}
