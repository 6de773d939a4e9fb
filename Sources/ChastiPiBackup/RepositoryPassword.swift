import Disk
import Model

/// Finds the password of a repository: the first that there is of what was named for this run, what the configuration says,
/// what the surroundings offer, and what somebody types.
struct RepositoryPasswordSearch {
    let place: RepositoryPlace
    let run: RunContext
    /// Longer ones are none.
    private static let limit = 4096

    /// Where it is found; nil where only somebody could type it.
    func origin() throws -> PasswordOrigin? {
        try run.repositoryPasswords.named ?? place.password ?? run.repositoryPasswords.usual()
    }

    /// What is known without asking anybody.
    func known() throws -> Password? {
        try origin().map { try read($0) }
    }

    func read(_ origin: PasswordOrigin) throws -> Password {
        switch origin {
        case .known(let password): return password
        case .file(let path): return try read(file: path)
        case .command(let words): return try read(command: words)
        }
    }

    private func read(file path: String) throws -> Password {
        let shown = printable(path.utf8)
        let bytes: [UInt8]
        do throws(DiskError) {
            let file = try OpenFile(path: path)
            let status = try file.status()
            if status.kind == .file, status.mode & 0o004 != 0 {
                run.report(.warning("every user can read the password file \(shown): 'chmod 600' keeps it yours"))
            }
            // It may be as long again in UTF-16.
            bytes = try file.readStream(limit: 2 * Self.limit)
        } catch {
            guard error.code != .invalid else {
                throw BackupError(.usage, "the password file \(shown) is longer than a password is")
            }
            throw BackupError(.usage, "cannot read the password file \(shown): \(error.reason)")
        }
        guard let password = Password(PasswordText.trimmed(PasswordText.decoded(bytes))) else {
            throw BackupError(.usage, "the password file \(shown) has no password")
        }
        return password
    }

    private func read(command words: [String]) throws -> Password {
        guard let program = ProgramRun(words: words), let name = words.first else {
            throw BackupError(.usage, "the password command has no program")
        }
        let shown = printable(name.utf8)
        do {
            let output = try program.output(limit: Self.limit, until: run.stop)
            guard let password = Password(PasswordText.trimmed(output)) else {
                throw ProgramRun.Failure("it printed no password")
            }
            return password
        } catch let error as ProgramRun.Failure {
            throw BackupError(.system, "the password command '\(shown)' failed: \(error)")
        }
    }
}

/// Passwords as texts, read as restic reads them.
enum PasswordText {
    private static let whiteSpace: [[UInt8]] = (UInt32(9)...0x3000).compactMap { value in
        guard let scalar = Unicode.Scalar(value), scalar.properties.isWhitespace else { return nil }
        return Array(String(Character(scalar)).utf8)
    }

    /// What a text file holds as UTF-8: a mark at its beginning goes, and where it says UTF-16 that is converted.
    static func decoded(_ bytes: [UInt8]) -> [UInt8] {
        if bytes.starts(with: [0xef, 0xbb, 0xbf]) { return Array(bytes.dropFirst(3)) }
        if bytes.starts(with: [0xff, 0xfe]) { return utf16(bytes.dropFirst(2)) { UInt16($1) << 8 | UInt16($0) } }
        if bytes.starts(with: [0xfe, 0xff]) { return utf16(bytes.dropFirst(2)) { UInt16($0) << 8 | UInt16($1) } }
        return bytes
    }

    private static func utf16(_ bytes: ArraySlice<UInt8>, _ unit: (UInt8, UInt8) -> UInt16) -> [UInt8] {
        var units: [UInt16] = []
        var rest = bytes
        while let first = rest.popFirst(), let second = rest.popFirst() { units.append(unit(first, second)) }
        return Array(String(decoding: units, as: UTF16.self).utf8)
    }

    /// Without the white space at both ends, of all of Unicode's kinds.
    static func trimmed(_ bytes: [UInt8]) -> [UInt8] {
        var rest = bytes[...]
        while let space = whiteSpace.first(where: { rest.starts(with: $0) }) { rest = rest.dropFirst(space.count) }
        while let space = whiteSpace.first(where: { rest.suffix($0.count).elementsEqual($0) }) {
            rest = rest.dropLast(space.count)
        }
        return Array(rest)
    }
}
