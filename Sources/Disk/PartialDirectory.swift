import Model

/// A directory that nobody sees until it is complete: made under a name of its own, and given its real name only when
/// everything in it is durable (promises 1 and 2).
package struct PartialDirectory: ~Copyable {
    /// What names of unfinished or half-removed things begin with.
    package static let prefix = ".partial-"

    package let directory: Directory
    private let container: Directory
    private let temporaryName: [UInt8]
    private var isFinished = false

    /// Makes the directory beside where it will be published. `token` makes the name unique.
    package init(_ name: String, token: String, in container: Directory) throws(DiskError) {
        self.container = container
        temporaryName = Self.prefix(of: name) + Array(token.utf8)
        do throws(DiskError) {
            directory = try container.makeOwnDirectory(temporaryName)
        } catch {
            // Its name is ours alone: what may stand there although the call failed has nothing in it.
            Self.remove(temporaryName, in: container)
            throw error
        }
    }

    deinit {
        // Whoever makes a partial directory ends it with publish or discard; a test that forgets is told.
        assert(isFinished, "a partial directory was neither published nor discarded")
    }

    /// Makes everything durable, then visible under `name`, then that durable too. Nothing may stand at `name` but the
    /// empty directory `inPlaceOf`.
    ///
    /// After an error the directory is gone, also if it had become visible and the last sync failed, and the empty one is
    /// back.
    package mutating func publish(
        as name: String, inPlaceOf empty: FileStatus? = nil, durability: Durability
    ) throws {
        do {
            try durability.makeDurable(directory)
            if empty == nil {
                try container.moveDirectory(temporaryName, as: name.utf8)
            } else {
                try takePlace(of: name)
            }
            try container.fsync()
            // Fails if someone has put something in it.
            if try container.status(of: temporaryName) != nil { try container.removeEmptyDirectory(temporaryName) }
        } catch {
            hide(name, empty)
            discard()
            throw error
        }
        isFinished = true
    }

    /// In one step: at no moment is there no directory. A file system that cannot exchange puts a directory in the place
    /// of an empty one at least.
    private func takePlace(of name: String) throws(DiskError) {
        do throws(DiskError) {
            try container.exchange(temporaryName, name.utf8)
        } catch {
            guard error.code == .unsupported else { throw error }
            try container.replace(name.utf8, by: temporaryName)
        }
    }

    /// Takes the directory out of sight again. A move that was reported as failed may have been made all the same: what
    /// counts is which directory stands there.
    private func hide(_ name: String, _ empty: FileStatus?) {
        do throws(DiskError) {
            guard let visible = try container.status(of: name.utf8),
                visible.identity == (try directory.status().identity)
            else { return }
            if try container.status(of: temporaryName) != nil {
                return try container.exchange(temporaryName, name.utf8)
            }
            try container.moveDirectory(name.utf8, as: temporaryName)
            if let empty { try container.makeEmptyDirectory(name.utf8, mode: empty.mode) }
        } catch {
            // It stays visible; and it is complete, only not known to be durable.
        }
    }

    /// Removes the directory. A leftover is removed by the next run that holds the lock.
    package mutating func discard() {
        isFinished = true
        Self.remove(temporaryName, in: container)
    }

    /// Short enough for a name, whatever `name` is.
    private static func prefix(of name: String) -> [UInt8] {
        Array(prefix.utf8) + Array(name.utf8.prefix(128)) + [UInt8(ascii: ".")]
    }

    /// Removes what killed runs left of a directory that was to become `name`. One that is locked is alive.
    package static func removeDead(_ name: String, in container: Directory) {
        let prefix = prefix(of: name)
        do throws(DiskError) {
            for item in try container.items() where item.name.starts(with: prefix) {
                let token = item.name.dropFirst(prefix.count)
                guard token.count == 8, token.allSatisfy({ "0123456789abcdef".utf8.contains($0) }),
                    try container.kind(of: item) == .directory
                else { continue }
                let dead = try container.directory(item.name)
                if dead.lockIfPossible() { remove(item.name, in: container) }
            }
        } catch {
            // Invisible and in nobody's way: left where it is.
        }
    }

    private static func remove(_ name: [UInt8], in container: Directory) {
        do throws(DiskError) {
            try TreeRemoval.remove(name, in: container)
        } catch {
            // Invisible and known for dead: nothing is lost by leaving it.
        }
    }
}

/// How a tree that was just written becomes durable.
package struct Durability: Sendable {
    private let whole: Directory?

    /// Call this before the first write: an error of an earlier write is reported only to descriptors opened before it.
    package init(in directory: Directory) throws(DiskError) {
        whole = try FileSystemTraits(of: directory).syncsAsWhole ? try directory.duplicate() : nil
    }

    /// Returns when everything below `directory`, and it itself, is durable. A failure is final: never try again.
    package func makeDurable(_ directory: Directory) throws(DiskError) {
        if let whole { return try whole.syncFileSystem() }
        try syncEach(directory)
    }

    private func syncEach(_ directory: Directory) throws(DiskError) {
        // By number, not by recursion: a tree can be deeper than a thread's stack or a process's descriptors.
        var paths: [EntryPath] = [.root]
        var next = 0
        while next < paths.count {
            let path = paths[next]
            next += 1
            let current = try directory.directory(at: path)
            for item in try current.items() {
                guard let kind = try current.kind(of: item) else { continue }
                if kind == .directory { paths.append(path.appending(item.name)) }
                if kind == .file { try OpenFile(item.name, in: current).fsync() }
            }
            try current.fsync()
        }
    }
}
