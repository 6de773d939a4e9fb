import Codec
import Containers
import Disk
import Model
import Workers

/// What a zip holds, opened for reading: one of ours, one of the original tool, or one that anyone made of an app.
package struct ZipContents: BackupContents {
    package let name: String
    package let identity: FileIdentity?
    package let metadata: BackupMetadata
    package let manifest: Manifest?
    package let table: EntryTable
    package let seal: SHA256Digest?
    package let objections: [String]
    /// Whether nothing in it tells that it is a backup: someone packed an app.
    package let isPlain: Bool

    let file: ZipFile
    /// The member of each entry of the table; -1 for directories that no member is for.
    let members: [Int32]
    /// Where it is encrypted.
    let password: Password?

    package var isEncrypted: Bool { password != nil }
    package var isRecorded: Bool { manifest != nil }
    package var format: BackupFormat { .zip }

    /// What is needed of the outside to make sense of a zip of others.
    package struct Surroundings: Sendable {
        /// Seconds that local time is east of UTC at a moment.
        let offset: @Sendable (Timestamp) -> Int
        /// Whether an entry of this name at the top belongs to an app. If none does, and there is but one directory, the app
        /// is in there.
        let isItem: @Sendable (EntryPath) -> Bool
        /// The password of an encrypted zip, by its name; nil if there is none.
        var password: @Sendable (String) throws -> Password? = { _ in nil }
        var stop = StopFlag()

        package init(
            offset: @escaping @Sendable (Timestamp) -> Int, isItem: @escaping @Sendable (EntryPath) -> Bool
        ) {
            self.offset = offset
            self.isItem = isItem
        }

        package init(in run: RunContext, isItem: @escaping @Sendable (EntryPath) -> Bool) {
            self.init(offset: run.clock.offset, isItem: isItem)
            password = run.passwords.toRead
            stop = run.stop
        }
    }

    /// Throws ``BackupError`` with code `damaged`, `refused` or `wrongPassword`.
    package init(_ name: String, _ opened: consuming OpenFile, _ surroundings: Surroundings) throws {
        let isSealed = ZipSeal.read(try opened.readTail(ZipSeal.length)) != nil
        do {
            try self.init(checking: opened, name, surroundings)
        } catch {
            throw Self.told(error, name, isSealed: isSealed)
        }
    }

    /// The same, but that what is wrong is told as a ``ZipError``, a clause.
    init(checking opened: consuming OpenFile, _ name: String, _ surroundings: Surroundings) throws {
        let file = try ZipFile(opened)
        let status = try file.status()
        let parts = try ZipParts(file, name: name, status: status, surroundings)
        self.name = name
        self.file = file
        identity = status.identity
        metadata = parts.metadata
        manifest = parts.manifest
        table = parts.table
        members = parts.members
        seal = parts.seal
        objections = parts.objections
        isPlain = parts.isPlain
        password = parts.password
    }

    /// What is wrong with a zip, for people.
    /// `isSealed`: it is one of ours, in which there is nothing to refuse unless it is damaged.
    static func told(_ error: any Error, _ name: String, isSealed: Bool) -> any Error {
        switch error {
        case let error as ZipError where error.kind == .password:
            BackupError(
                .wrongPassword, "the backup '\(name)' cannot be read: \(error)",
                advice:
                    "Give its password with --password-file FILE, or name that file in CHASTIPI_BACKUP_PASSWORD_FILE")
        case let error as ZipError where error.kind == .refused && !isSealed:
            BackupError(
                .refused, "the zip '\(name)' cannot be used: \(error)",
                advice: "Nothing was changed. Unpack it and pack it again with 'zip -r'")
        case let error as ZipError: damaged(name, "\(error)")
        case let error as DiskError where [.invalid, .isLink, .io].contains(error.code): damaged(name, error.reason)
        default: error
        }
    }

    package func makeReader(stop: StopFlag) -> sending any ContentReader { ZipReader(self, stop: stop) }
}

/// Reads files of a zip.
final class ZipReader: ContentReader {
    private let contents: ZipContents
    private let reader: ZipMemberReader
    private var hash = SHA256()

    init(_ contents: ZipContents, stop: StopFlag) {
        self.contents = contents
        reader = ZipMemberReader(contents.file, contents.password, stop: stop)
    }

    private static let hole = 1 << 16

    func copy(_ index: Int, to target: inout NewFile) throws {
        let isSparse = contents.table[index].flags.contains(.sparse)
        try read(index) { bytes in
            if isSparse {
                try Self.write(bytes, leavingHolesTo: &target)
            } else {
                try target.write(bytes)
            }
        }
        try target.finishHole()
    }

    private static func write(_ bytes: UnsafeRawBufferPointer, leavingHolesTo target: inout NewFile) throws {
        var start = 0
        while start < bytes.count {
            let block = UnsafeRawBufferPointer(rebasing: bytes[start..<min(bytes.count, start + hole)])
            if block.allSatisfy({ $0 == 0 }) {
                try target.skip(UInt64(block.count))
            } else {
                try target.write(block)
            }
            start += block.count
        }
    }

    func read(_ index: Int, _ each: (UnsafeRawBufferPointer) throws -> Void) throws {
        let (table, name) = (contents.table, contents.name)
        do {
            let member = try contents.member(of: index)
            try reader.read(member) { bytes in
                hash.update(bytes)
                try each(bytes)
            }
        } catch {
            hash.reset()
            // What the target's disk says is not the zip's.
            throw error is DiskError ? error : ZipContents.told(error, name, isSealed: contents.seal != nil)
        }
        let digest = hash.finish()
        guard table[index].flags.contains(.hashed), digest != table[index].digest else { return }
        throw ZipContents.damaged(name, "the content of \(table.path(of: index)) is not what was backed up")
    }

    func head(of index: Int, count: Int) throws -> [UInt8] {
        do {
            return try reader.head(try contents.member(of: index), count: count)
        } catch {
            throw ZipContents.told(error, contents.name, isSealed: contents.seal != nil)
        }
    }
}

extension ZipContents {
    func member(of index: Int) throws -> ZipMember {
        guard members[index] >= 0 else { throw ZipError.damaged("\(table.path(of: index)) is missing") }
        return file.directory.members[Int(members[index])]
    }
}
