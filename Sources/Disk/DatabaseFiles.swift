import CLinux
import Glibc
import Model

/// The files of SQLite databases, as <https://sqlite.org/fileformat2.html> and <https://sqlite.org/lockingv3.html>
/// describe them: what is needed to keep a database and its logs together. Nothing here knows what is in them.
package enum DatabaseFiles {
    /// What the name of a database is followed by in the names of its companions: the write-ahead log, its index, and the
    /// rollback journal.
    package static let companionSuffixes = ["-wal", "-shm", "-journal"]
    /// What every database begins with.
    package static let header = Array("SQLite format 3\0".utf8)

    /// Whether the bytes begin as every database does.
    package static func isHeader(_ bytes: UnsafeRawBufferPointer) -> Bool {
        bytes.count >= header.count && bytes.prefix(header.count).elementsEqual(header)
    }

    /// The names of the companions that the database `name` can have: none that is too long to be a name.
    package static func companions(of name: some Collection<UInt8>) -> [[UInt8]] {
        companionSuffixes.map { Array(name) + Array($0.utf8) }.filter { $0.count <= 255 }
    }

    /// The name of the database that `name` would be a companion of; nil if it is none's.
    package static func database(ofCompanion name: UnsafeRawBufferPointer) -> [UInt8]? {
        // Asked of every file of a source: most are told by their last byte.
        guard let last = name.last, last == UInt8(ascii: "l") || last == UInt8(ascii: "m") else { return nil }
        for suffix in companionSuffixes where name.count > suffix.utf8.count {
            if name.suffix(suffix.utf8.count).elementsEqual(suffix.utf8) {
                return Array(name.dropLast(suffix.utf8.count))
            }
        }
        return nil
    }

    /// The companions that stand in `parent` beside the place of a database, which waits in `mirror` or stands there.
    static func logs(
        of place: EntryPath, in parent: Directory, replacedFrom mirror: Directory?
    ) throws(DiskError) -> [EntryPath] {
        var logs: [EntryPath] = []
        for name in companions(of: place.name) where try parent.status(of: name) != nil {
            logs.append((place.parent ?? .root).appending(name))
        }
        if logs.isEmpty { return [] }
        // Rarely needed, so headers are read last. An encrypted database has none, but its logs have.
        if let mirror, try isDatabase(place.name, in: mirror) { return logs }
        if try isDatabase(place.name, in: parent) { return logs }
        for log in logs where try isLog(log.name, in: parent) { return logs }
        return []
    }

    /// Whether a regular file stands at `name` that begins as a database does.
    package static func isDatabase(
        _ name: some Collection<UInt8>, in directory: Directory
    ) throws(DiskError) -> Bool {
        try begins(name, in: directory, as: { $0 == header })
    }

    /// Whether a regular file stands at `name` that begins as a log does that holds something.
    package static func isLog(_ name: some Collection<UInt8>, in directory: Directory) throws(DiskError) -> Bool {
        try begins(name, in: directory, as: isLogHeader)
    }

    private static func begins(
        _ name: some Collection<UInt8>, in directory: Directory, as isWanted: ([UInt8]) -> Bool
    ) throws(DiskError) -> Bool {
        guard try directory.status(of: name)?.kind == .file else { return false }
        return isWanted(try OpenFile(name, in: directory).bytes(at: 0, count: header.count))
    }

    /// What a rollback journal begins with: <https://sqlite.org/fileformat2.html#the_rollback_journal>.
    package static let journalMagic: [UInt8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]

    /// Whether a file that begins so is a log of SQLite's that holds something. Those of write-ahead logs stand in
    /// <https://sqlite.org/fileformat2.html#wal_file_format>.
    package static func isLogHeader(_ bytes: [UInt8]) -> Bool {
        [[0x37, 0x7f, 0x06, 0x82], [0x37, 0x7f, 0x06, 0x83], journalMagic].contains { bytes.starts(with: $0) }
    }
}

/// Waiting for a lock that others hold, in short steps, so that a run that is to stop does.
package enum LockPatience {
    private static let step = 20

    /// Waits a little before the next attempt; `attempt` counts from 0. False if `limit` milliseconds are over, or the run
    /// is to stop.
    package static func waits(attempt: Int, limit: Int, stop: StopFlag) -> Bool {
        guard attempt < limit / step, stop.reason == nil else { return false }
        linux_sleep(UInt32(step))
        return true
    }
}

extension OpenFile {
    /// Takes SQLite's shared lock of a database for as long as the file is open: nobody writes into a database with a
    /// rollback journal, and nobody who closes one with a write-ahead log deletes that. Waits up to `limit` milliseconds.
    ///
    /// The lock belongs to this open file, so SQLite's own locks in this process neither share nor release it.
    package func lockDatabase(waiting limit: Int, stop: StopFlag) throws {
        // SQLite's shared bytes begin behind the pending and the reserved byte.
        let (start, length): (Int64, Int64) = (0x4000_0000 + 2, 510)
        for attempt in 0... {
            let result = linux_lock_range(descriptor, start, length)
            if result == 0 { return }
            guard [EAGAIN, EACCES].contains(-result) else { throw DiskError("lock", "the file", number: -result) }
            guard LockPatience.waits(attempt: attempt, limit: limit, stop: stop) else { break }
        }
        try stop.check()
        throw DiskError(.locked, "lock", "the file", because: "a writer has locked it for \(limit / 1000) s")
    }
}
