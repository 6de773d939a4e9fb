import Disk
import Model

/// The file in which SQLite records that a transaction over several databases is not yet complete. The rollback journal of
/// each names it at its end: <https://sqlite.org/atomiccommit.html#_the_super_journal_file>.
struct SuperJournal {
    /// Where it was for the app: often another place for us, as where the app lives in a container.
    let path: [UInt8]
    /// How long the journal is without what names this file.
    let rest: UInt64

    /// The one that a rollback journal names; nil if it names none. What a journal ends with, last part first: 8 bytes that
    /// no journal lacks, a checksum and the length of the name, 4 bytes each, the name, and 4 bytes of a page number.
    init?(namedBy journal: borrowing OpenFile) throws(DiskError) {
        let size = try journal.status().size
        let tail = try journal.readTail(16)
        guard tail.count == 16, Array(tail[8...]) == DatabaseFiles.journalMagic else { return nil }
        let (length, sum) = (Self.number(tail[0..<4]), Self.number(tail[4..<8]))
        guard length > 0, length <= 4096, size >= UInt64(length) + 20 else { return nil }
        let name = try journal.bytes(at: Int64(size) - 16 - Int64(length), count: Int(length))
        // The bytes were added up as C's characters, which have a sign on some machines only.
        let unsigned = name.reduce(UInt32(0)) { $0 &+ UInt32($1) }
        let signed = name.reduce(UInt32(0)) { $0 &+ UInt32(bitPattern: Int32(Int8(bitPattern: $1))) }
        guard sum == unsigned || sum == signed, !name.contains(0) else { return nil }
        path = name
        rest = size - 20 - UInt64(length)
    }

    private static func number(_ bytes: ArraySlice<UInt8>) -> UInt32 {
        bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    /// Whether the file is still there, so that the transaction was not completed and must be rolled back in each database.
    /// Nil if that cannot be told. `directory` is the database's.
    func isThere(beside directory: Directory) throws(DiskError) -> Bool? {
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")) else { return nil }
        let name = Array(path[(slash + 1)...])
        if try directory.status(of: name) != nil { return true }
        guard let place = String(validating: path[...slash], as: UTF8.self), let named = Self.directory(place) else {
            return nil
        }
        if try named.status(of: name) != nil { return true }
        if try named.status().identity == directory.status().identity { return false }
        // A directory of that name is the one that is meant if it holds the database after which the file was named.
        guard let suffix = name.lastIndex(of: UInt8(ascii: "-")), suffix > 0 else { return nil }
        return try named.status(of: name[..<suffix]) == nil ? nil : false
    }

    private static func directory(_ path: String) -> Directory? {
        do throws(DiskError) { return try Directory(path: path) } catch { return nil }
    }
}
