/// The name of a backup: 1-128 ASCII letters, digits, `.`, `_` and `-`, of which the first is neither `.` nor `-`. So
/// it is one component of a path, never hidden, and never an option on a command line.
public struct BackupName: Hashable, Sendable {
    public let text: String

    public init(_ text: some StringProtocol) throws(BackupNameError) {
        let bytes = text.utf8
        guard let first = bytes.first else { throw BackupNameError(text, .empty) }
        guard bytes.count <= Self.longest else { throw BackupNameError(text, .tooLong) }
        guard bytes.allSatisfy(Self.isAllowed) else { throw BackupNameError(text, .character) }
        if first == UInt8(ascii: ".") || first == UInt8(ascii: "-") { throw BackupNameError(text, .firstCharacter) }
        self.text = String(text)
    }

    static let longest = 128

    private static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}

extension BackupName {
    /// Of names that we choose.
    public enum Prefix: String, CaseIterable, Sendable {
        /// Made by hand.
        case chastipi = "chastipi_backup"
        /// Made before an update.
        case auto = "auto_backup"
        /// The safety backup before a restore (promise 9).
        case preRestore = "pre_restore_backup"
    }

    /// Such as `auto_backup_20261125_140309`.
    public static func timestamped(prefix: Prefix, at time: LocalTime) -> BackupName {
        BackupName(unchecked: "\(prefix.rawValue)_\(time.compact)")
    }

    /// Of a name that we choose (`PREFIX_YYYYMMDD_HHMMSS`, with `_N` where it was taken), its prefix; nil for any other.
    public var defaultPrefix: Prefix? {
        Prefix.allCases.first { prefix in
            guard text.hasPrefix(prefix.rawValue + "_") else { return false }
            let parts = text.utf8.dropFirst(prefix.rawValue.utf8.count + 1)
                .split(separator: UInt8(ascii: "_"), omittingEmptySubsequences: false)
            return 2...3 ~= parts.count && parts[0].count == 8 && parts[1].count == 6
                && parts.allSatisfy { !$0.isEmpty && $0.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 } }
        }
    }

    /// Stands for a backup outside the backup directory whose folder has a name that backups cannot have.
    public static let unnamed = BackupName(unchecked: "unnamed")

    /// Of a name that we choose, the one without the number that stands behind it where it was taken; else this one.
    package var withoutNumber: BackupName {
        guard let prefix = defaultPrefix else { return self }
        let parts = text.dropFirst(prefix.rawValue.count + 1).split(separator: "_")
        return parts.count == 3 ? BackupName(unchecked: "\(prefix.rawValue)_\(parts[0])_\(parts[1])") : self
    }

    /// For a name that is taken: this one with `_2`, `_3`, … behind it.
    public func numbered(_ n: Int) throws(BackupNameError) -> BackupName {
        try BackupName("\(text)_\(n)")
    }

    /// This name, or if it is taken the first with a number behind it that is not. Throws if that would be too long for a name.
    package func firstFree(_ isTaken: (BackupName) throws -> Bool) throws -> BackupName {
        var (name, number) = (self, 1)
        while try isTaken(name) {
            number += 1
            name = try numbered(number)
        }
        return name
    }

    /// For text of which the form is known: no time makes it longer than 50 characters.
    private init(unchecked text: String) {
        self.text = text
    }
}

extension BackupName: Comparable, CustomStringConvertible {
    /// By bytes, which for the names that we choose is by time.
    public static func < (a: BackupName, b: BackupName) -> Bool {
        a.text < b.text
    }

    public var description: String { text }
}

/// Why a text is not the name of a backup.
public struct BackupNameError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Reason: Hashable, Sendable {
        case empty, tooLong, character, firstCharacter
    }

    public let name: String
    public let reason: Reason

    init(_ name: some StringProtocol, _ reason: Reason) {
        self.name = String(name)
        self.reason = reason
    }

    /// One line, safe to print.
    public var description: String {
        let shown = name.utf8.count > 140 ? printable(name.utf8.prefix(140)) + "…" : printable(name.utf8)
        let rule =
            switch reason {
            case .empty: "it is empty"
            case .tooLong: "it has \(name.utf8.count) bytes, \(BackupName.longest) are the most"
            case .character: "only letters, digits, '.', '_' and '-' are allowed"
            case .firstCharacter: "it must not start with '.' or '-'"
            }
        return "'\(shown)' can't be the name of a backup: \(rule)"
    }
}
