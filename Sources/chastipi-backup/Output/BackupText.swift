import ChastiPiBackup
import Model

/// How backups look in text and in JSON.
extension Backup {
    var stateText: String {
        var words: [String] = []
        switch state {
        case .unverified: break
        case .verified(let time): words.append("verified \(LocalTime(moment: time, offset: self.time.offset).readable)")
        case .damaged(let what): words.append("damaged: \(what)")
        }
        if isIncomplete { words.append("incomplete") }
        if isEncrypted { words.append("encrypted") }
        switch origin {
        case .ours: break
        case .original: words.append("original")
        case .plain: words.append(format == .repository ? "by restic" : "plain zip")
        }
        if trigger == .preRestore { words.append("safety backup") }
        return words.isEmpty ? "not verified" : words.joined(separator: ", ")
    }

    private var originName: String {
        switch origin {
        case .ours: "chastipi-backup"
        case .original: "original"
        case .plain: "plain"
        }
    }

    var json: JSONOutput {
        var stateName = "unverified"
        var verified = JSONOutput.null
        var damage = JSONOutput.null
        switch state {
        case .unverified: break
        case .verified(let moment):
            stateName = "verified"
            verified = .time(LocalTime(moment: moment, offset: time.offset))
        case .damaged(let what):
            stateName = "damaged"
            damage = .string(what)
        }
        return .object([
            ("name", .string(name.text)), ("time", isTimeKnown ? .time(time) : .null),
            ("created_at", isTimeKnown ? .string(time.naiveISO) : .null), ("format", .string(format.rawValue)),
            ("repository", repository.map { .string($0) } ?? .null),
            ("origin", .string(originName)),
            ("trigger", .string(trigger.rawValue)),
            ("tags", .array(tags.map { .string($0) })), ("state", .string(stateName)), ("verified", verified),
            ("damage", damage), ("incomplete", .bool(isIncomplete)), ("encrypted", .bool(isEncrypted)),
            ("entries", .optional(entries.map { UInt64($0) })),
            ("bytes", .optional(bytes)), ("bytes_alone", .optional(bytesAlone)),
            ("items_backed_up", .array(items.map { JSONOutput.text(of: $0) })),
            ("excluded_items", .array(excludedItems.map { .string($0) })),
            ("seal", seal.map { .string($0.hex) } ?? .null),
        ])
    }
}

/// Columns of text, each as wide as its widest cell.
struct TextTable {
    private var rows: [[String]]
    /// Columns that are flush right.
    private let numeric: Set<Int>

    init(_ head: [String]? = nil, numeric: Set<Int> = []) {
        rows = head.map { [$0] } ?? []
        self.numeric = numeric
    }

    mutating func add(_ row: [String]) { rows.append(row) }

    var lines: [String] {
        let widths = (0..<(rows.first?.count ?? 0)).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let space = String(repeating: " ", count: widths[column] - cell.count)
                let isLast = column == row.count - 1
                line += numeric.contains(column) ? space + cell : (isLast ? cell : cell + space)
                if !isLast { line += "  " }
            }
            return line
        }
    }
}

/// The first of many lines, and how many more there are.
func abbreviated(_ lines: [String], most: Int, verbose: Bool) -> [String] {
    guard !verbose, lines.count > most else { return lines }
    return lines.prefix(most) + ["… and \(lines.count - most) more (--verbose shows all)"]
}

/// `1 file`, `2 files`.
func counted(_ count: Int, _ word: String) -> String {
    if count == 1 { return "1 \(word)" }
    return "\(count) " + (word.hasSuffix("y") ? word.dropLast() + "ies" : word + "s")
}

func uncoveredLine(_ uncovered: [Uncovered]) -> [String] {
    guard !uncovered.isEmpty else { return [] }
    let list = uncovered.map { "\($0.path) (\(ByteCount($0.bytes)))" }.joined(separator: ", ")
    return ["not covered by any item and excluded by no rule: \(list)"]
}

extension Backup {
    /// Nothing tells when a snapshot was made that cannot be read.
    private var isTimeKnown: Bool {
        if case .damaged = state { return time.moment.seconds != 0 }
        return true
    }

    /// When it was made.
    var timeText: String { isTimeKnown ? time.readable : "unknown" }
}
