import Disk
import Model

/// A path, divided where its last name begins.
struct PathParts {
    let parent: String
    let name: String

    init(_ path: String) {
        var rest = Substring(path)
        while rest.count > 1, rest.hasSuffix("/") { rest.removeLast() }
        let slash = rest.lastIndex(of: "/")
        parent = slash.map { $0 == rest.startIndex ? "/" : String(rest[..<$0]) } ?? "."
        name = slash.map { String(rest[rest.index(after: $0)...]) } ?? String(rest)
    }
}

/// A new file that only its owner may read (promise 16).
struct SecretFile {
    let path: String
    private let what: String
    private let directory: Directory
    private let name: String

    /// Throws if the file is there already: it may hold the only copy of a password.
    init(path: String, what: String) throws {
        let parts = PathParts(path)
        self.path = path
        self.what = what
        name = parts.name
        do throws(DiskError) {
            directory = try Directory(path: parts.parent)
            guard try directory.status(of: name.utf8) == nil else { throw DiskError(.exists, "make", "", because: "") }
        } catch {
            throw Self.told(error, "\(what) \(printable(path.utf8))")
        }
    }

    func isSame(as other: SecretFile) throws -> Bool {
        try name == other.name && lies(in: other.directory)
    }

    func lies(in other: Directory) throws -> Bool {
        try directory.status().identity == other.status().identity
    }

    /// Durable when this returns.
    func create(_ bytes: [UInt8]) throws {
        let temporary = Array(".\(name.prefix(60)).tmp-\(ProcessIdentity.number)".utf8)
        do {
            var partial = PartialFile(temporary, in: directory)
            do {
                var file = try NewFile(temporary, in: directory)
                try file.write(bytes)
                try partial.publish(file, as: name)
            } catch {
                partial.discard()
                throw error
            }
        } catch let error as DiskError {
            throw Self.told(error, "\(what) \(printable(path.utf8))")
        }
    }

    /// Puts other content into the file that ``create(_:)`` made.
    func replace(_ bytes: [UInt8]) throws {
        do throws(DiskError) {
            try directory.replaceFile(name, with: bytes)
        } catch {
            throw Self.told(error, "\(what) \(printable(path.utf8))")
        }
    }

    func remove() throws {
        try directory.unlink(name.utf8)
        try directory.fsync()
    }

    private static func told(_ error: DiskError, _ what: String) -> BackupError {
        if error.code == .exists {
            return BackupError(.refused, "\(what) exists already", advice: "It is not overwritten: name another")
        }
        return BackupError(error.code == .noSpace ? .noSpace : .system, "cannot write \(what): \(error.reason)")
    }
}
