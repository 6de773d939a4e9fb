import Codec
import Model

extension BackupMetadata {
    /// Larger files are refused before they are read.
    package static let sizeLimit = 64 << 20
    /// What the original tool writes; any other key is one of ours.
    private static let originalKeys: Set<String> = [
        "backup_name", "created_at", "version", "items_backed_up", "excluded_items",
    ]
    private static let limits = JSONLimits(bytes: sizeLimit, depth: 16, values: 1_000_000)

    /// The file's bytes.
    package func encoded() -> [UInt8] { json.encode(pretty: true) }

    package var json: JSONValue {
        var members: [JSONMember] = [
            .init("backup_name", .string(backupName)),
            .init("created_at", .string(time.naiveISO)),
            .init("version", "1.0"),
            .init(
                "items_backed_up",
                .array(items.map { .string($0.isRoot ? "." : String(decoding: $0.bytes, as: UTF8.self)) })),
            .init("excluded_items", .array(excludedItems.map { .string($0) })),
        ]
        if let details { members += details.members(time, format: format.rawValue) }
        return .object(members)
    }

    /// Reads untrusted bytes: everything is checked once, here.
    package static func read(_ bytes: [UInt8]) throws(MetadataError) -> BackupMetadata {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.read(bytes, limits: limits)
        } catch {
            throw MetadataError("it is not JSON: \(error)")
        }
        return try read(value)
    }

    /// The same for what was read as JSON already.
    package static func read(_ value: JSONValue) throws(MetadataError) -> BackupMetadata {
        guard let members = value.objectValue else { throw MetadataError("it is no JSON object") }
        let fields = MetadataFields(value)
        let name = try fields.string("backup_name")
        var items: [EntryPath] = []
        for text in try fields.strings("items_backed_up") {
            guard let path = EntryPath(text) else {
                throw MetadataError("'items_backed_up' names no path: \(printable(text.utf8.prefix(100)))")
            }
            items.append(path)
        }
        if members.allSatisfy({ originalKeys.contains($0.key) }) {
            let created = try fields.string("created_at")
            guard let time = LocalTime(naiveISO: created, offset: 0) else {
                throw MetadataError("'created_at' is no time")
            }
            return BackupMetadata(
                backupName: name, time: time, items: items, excludedItems: try fields.strings("excluded_items"),
                details: nil)
        }
        guard let time = LocalTime(rfc3339: try fields.string("time")) else { throw MetadataError("'time' is no time") }
        var metadata = BackupMetadata(
            backupName: name, time: time, items: items, excludedItems: try fields.strings("excluded_items"),
            details: try Details(fields))
        metadata.format = BackupFormat(rawValue: try fields.string("format")) ?? .folder
        return metadata
    }

    /// Keys and values as text for people, in the file's order, without the lists that have a display of their own.
    package var readable: [(key: String, value: String)] {
        var members = [
            JSONMember("backup_name", .string(backupName)), .init("created_at", .string(time.naiveISO)),
        ]
        members += details?.members(time, format: format.rawValue) ?? []
        return members.compactMap { member in
            switch member.value {
            case .string(let text): (member.key, printable(text.utf8))
            case .bool(let value): (member.key, value ? "yes" : "no")
            case .integer(let number): (member.key, String(number))
            case .unsigned(let number): (member.key, String(number))
            case .array(let values) where !values.isEmpty && values.allSatisfy({ $0.stringValue != nil }):
                (member.key, values.compactMap(\.stringValue).map { printable($0.utf8) }.joined(separator: ", "))
            default: nil
            }
        }
    }

    /// Whether this has just the keys that the original tool writes: then there is no manifest (a naive local time, whose
    /// offset the caller knows).
    package var isOfOriginal: Bool { details == nil }
}

extension BackupMetadata.Details {
    fileprivate func members(_ time: LocalTime, format: String) -> [JSONMember] {
        [
            .init("time", .string(time.rfc3339)),
            .init("format", .string(format)),
        ] + (isEncrypted ? [.init("encrypted", true)] : []) + [
            .init("host", .string(host)),
            .init("tool_version", .string(toolVersion)),
            .init("trigger", .string(trigger.rawValue)),
            .init("tags", .array(tags.map { .string($0) })),
            .init("absent_items", .array(absentItems.map { .string($0) })),
            .init("rules", .array(rules.map(\.json))),
            .init("incomplete", .bool(isIncomplete)),
            .init("skipped", .array(skipped.map(\.json))),
            .init("databases", .array(databases.map(\.json))),
            .init("entries", .integer(Int64(entries))),
            .init("files", .integer(Int64(files))),
            .init("bytes", .unsigned(bytes)),
            .init("bytes_written", .unsigned(bytesWritten)),
            .init("shared_files", .integer(Int64(sharedFiles))),
            .init("parent", parent.map { .string($0) } ?? .null),
            .init("sharing", .string(sharing.rawValue)),
            .init("full", .bool(isFull)),
            .init("last_full", lastFull.map { .string($0.rfc3339) } ?? .null),
            .init("milliseconds", .unsigned(milliseconds)),
        ]
    }

