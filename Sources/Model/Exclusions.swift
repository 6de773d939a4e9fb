/// Which entries are left out: rules in order, of which the last that matches decides.
///
/// An excluded directory takes everything below it along, whatever rules say about that (git's rule).
public struct Exclusions: Sendable {
    public let rules: [ExclusionRule]
    private let table: ExclusionTable

    public init(_ rules: [ExclusionRule] = []) {
        self.rules = rules
        table = ExclusionTable(rules)
    }

    /// What apps never want back: caches, environments and repositories that are made anew, and logs.
    public static let defaults = Exclusions(
        [
            "__pycache__", "*.pyc", "*.pyo", ".DS_Store", "*.log", ".git", ".venv", "venv", "node_modules",
        ].compactMap { try? ExclusionRule($0, origin: "default") })

    /// These rules, and after them `rules`, which so win.
    public func adding(_ rules: [ExclusionRule]) -> Exclusions {
        Exclusions(self.rules + rules)
    }

    /// Reads a `.backupignore` file; `origin` is what its rules give as theirs, with the line behind it.
    public static func parse(file bytes: [UInt8], origin: String) -> ExclusionFile {
        ExclusionFile(parsing: bytes, name: origin)
    }
}

// MARK: - One entry, in a walk

extension Exclusions {
    /// What the last rule that matches says.
    public struct Decision: Hashable, Sendable {
        public let rule: ExclusionRule
        public var isExcluded: Bool { !rule.isNegated }
    }

    /// For an entry of which all parents are known to be included; nil if no rule matches, which includes it.
    ///
    /// `path` has the form of an ``EntryPath``. Allocates nothing.
    public func decision(path: UnsafeRawBufferPointer, isDirectory: Bool) -> Decision? {
        table.lastMatch(path, isDirectory: isDirectory).map { Decision(rule: rules[$0]) }
    }

    public func decision(path: ArraySlice<UInt8>, isDirectory: Bool) -> Decision? {
        path.withUnsafeBytes { decision(path: $0, isDirectory: isDirectory) }
    }
}

// MARK: - Any path

extension Exclusions {
    /// Why a path is left out or kept.
    public struct Verdict: Hashable, Sendable {
        /// The path itself, or the directory above it that is excluded.
        public let path: EntryPath
        public let decision: Decision
    }

    /// Nil if no rule matches the path and none excludes a directory above it.
    public func verdict(on path: EntryPath, isDirectory: Bool) -> Verdict? {
        let bytes = path.bytes
        for slash in bytes.indices where bytes[slash] == UInt8(ascii: "/") {
            guard let decision = decision(path: bytes[..<slash], isDirectory: true), decision.isExcluded else {
                continue
            }
            return Verdict(path: EntryPath(unchecked: Array(bytes[..<slash])), decision: decision)
        }
        return decision(path: bytes[...], isDirectory: isDirectory).map { Verdict(path: path, decision: $0) }
    }

    /// The rule by which `path`, or a directory above it, is left out; nil if it is included.
    public func excludes(_ path: EntryPath, isDirectory: Bool) -> ExclusionRule? {
        guard let decision = verdict(on: path, isDirectory: isDirectory)?.decision, decision.isExcluded else {
            return nil
        }
        return decision.rule
    }
}
