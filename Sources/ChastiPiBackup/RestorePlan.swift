import Containers
import Disk
import Model

/// What a restore will do; nothing of the app has been changed when this exists.
public struct RestorePlan: Sendable {
    public enum Action: String, Sendable, CaseIterable {
        /// Nothing stands there now.
        case add
        /// Something else stands there now.
        case replace
        /// Something stands there now that the backup does not hold.
        case remove
        /// A directory gets back its mode, owner, time or extended attributes.
        case attributes
    }

    /// One path that changes, with everything below it.
    public struct Change: Sendable {
        public let path: EntryPath
        public let action: Action
        /// Entries below the path, itself included, that are brought or removed.
        public let entries: Int
        /// Bytes that must be written.
        public let bytes: UInt64
    }

    /// An entry of the app that stays although the backup does not hold it.
    public struct Kept: Sendable {
        public let path: EntryPath
        public let reason: String
    }

    /// The name of the backup.
    public let backup: String
    /// In path order.
    public let changes: [Change]
    public let kept: [Kept]
    /// Entries that are right already.
    public let unchanged: Int
    /// Bytes that will be written.
    public var bytes: UInt64 { changes.lazy.map(\.bytes).saturatingSum() }

    let exchange: ExchangePlan
    /// What must be staged: indices into the backup's table, in path order.
    let staged: [Int]
    let scope: RestoreScope
    let live: EntryTable
    /// What of the backup we have no right to set, as clauses.
    let notKept: [String]

    public var isEmpty: Bool { changes.isEmpty }
}
