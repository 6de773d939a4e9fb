import Codec
import Disk
import Model
import Workers

/// What a backup holds: opened for reading, nothing of it trusted. What is not as its manifest says is damage.
package protocol BackupContents: Sendable {
    /// As its file or folder is called, safe to print.
    var name: String { get }
    var format: BackupFormat { get }
    var metadata: BackupMetadata { get }
    /// Whether it records all that its items held when it was made, in a manifest or in its snapshot: what it does not hold
    /// was not there. False for backups of the original tool, and for what others made.
    var isRecorded: Bool { get }
    /// Whether the owners of its entries are known.
    var knowsOwners: Bool { get }
    /// The entries: those of the manifest, or what was found where there is none.
    var table: EntryTable { get }
    /// What a verification is bound to; nil where nothing seals the backup.
    var seal: SHA256Digest? { get }
    /// Whether only its password opened it.
    var isEncrypted: Bool { get }
    /// The file or folder that was opened; nil for one in a repository.
    var identity: FileIdentity? { get }

    /// Whether its large files consist of parts with hashes of their own, which are as good from anywhere else.
    var isDivided: Bool { get }

    /// The hashes of a file's parts, where `isDivided`: a file with the same in another backup has the same content.
    func parts(of index: Int) -> [SHA256Digest]?

    /// What is valid in it, and yet only accepted from backups that are trusted, as clauses (promise 11).
    var objections: [String] { get }

    /// Reads what a restore does not need and yet must not be damaged (promise 14), where the format has such.
    func checkRest(stop: StopFlag) throws

    /// Where the bytes of a file begin, more than 0: who reads many is fastest in this order. Nil where any other is as good.
    func position(of index: Int) -> UInt64?

    /// A reader for one thread.
    func makeReader(stop: StopFlag) -> sending any ContentReader

    /// Reads the backup and compares every byte with what is recorded, or so many `percent` of its files; `choice` picks
    /// which.
    func verify(percent: Double, choice: UInt64, pool: ThreadPool, in run: RunContext) throws -> VerifiedBackup
}

/// Reads the content of a backup's files. Belongs to one thread, and is fastest when neighbours follow each other.
package protocol ContentReader: AnyObject {
    /// Copies a file to `target`, holes as holes, and checks size and SHA-256 on the way (promise 6). Throws ``BackupError``
    /// with code `damaged` where the backup is not as it should be, ``DiskError`` where the target cannot be written.
    func copy(_ index: Int, to target: inout NewFile) throws

    /// The same for what `isDivided`: the parts that stand in `old`, another version of the file, are taken from there. It may be
    /// changing: only bytes in memory whose hash was compared are used.
    func copy(_ index: Int, to target: inout NewFile, reusing old: borrowing OpenFile) throws

    /// Whether `file` holds what the file in the backup holds; nil where only reading that would tell.
    func isSame(_ index: Int, as file: borrowing OpenFile) throws -> Bool?

    /// Passes a file's bytes to `each`, in order; checked like ``copy(_:to:)``, but only at the end.
    func read(_ index: Int, _ each: (UnsafeRawBufferPointer) throws -> Void) throws

    /// The first bytes of a file, at most `count`; unchecked.
    func head(of index: Int, count: Int) throws -> [UInt8]
}

extension ContentReader {
    package func copy(_ index: Int, to target: inout NewFile, reusing old: borrowing OpenFile) throws {
        try copy(index, to: &target)
    }

    package func isSame(_ index: Int, as file: borrowing OpenFile) throws -> Bool? { nil }
}

extension BackupContents {
    package var knowsOwners: Bool { isRecorded }
    package var objections: [String] { [] }
    package var isEncrypted: Bool { false }
    package var isDivided: Bool { false }
    package func parts(of index: Int) -> [SHA256Digest]? { nil }

    package func position(of index: Int) -> UInt64? { nil }

    package func checkRest(stop: StopFlag) throws {}

    package static func damaged(_ name: String, _ what: String) -> BackupError {
        BackupError(
            .damaged, "the backup '\(name)' is damaged: \(what)",
            advice: "Use another backup; 'verify --all' tells which are whole")
    }
}

extension BackupError {
    /// What is wrong with a backup, as a clause: for where its name stands already.
    package var whatIsDamaged: String {
        guard code == .damaged, let start = message.firstRange(of: "' is damaged: ") else { return message }
        return String(message[start.upperBound...])
    }
}

extension BackupMetadata.Details {
    /// Whether the counts are those of what the manifest lists.
    package func counts(_ table: EntryTable) -> Bool {
        var (count, total) = (0, UInt64(0))
        for index in 1..<max(1, table.count) {
            if table[index].kind == .file { count += 1 }
            total.add(saturating: table[index].size)
        }
        return files == count && entries == table.count - 1 && bytes == total
    }

    /// What has been written of `table`.
    package mutating func count(_ table: EntryTable) {
        (files, bytes, entries) = (0, 0, table.count - 1)
        for index in 1..<max(1, table.count) {
            if table[index].kind == .file { files += 1 }
            bytes.add(saturating: table[index].size)
        }
    }
}

/// What reading a backup back told.
package struct VerifiedBackup: Sendable {
    package var findings: [Finding]
    /// Files and bytes that were read.
    package var files: Int
    package var bytes: UInt64

    package init(findings: [Finding] = [], files: Int = 0, bytes: UInt64 = 0) {
        self.findings = findings
        self.files = files
        self.bytes = bytes
    }
}

/// Picks a part of a backup's files to be read.
package struct Sample: Sendable {
    private let limit: UInt64
    private let choice: UInt64

    package init(percent: Double, choice: UInt64) {
        limit = percent >= 100 ? .max : UInt64(percent / 100 * Double(UInt32.max))
        self.choice = choice
    }

    package func contains(_ index: Int) -> Bool {
        limit == .max || Self.scatter(UInt64(index) &+ choice) & 0xffff_ffff <= limit
    }

    /// Spreads numbers evenly (the finalizer of SplitMix64).
    private static func scatter(_ value: UInt64) -> UInt64 {
        var z = value &+ 0x9e37_79b9_7f4a_7c15
        z = (z ^ z >> 30) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ z >> 27) &* 0x94d0_49bb_1331_11eb
        return z ^ z >> 31
    }
}

/// What is used again and again to read files.
package struct ReadBuffer: ~Copyable {
    // What was read is hashed and written while it is still in the core's own cache.
    package let buffer = Buffer(size: 1 << 18)
    package var hash = SHA256()

    package init() {}
}
