import Codec
import Model

/// A backup as a repository stores it.
///
/// Source: restic's design document, "Snapshots"; the order of fields and what is left out is that of restic's `restic.Snapshot`.
package struct Snapshot: Equatable, Sendable {
    package static let sizeLimit = 64 << 20

    package var time: LocalTime
    /// The snapshot that it was compared with.
    package var parent: SHA256Digest?
    /// ID of the root's tree.
    package var tree: SHA256Digest
    /// Absolute paths of what was backed up.
    package var paths: [String]
    package var hostName = ""
    package var userName = ""
    package var user: UInt32 = 0
    package var group: UInt32 = 0
    package var excludes: [String] = []
    package var tags: [String] = []
    /// The first version of a snapshot that was changed.
    package var original: SHA256Digest?
    package var programVersion = ""
    package var summary: Summary?
    /// What this program records of a backup besides. Restic ignores it, and drops it where it writes a snapshot anew.
    package var record: JSONValue?

    private static let recordKey = "chastipi_backup"

    /// What a backup did, and how long it took.
    package struct Summary: Equatable, Sendable {
        package var start: LocalTime
        package var end: LocalTime
        package var files = Changes()
        package var directories = Changes()
        package var dataBlobs: UInt64 = 0
        package var treeBlobs: UInt64 = 0
        /// Bytes of new blobs.
        package var dataAdded: UInt64 = 0
        /// Bytes that they take in packs.
        package var dataAddedPacked: UInt64 = 0
        package var totalFiles: UInt64 = 0
        package var totalBytes: UInt64 = 0

        package init(start: LocalTime, end: LocalTime) {
            self.start = start
            self.end = end
        }
    }

    package struct Changes: Equatable, Sendable {
        package var new: UInt64 = 0
        package var changed: UInt64 = 0
        package var unmodified: UInt64 = 0

        package init() {}
    }

    package init(time: LocalTime, tree: SHA256Digest, paths: [String]) {
        self.time = time
        self.tree = tree
        self.paths = paths
    }
}

// Reading.
extension Snapshot {
    /// Reads the decrypted and decompressed document. Needs `time`, `tree` and `paths`, as restic does.
    package init(json bytes: [UInt8]) throws(FormatError) {
        let json = SnapshotJSON(try readObject(bytes, what: "the snapshot"))
        guard let time = try json.time("time") else { throw FormatError("the snapshot has no time") }
        guard let tree = try json.id("tree") else { throw FormatError("the snapshot has no tree") }
        self.init(time: time, tree: tree, paths: try json.strings("paths"))
        parent = try json.id("parent")
        hostName = try json.string("hostname")
        userName = try json.string("username")
        user = UInt32(clamping: try json.number("uid"))
        group = UInt32(clamping: try json.number("gid"))
        excludes = try json.strings("excludes")
        tags = try json.strings("tags")
        original = try json.id("original")
        programVersion = try json.string("program_version")
        if let value = json.value("summary") { summary = try Summary(SnapshotJSON(value)) }
        record = json.value(Self.recordKey)
    }
}

extension Snapshot.Summary {
    fileprivate init(_ json: SnapshotJSON) throws(FormatError) {
        guard let start = try json.time("backup_start"), let end = try json.time("backup_end") else {
            throw FormatError("the snapshot's summary has no times")
        }
        self.init(start: start, end: end)
        files = try json.changes("files")
        directories = try json.changes("dirs")
        dataBlobs = try json.number("data_blobs")
        treeBlobs = try json.number("tree_blobs")
        dataAdded = try json.number("data_added")
        dataAddedPacked = try json.number("data_added_packed")
        totalFiles = try json.number("total_files_processed")
        totalBytes = try json.number("total_bytes_processed")
    }
}

/// The fields of a snapshot. What is missing or null is empty; what is of another type is an error.
private struct SnapshotJSON {
    private let json: JSONValue

    init(_ json: JSONValue) {
        self.json = json
    }

    func value(_ key: String) -> JSONValue? {
        json[key].flatMap { $0.isNull ? nil : $0 }
    }

    func string(_ key: String) throws(FormatError) -> String {
        guard let value = value(key) else { return "" }
        guard let text = value.stringValue else { throw wrong(key) }
        return text
    }