    fileprivate init(_ fields: MetadataFields) throws(MetadataError) {
        host = try fields.string("host")
        toolVersion = try fields.string("tool_version")
        trigger = BackupTrigger(rawValue: try fields.string("trigger")) ?? .manual
        tags = try fields.strings("tags")
        absentItems = try fields.strings("absent_items")
        rules = try fields.list("rules") { .init(json: $0) }
        skipped = try fields.list("skipped") { Skipped(json: $0) }
        databases = try fields.list("databases") { StoredDatabase(json: $0) }
        entries = Int(try fields.number("entries", limit: UInt64(Int32.max)))
        files = Int(try fields.number("files", limit: UInt64(Int32.max)))
        bytes = try fields.number("bytes")
        bytesWritten = try fields.number("bytes_written")
        sharedFiles = Int(try fields.number("shared_files", limit: UInt64(Int32.max)))
        parent = fields.value["parent"]?.stringValue
        sharing = BackupMetadata.Sharing(rawValue: try fields.string("sharing")) ?? .none
        isFull = fields.value["full"]?.boolValue ?? false
        lastFull = fields.value["last_full"]?.stringValue.flatMap { LocalTime(rfc3339: $0) }
        milliseconds = try fields.number("milliseconds")
        isEncrypted = fields.value["encrypted"]?.boolValue ?? false
        if isEncrypted, skipped.isEmpty { isIncompleteElsewhere = fields.value["incomplete"]?.boolValue ?? false }
        guard isIncomplete == fields.value["incomplete"]?.boolValue else {
            throw MetadataError("'incomplete' contradicts 'skipped'")
        }
    }
}

/// Picks checked values out of an object.
private struct MetadataFields {
    let value: JSONValue

    init(_ value: JSONValue) {
        self.value = value
    }

    func string(_ key: String) throws(MetadataError) -> String {
        guard let text = value[key]?.stringValue else { throw MetadataError("'\(key)' is missing or no text") }
        return text
    }

    func strings(_ key: String) throws(MetadataError) -> [String] {
        try list(key) { $0.stringValue }
    }

    func list<Element>(
        _ key: String, _ read: (JSONValue) -> Element?
    ) throws(MetadataError) -> [Element] {
        guard let values = value[key]?.arrayValue else { throw MetadataError("'\(key)' is missing or no list") }
        let elements = values.compactMap(read)
        guard elements.count == values.count else { throw MetadataError("'\(key)' holds something it cannot hold") }
        return elements
    }

    func number(_ key: String, limit: UInt64 = .max) throws(MetadataError) -> UInt64 {
        guard let number = value[key]?.unsignedValue, number <= limit else {
            throw MetadataError("'\(key)' is missing or no such number")
        }
        return number
    }
}

extension BackupMetadata.Details.Rule {
    /// Patterns are bytes: those that are not UTF-8 stand in base64 beside their readable form.
    fileprivate var json: JSONValue {
        var members = [JSONMember("pattern", .string(printableUnlessUTF8(pattern))), .init("origin", .string(origin))]
        if String(validating: pattern, as: UTF8.self) == nil {
            members.append(.init("pattern_base64", .string(Base64.string(pattern))))
        }
        return .object(members)
    }

    fileprivate init?(json: JSONValue) {
        guard let bytes = bytes(json, "pattern"), let origin = json["origin"]?.stringValue else { return nil }
        self.init(pattern: bytes, origin: origin)
    }
}

extension EntryPath {
    /// Where the bytes are not UTF-8, they stand in base64 beside their readable form.
    var jsonMembers: [JSONMember] {
        let bytes = isRoot ? [UInt8(ascii: ".")] : bytes
        var members = [JSONMember("path", .string(printableUnlessUTF8(bytes)))]
        if String(validating: bytes, as: UTF8.self) == nil {
            members.append(.init("path_base64", .string(Base64.string(bytes))))
        }
        return members
    }

    init?(json: JSONValue) {
        guard let bytes = Containers.bytes(json, "path") else { return nil }
        self.init(bytes)
    }
}

extension StoredDatabase {
    fileprivate var json: JSONValue {
        .object(
            path.jsonMembers + [
                .init("pages", .unsigned(pages)), .init("page_size", .unsigned(pageSize)),
                .init("journal_mode", .string(journalMode)), .init("copied", .string(way.rawValue)),
            ])
    }

    fileprivate init?(json: JSONValue) {
        guard let path = EntryPath(json: json), let pages = json["pages"]?.unsignedValue,
            let pageSize = json["page_size"]?.unsignedValue, let journalMode = json["journal_mode"]?.stringValue,
            let way = json["copied"]?.stringValue.flatMap({ Way(rawValue: $0) })
        else { return nil }
        self.init(path: path, pages: pages, pageSize: pageSize, journalMode: journalMode, way: way)
    }
}

extension Skipped {
    fileprivate var json: JSONValue {
        var members = path.jsonMembers + [.init("reason", .string(reason)), .init("kept", .bool(isKept))]
        if let code { members.append(.init("code", .string(code.rawValue))) }
        return .object(members)
    }

    fileprivate init?(json: JSONValue) {
        guard let path = EntryPath(json: json), let reason = json["reason"]?.stringValue else { return nil }
        self.init(
            path: path, reason: reason, isKept: json["kept"]?.boolValue ?? false,
            code: json["code"]?.stringValue.flatMap { Code(rawValue: $0) })
    }
}

private func printableUnlessUTF8(_ bytes: [UInt8]) -> String {
    String(validating: bytes, as: UTF8.self) ?? printable(bytes)
}

private func bytes(_ json: JSONValue, _ key: String) -> [UInt8]? {
    if let encoded = json[key + "_base64"] { return encoded.stringValue.flatMap { Base64.decode($0.utf8) } }
    return json[key]?.stringValue.map { Array($0.utf8) }
}
