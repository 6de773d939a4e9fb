import ChastiPiBackup
import Model

/// A JSON value to be printed; keys keep their order. Every document begins with `schema_version` and `command`.
indirect enum JSONOutput {
    case null
    case bool(Bool)
    case number(Int64)
    case unsigned(UInt64)
    case string(String)
    case array([JSONOutput])
    case object([(String, JSONOutput)])

    static let schemaVersion: Int64 = 1

    static func command(_ name: String, _ members: [(String, JSONOutput)]) -> JSONOutput {
        .object([("schema_version", .number(schemaVersion)), ("command", .string(name))] + members)
    }

    /// Indented, for documents.
    var document: String { text(indent: 0, isPretty: true) }
    /// On one line.
    var line: String { text(indent: 0, isPretty: false) }

    private func text(indent: Int, isPretty: Bool) -> String {
        switch self {
        case .null: return "null"
        case .bool(let value): return value ? "true" : "false"
        case .number(let value): return String(value)
        case .unsigned(let value): return String(value)
        case .string(let value): return Self.quoted(value)
        case .array(let values):
            return Self.block(
                "[", values.map { $0.text(indent: indent + 1, isPretty: isPretty) }, "]", indent, isPretty)
        case .object(let members):
            let lines = members.map { key, value in
                "\(Self.quoted(key)):\(isPretty ? " " : "")\(value.text(indent: indent + 1, isPretty: isPretty))"
            }
            return Self.block("{", lines, "}", indent, isPretty)
        }
    }

    private static func block(
        _ open: String, _ lines: [String], _ close: String, _ indent: Int, _ isPretty: Bool
    ) -> String {
        if lines.isEmpty { return open + close }
        guard isPretty else { return open + lines.joined(separator: ",") + close }
        let space = String(repeating: "  ", count: indent + 1)
        let end = String(repeating: "  ", count: indent)
        return "\(open)\n\(space)\(lines.joined(separator: ",\n\(space)"))\n\(end)\(close)"
    }

    private static func quoted(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7f:
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}

extension JSONOutput {
    /// `path` is readable; where the bytes are not UTF-8, `path_base64` has them.
    static func members(of path: EntryPath) -> [(String, JSONOutput)] {
        let members = [("path", text(of: path))]
        guard String(validating: path.bytes, as: UTF8.self) == nil else { return members }
        return members + [("path_base64", .string(base64(path.bytes)))]
    }

    /// The path where it is UTF-8, else what can be read of it.
    static func text(of path: EntryPath) -> JSONOutput {
        .string(path.isRoot ? "." : String(validating: path.bytes, as: UTF8.self) ?? printable(path.bytes))
    }

    static func time(_ time: LocalTime) -> JSONOutput { .string(time.rfc3339) }

    static func optional(_ number: UInt64?) -> JSONOutput { number.map { .unsigned($0) } ?? .null }

    /// `command`: the verb, if the arguments named one.
    static func error(_ error: BackupError, command: String?) -> JSONOutput {
        .object([
            ("schema_version", .number(schemaVersion)), ("command", command.map { .string($0) } ?? .null),
            ("error", .string(error.code.rawValue)), ("message", .string(error.message)),
            ("advice", .string(error.advice)),
        ])
    }

    /// What no item covers.
    static func uncovered(_ uncovered: [Uncovered]) -> JSONOutput {
        .array(uncovered.map { .object(members(of: $0.path) + [("bytes", .unsigned($0.bytes))]) })
    }

    static func event(_ event: Event) -> JSONOutput {
        var members: [(String, JSONOutput)] = [("schema_version", .number(Int64(Event.schemaVersion)))]
        switch event {
        case .started(let phase, let entries, let bytes):
            members += [
                ("event", .string("started")), ("phase", .string(phase.rawValue)), ("entries", .number(Int64(entries))),
                ("bytes", .unsigned(bytes)),
            ]
        case .progress(let phase, let entries, let bytes, let current):
            members += [
                ("event", .string("progress")), ("phase", .string(phase.rawValue)),
                ("entries", .number(Int64(entries))),
                ("bytes", .unsigned(bytes)), ("current", .string(current)),
            ]
        case .skipped(let entry): members += [("event", .string("skipped"))] + skipped(entry)
        case .warning(let text): members += [("event", .string("warning")), ("message", .string(text))]
        case .note(let text): members += [("event", .string("note")), ("message", .string(text))]
        }
        return .object(members)
    }

    static func skipped(_ skipped: Skipped) -> [(String, JSONOutput)] {
        members(of: skipped.path) + [
            ("reason", .string(skipped.reason)), ("kept", .bool(skipped.isKept)),
            ("code", skipped.code.map { .string($0.rawValue) } ?? .null),
        ]
    }

    private static func base64(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            var bits = group.reduce(0) { $0 << 8 | Int($1) }
            bits <<= 8 * (3 - group.count)
            for place in 0..<4 {
                text.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : "=")
            }
        }
        return text
    }
}