    func strings(_ key: String) throws(FormatError) -> [String] {
        guard let value = value(key) else { return [] }
        guard let elements = value.arrayValue else { throw wrong(key) }
        var strings: [String] = []
        for element in elements {
            guard let text = element.stringValue else { throw wrong(key) }
            strings.append(text)
        }
        return strings
    }

    func number(_ key: String) throws(FormatError) -> UInt64 {
        guard let value = value(key) else { return 0 }
        guard let number = value.unsignedValue else { throw wrong(key) }
        return number
    }

    func id(_ key: String) throws(FormatError) -> SHA256Digest? {
        let text = try string(key)
        if text.isEmpty { return nil }
        guard let id = SHA256Digest(hex: text.utf8) else { throw wrong(key) }
        return id
    }

    func time(_ key: String) throws(FormatError) -> LocalTime? {
        let text = try string(key)
        if text.isEmpty { return nil }
        guard let time = LocalTime(goText: text) else { throw wrong(key) }
        return time
    }

    func changes(_ prefix: String) throws(FormatError) -> Snapshot.Changes {
        var changes = Snapshot.Changes()
        changes.new = try number("\(prefix)_new")
        changes.changed = try number("\(prefix)_changed")
        changes.unmodified = try number("\(prefix)_unmodified")
        return changes
    }

    private func wrong(_ key: String) -> FormatError {
        FormatError("the snapshot's \(key) is of a wrong type")
    }
}

// Writing.
extension Snapshot {
    /// The document, as it is before it is compressed and encrypted.
    package var json: [UInt8] {
        var writer = CanonicalWriter(capacity: 4096)
        writer.literal("{\"time\":")
        writer.time(time)
        writer.id(",\"parent\":", parent)
        writer.id(",\"tree\":", tree)
        writer.list(",\"paths\":", paths)
        writer.text(",\"hostname\":", hostName)
        writer.text(",\"username\":", userName)
        if user != 0 { writer.number(",\"uid\":", UInt64(user)) }
        if group != 0 { writer.number(",\"gid\":", UInt64(group)) }
        if !excludes.isEmpty { writer.list(",\"excludes\":", excludes) }
        if !tags.isEmpty { writer.list(",\"tags\":", tags) }
        writer.id(",\"original\":", original)
        writer.text(",\"program_version\":", programVersion)
        if let summary { summary.write(to: &writer) }
        if let record {
            writer.literal(",\"chastipi_backup\":")
            writer.append(record.encode(pretty: false))
        }
        writer.literal("}")
        return Array(writer.bytes)
    }
}

extension Snapshot.Summary {
    fileprivate func write(to writer: inout CanonicalWriter) {
        writer.literal(",\"summary\":{\"backup_start\":")
        writer.time(start)
        writer.literal(",\"backup_end\":")
        writer.time(end)
        writer.number(",\"files_new\":", files.new)
        writer.number(",\"files_changed\":", files.changed)
        writer.number(",\"files_unmodified\":", files.unmodified)
        writer.number(",\"dirs_new\":", directories.new)
        writer.number(",\"dirs_changed\":", directories.changed)
        writer.number(",\"dirs_unmodified\":", directories.unmodified)
        writer.number(",\"data_blobs\":", dataBlobs)
        writer.number(",\"tree_blobs\":", treeBlobs)
        writer.number(",\"data_added\":", dataAdded)
        writer.number(",\"data_added_packed\":", dataAddedPacked)
        writer.number(",\"total_files_processed\":", totalFiles)
        writer.number(",\"total_bytes_processed\":", totalBytes)
        writer.literal("}")
    }
}

extension CanonicalWriter {
    fileprivate mutating func number(_ key: StaticString, _ value: UInt64) {
        literal(key)
        unsigned(value)
    }

    fileprivate mutating func id(_ key: StaticString, _ id: SHA256Digest?) {
        guard let id else { return }
        literal(key)
        digest(id)
    }

    fileprivate mutating func text(_ key: StaticString, _ text: String) {
        guard !text.isEmpty else { return }
        literal(key)
        string(Array(text.utf8))
    }

    fileprivate mutating func list(_ key: StaticString, _ texts: [String]) {
        literal(key)
        literal("[")
        for (index, text) in texts.enumerated() {
            if index > 0 { literal(",") }
            string(Array(text.utf8))
        }
        literal("]")
    }
}
