import Codec
import Disk
import Model

/// How a database and its log stood when they were backed up: equal again, they have not changed. What the database file
/// alone tells is not enough, since a write-ahead log holds what is newer.
package struct DatabaseState: Sendable, Equatable {
    /// What tells one state of a file from another.
    package struct File: Sendable, Equatable {
        let identity: FileIdentity
        let size: UInt64
        let modified: Timestamp
        let changed: Timestamp

        init(_ status: FileStatus) {
            self.init(status, changed: status.changed)
        }

        /// Without the time of the last change: SQLite, run by root, gives a log that it opens to the database's owner,
        /// whosever it is already.
        init(log status: FileStatus) {
            self.init(status, changed: status.modified)
        }

        private init(_ status: FileStatus, changed: Timestamp) {
            identity = status.identity
            size = status.size
            modified = status.modified
            self.changed = changed
        }

        fileprivate init?(json: JSONValue?) {
            guard let numbers = json?.arrayValue?.compactMap(\.stringValue).compactMap({ Int64($0) }),
                numbers.count == 7, let size = UInt64(exactly: numbers[2]),
                let modified = UInt32(exactly: numbers[4]), let changed = UInt32(exactly: numbers[6])
            else { return nil }
            identity = FileIdentity(
                device: UInt64(bitPattern: numbers[0]), inode: UInt64(bitPattern: numbers[1]))
            self.size = size
            self.modified = Timestamp(seconds: numbers[3], nanoseconds: modified)
            self.changed = Timestamp(seconds: numbers[5], nanoseconds: changed)
        }

        fileprivate var json: JSONValue {
            let numbers = [
                Int64(bitPattern: identity.device), Int64(bitPattern: identity.inode), Int64(size), modified.seconds,
                Int64(modified.nanoseconds), changed.seconds, Int64(changed.nanoseconds),
            ]
            return .array(numbers.map { .string(String($0)) })
        }

        /// A change so shortly before `reading` might not show in the times.
        fileprivate func isRacy(at reading: Timestamp) -> Bool {
            max(modified, changed) > reading.adding(seconds: -2)
        }
    }

    let database: File
    /// The write-ahead log or the rollback journal; nil if there is none, or an empty one.
    let log: File?
    /// The log's first bytes: a log that begins anew has others.
    let logHeader: [UInt8]

    /// Whether the log is one of SQLite's and holds something.
    package var hasLog: Bool { DatabaseFiles.isLogHeader(logHeader) }

    package init(database: FileStatus, log: FileStatus?, logHeader: [UInt8]) {
        self.database = File(database)
        self.log = log.map { File(log: $0) }
        self.logHeader = logHeader
    }

    /// Whether both files had rested for a while at `reading`, so that any later change shows.
    package func isSettled(at reading: Timestamp) -> Bool {
        !database.isRacy(at: reading) && log?.isRacy(at: reading) != true
    }
}

/// The states of all databases of a backup: a cache, without which they are copied again.
package struct DatabaseStates: Sendable {
    package var states: [EntryPath: DatabaseState] = [:]

    package init() {}

    /// Nil unless `bytes` belong to the manifest with `seal`.
    package init?(_ bytes: [UInt8], seal: SHA256Digest) {
        let value: JSONValue
        do throws(JSONError) { value = try JSONReader.read(bytes) } catch { return nil }
        guard value["seal"]?.stringValue == seal.hex, let list = value["databases"]?.arrayValue else { return nil }
        for element in list {
            guard let path = EntryPath(json: element), let database = DatabaseState.File(json: element["database"]),
                let header = element["log_header"]?.stringValue.flatMap({ Base64.decode($0.utf8) })
            else { return nil }
            states[path] = DatabaseState(
                database: database, log: DatabaseState.File(json: element["log"]), logHeader: header)
        }
    }

    package func encoded(seal: SHA256Digest) -> [UInt8] {
        let list = states.sorted { $0.key < $1.key }.map { path, state in
            JSONValue.object(
                path.jsonMembers + [
                    .init("database", state.database.json), .init("log", state.log?.json ?? .null),
                    .init("log_header", .string(Base64.string(state.logHeader))),
                ])
        }
        return JSONValue.object([.init("seal", .string(seal.hex)), .init("databases", .array(list))])
            .encode(pretty: true)
    }
}

extension DatabaseState {
    fileprivate init(database: File, log: File?, logHeader: [UInt8]) {
        self.database = database
        self.log = log
        self.logHeader = logHeader
    }
}
