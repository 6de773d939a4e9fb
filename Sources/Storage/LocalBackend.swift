import Disk
import Model
import Synchronization

/// Objects as files below a directory, as restic lays them out.
///
/// Source: restic's design document, "Repository Layout".
package final class LocalBackend: Backend {
    package let place: String
    /// Where a file system has no exclusive rename (NFS, FAT), `create` looks first: names are hashes, so that only two who make a
    /// repository in one place at one moment could notice. Listings are consistent where no other computer has a part in them.
    package let abilities: BackendAbilities
    private let root: Directory
    private let modes: Modes

    /// What new files and directories may be used for, and by whom.
    private struct Modes {
        let file: UInt16
        let directory: UInt16

        static let owner = Modes(file: 0o400, directory: 0o700)
        static let group = Modes(file: 0o440, directory: 0o770)
    }

    /// Opens the directory at `path`, which exists. Where the group may read the configuration, it may read what is new.
    package init(path: String) throws(StorageError) {
        place = printable(path.utf8)
        do throws(DiskError) {
            root = try Directory(path: path)
            let configuration = try root.status(of: ObjectKey.configuration.fileName.utf8)
            modes = (configuration?.mode ?? 0) & 0o040 != 0 ? .group : .owner
            let isConsistent = try FileSystemTraits(of: root).listsConsistently
            abilities = isConsistent ? [.remove, .exclusiveCreate, .consistentListing] : [.remove, .exclusiveCreate]
        } catch {
            throw Self.storageError(error, "open", printable(path.utf8))
        }
    }

    package func prepare() throws(StorageError) {
        do throws(DiskError) {
            for kind in ObjectKind.allCases where kind != .configuration {
                let directory = try make(kind.rawValue, in: root)
                guard kind == .pack else { continue }
                for number in 0..<256 { _ = try make(Self.packDirectory(number), in: directory) }
                try directory.fsync()
            }
            try root.fsync()
        } catch {
            throw Self.storageError(error, "prepare", place)
        }
    }

    // MARK: Reading

    package func list(_ kind: ObjectKind, from start: PageStart?) throws(StorageError) -> ObjectPage {
        do throws(DiskError) {
            guard kind == .pack else {
                let directory = try directory(kind == .configuration ? [] : [kind.rawValue])
                return ObjectPage(objects: try objects(kind, in: directory), next: nil)
            }
            // A page for each of the 256 directories.
            guard let number = Int(start?.token ?? "0", radix: 16), 0..<256 ~= number else {
                throw DiskError(.invalid, "list", kind.rawValue, because: "the page is not one of this directory's")
            }
            let directory = try directory([kind.rawValue, Self.packDirectory(number)])
            let next = number < 255 ? PageStart(String(number + 1, radix: 16)) : nil
            return ObjectPage(objects: try objects(kind, in: directory), next: next)
        } catch {
            throw Self.storageError(error, "list", "the \(kind.name) objects of \(place)")
        }
    }

    private func objects(_ kind: ObjectKind, in directory: Directory?) throws(DiskError) -> [ObjectInfo] {
        guard let directory else { return [] }
        var keys: [ObjectKey] = []
        try directory.list { name, _ in
            if let key = ObjectKey(kind, fileName: name) { keys.append(key) }
        }
        var objects: [ObjectInfo] = []
        for key in keys {
            // Gone since, or no file.
            guard let status = try directory.status(of: key.fileName.utf8), status.kind == .file else { continue }
            objects.append(ObjectInfo(key: key, size: status.size))
        }
        return objects
    }

    package func info(_ key: ObjectKey) throws(StorageError) -> ObjectInfo {
        do throws(DiskError) {
            let status = try directory(key.directories)?.status(of: key.fileName.utf8)
            guard let status, status.kind == .file else { throw Self.missing(key, "look up") }
            return ObjectInfo(key: key, size: status.size)
        } catch {
            throw Self.storageError(error, "look up", "\(key)")
        }
    }

    package func read(
        _ key: ObjectKey, at offset: UInt64, into target: UnsafeMutableRawBufferPointer
    ) throws(StorageError) {
        let filled: Int
        do throws(DiskError) {
            guard let directory = try directory(key.directories) else { throw Self.missing(key, "read") }
            let file = try OpenFile(key.fileName.utf8, in: directory)
            filled = offset <= UInt64(Int64.max) ? try file.read(at: offset, into: target) : 0
        } catch {
            throw Self.storageError(error, "read", "\(key)")
        }
        guard filled == target.count, offset <= UInt64(Int64.max) else {
            throw StorageError(
                .tooShort, "read", "\(key)", because: "it ends before byte \(offset &+ UInt64(target.count))")
        }
    }

    // MARK: Changing

    package func create(_ key: ObjectKey, _ bytes: UnsafeRawBufferPointer) throws(StorageError) {
        do {
            let directory = try makeDirectories(above: key)
            guard try directory.status(of: key.fileName.utf8) == nil else {
                throw DiskError(.exists, "create", key.path, because: "it exists already")
            }
            // In the same directory, under a name that no listing takes for an object.
            var generator = SystemRandomNumberGenerator()
            let name = "\(key.fileName)-tmp-\(String(generator.next() as UInt64, radix: 16))"
            var partial = PartialFile(Array(name.utf8), in: directory)
            do {
                var file = try NewFile(name.utf8, in: directory, mode: modes.file)
                try directory.giveToOwner(file.descriptor)
                try file.write(bytes)
                try partial.publish(file, as: key.fileName)
            } catch {
                partial.discard()
                throw error
            }
        } catch {
            throw Self.storageError(error, "create", "\(key)")
        }
    }

    package func upload() throws(StorageError) -> any ObjectUpload {
        do throws(DiskError) {
            let directory = try make(ObjectKind.pack.rawValue, in: root)
            return try LocalUpload(
                in: directory, mode: modes.file,
                directory: { key throws(DiskError) in try self.makeDirectories(above: key) })
        } catch {
            throw Self.storageError(error, "create", "a pack")
        }
    }

    package func removeLeftovers() throws(StorageError) {
        do throws(DiskError) {
            for kind in ObjectKind.allCases where kind != .configuration {
                guard let directory = try directory([kind.rawValue]) else { continue }
                try Self.removeLeftovers(in: directory)
                for number in 0..<256 where kind == .pack {
                    guard let below = try self.directory([kind.rawValue, Self.packDirectory(number)]) else { continue }
                    try Self.removeLeftovers(in: below)
                }
            }
        } catch {
            throw Self.storageError(error, "remove", "what unfinished uploads left in \(place)")
        }
    }

    /// Ours and restic's: `NAME-tmp-RANDOM`.
    private static func removeLeftovers(in directory: Directory) throws(DiskError) {
        var names: [[UInt8]] = []
        try directory.list { name, _ in
            if name.split(separator: UInt8(ascii: "-")).dropFirst().first?.elementsEqual("tmp".utf8) == true {
                names.append(Array(name))
            }
        }
        for name in names where try directory.status(of: name)?.kind == .file { try directory.unlink(name) }
    }

    package func remove(_ keys: [ObjectKey]) -> [ObjectKey: StorageError] {
        var failures: [ObjectKey: StorageError] = [:]
        for (directories, keys) in Dictionary(grouping: keys, by: \.directories) {
            var removed: [ObjectKey] = []
            do throws(DiskError) {
                guard let directory = try directory(directories) else { continue }
                for key in keys {
                    if let error = Self.unlink(key, in: directory) {
                        failures[key] = Self.storageError(error, "remove", "\(key)")
                    } else {
                        removed.append(key)
                    }
                }
                if !removed.isEmpty { try directory.fsync() }
            } catch {
                // Nothing is known to be removed durably.
                for key in keys where failures[key] == nil {
                    failures[key] = Self.storageError(error, "remove", "\(key)")
                }
            }
        }
        return failures
    }

    private static func unlink(_ key: ObjectKey, in directory: Directory) -> DiskError? {
        do throws(DiskError) {
            try directory.unlink(key.fileName.utf8)
            return nil
        } catch {
            return error.code == .notFound ? nil : error
        }
    }

    // MARK: Directories

    /// Nil if one of them does not exist.
    private func directory(_ names: [String]) throws(DiskError) -> Directory? {
        var current = root
        for name in names {
            do throws(DiskError) {
                current = try current.directory(name.utf8)
            } catch {
                if error.code == .notFound { return nil }
                throw error
            }
        }
        return current
    }

    /// Copies may lack empty directories: those above `key` are made where they are missing.
    private func makeDirectories(above key: ObjectKey) throws(DiskError) -> Directory {
        if let existing = try directory(key.directories) { return existing }
        var current = root
        for name in key.directories {
            let parent = current
            current = try make(name, in: parent)
            try parent.fsync()
        }
        return current
    }

    private func make(_ name: String, in parent: Directory) throws(DiskError) -> Directory {
        if try parent.status(of: name.utf8) != nil { return try parent.directory(name.utf8) }
        do throws(DiskError) {
            try parent.makeEmptyDirectory(name.utf8, mode: modes.directory)
        } catch {
            // Another thread or program was faster.
            if error.code != .exists { throw error }
        }
        let made = try parent.directory(name.utf8)
        try parent.giveToOwner(made.descriptor)
        return made
    }

    private static func packDirectory(_ number: Int) -> String {
        (number < 16 ? "0" : "") + String(number, radix: 16)
    }

    // MARK: Errors

    private static func missing(_ key: ObjectKey, _ operation: String) -> DiskError {
        DiskError(.notFound, operation, key.path, because: "it does not exist")
    }

    static func storageError(_ error: any Error, _ operation: String, _ subject: String) -> StorageError {
        guard let error = error as? DiskError else {
            return StorageError(.other, operation, subject, because: "\(error)")
        }
        let code: StorageError.Code =
            switch error.code {
            case .notFound: .notFound
            case .exists: .exists
            case .denied: .denied
            case .readOnly: .readOnly
            case .noSpace: .noSpace
            case .busy, .tooManyOpenFiles: .unavailable
            case .invalid: .invalid
            default: .other
            }
        return StorageError(code, operation, subject, because: error.reason)
    }
}
