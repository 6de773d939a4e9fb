import Model

/// One item: a path of the app, `.` for the whole app, or a pattern for names at its top level such as `*.yaml`.
public struct ItemPattern: Hashable, Sendable, CustomStringConvertible {
    /// As written.
    public let text: String
    /// Where it was written: `default`, `backup.yaml`, `--item`, `--include-logs`.
    public let origin: String
    enum Form: Hashable, Sendable {
        case path(EntryPath)
        /// For names at the top level.
        case names(ExclusionRule)
    }
    let form: Form

    /// Throws a ``BackupError`` with code `usage` if `text` is no path inside the app.
    public init(_ text: String, origin: String) throws {
        self.text = text
        self.origin = origin
        if text.contains(where: { "*?[".contains($0) }) {
            guard !text.contains("/"), !text.hasPrefix("!") else {
                throw Self.refused(text, "a pattern is for names at the top level")
            }
            do {
                form = .names(try ExclusionRule("/" + text, origin: origin))
            } catch {
                throw Self.refused(text, "\(error.reason)")
            }
            return
        }
        var trimmed = text[...]
        while trimmed.hasPrefix("./") { trimmed = trimmed.dropFirst(2) }
        while trimmed.hasSuffix("/"), trimmed != "/" { trimmed = trimmed.dropLast() }
        guard !text.isEmpty, let path = EntryPath(trimmed.isEmpty ? "." : String(trimmed)) else {
            throw Self.refused(text, "an item is a path inside the app, without '..'")
        }
        form = .path(path)
    }

    /// The item at a path.
    init(_ path: EntryPath, origin: String) {
        text = path.description
        self.origin = origin
        form = .path(path)
    }

    private static func refused(_ text: String, _ reason: String) -> BackupError {
        BackupError(.usage, "'\(printable(text.utf8))' cannot be an item: \(reason)")
    }

    public var description: String { printable(text.utf8) }
}

extension ItemPattern {
    /// The original's eight items, and the configuration and data without which a restore is worthless.
    public static let defaults = make(
        [
            "app.py", "requirements.txt", "run.py", "templates", "static", "README.md", "update.sh", "install.sh",
            "config.json", "custom_modes.json", "*.ini", "*.yaml", "*.toml", ".env", "chasti_pi", "plugins", "data",
            "uploads",
        ], origin: "default")

    static let logs = make(["logs", "*.log"], origin: "--include-logs")

    private static func make(_ texts: [String], origin: String) -> [ItemPattern] {
        texts.compactMap { text in
            do { return try ItemPattern(text, origin: origin) } catch { return nil }
        }
    }
}
