import Codec
import Disk
import Model

/// `backups/.state/`: the lock, and what is known of backups beside themselves. All of it may be deleted: less is then
/// known, never less is safe. So an error here never fails what it is about.
package struct StateFolder: Sendable {
    package static let name = ".state"
    private let directory: Directory

    /// Nil if there is none.
    package init?(existingIn backups: Directory) throws(DiskError) {
        guard try backups.status(of: Self.name.utf8) != nil else { return nil }
        directory = try backups.directory(Self.name.utf8)
    }

    package init(madeIn backups: Directory) throws(DiskError) {
        directory = try backups.directory(making: Self.name.utf8)
    }

    package func lock(holder: String) throws(DiskError) -> Lock {
        try Lock("lock".utf8, in: directory, mode: .exclusive, holder: holder)
    }

    /// A file of what is known; one that cannot be read is as good as none.
    private func known(_ file: String, limit: Int) -> [UInt8]? {
        do throws(DiskError) {
            return try directory.readFile(file.utf8, limit: limit)
        } catch {
            return nil
        }
    }

    private func json(_ bytes: [UInt8]) -> JSONValue? {
        do throws(JSONError) {
            return try JSONReader.read(bytes)
        } catch {
            return nil
        }
    }

    // MARK: What the next backup needs

    package func seen(_ name: BackupName, seal: SHA256Digest, count: Int) -> SeenRecords? {
        guard let bytes = known("\(name.text).seen", limit: 1 << 31) else { return nil }
        return SeenRecords(bytes, seal: seal, count: count)
    }

    package func writeSeen(_ bytes: [UInt8], of name: BackupName) throws(DiskError) {
        try directory.replaceCache("\(name.text).seen", with: bytes)
    }

    package func databases(_ name: BackupName, seal: SHA256Digest) -> DatabaseStates? {
        known("\(name.text).databases", limit: 16 << 20).flatMap { DatabaseStates($0, seal: seal) }
    }

    package func write(_ databases: DatabaseStates, seal: SHA256Digest, of name: BackupName) throws(DiskError) {
        try directory.replaceCache("\(name.text).databases", with: databases.encoded(seal: seal))
    }

    // MARK: What verifications found

    /// What a verification found, bound to the manifest's seal.
    package struct VerificationRecord: Sendable, Equatable {
        package var seal: SHA256Digest
        package var time: LocalTime
        package var percent: Double
        /// The first damage, as a clause; nil if there was none.
        package var damage: String?
    }

    package func verification(_ file: String) -> VerificationRecord? {
        guard let bytes = known("\(file).verified", limit: 65_536), let value = json(bytes),
            let hex = value["seal"]?.stringValue,
            let seal = SHA256Digest(hex: Array(hex.utf8)), let text = value["time"]?.stringValue,
            let time = LocalTime(rfc3339: text), let percent = value["percent"]?.doubleValue
        else { return nil }
        let damage = value["damage"]?.stringValue.map { text in
            // Written by us it is safe to print; but anyone may have written here.
            text.unicodeScalars.contains { $0.properties.generalCategory == .control } ? printable(text.utf8) : text
        }
        return VerificationRecord(seal: seal, time: time, percent: percent, damage: damage)
    }

    package func write(_ record: VerificationRecord, of file: String) throws(DiskError) {
        // A part that was right says nothing of the rest: it takes neither known damage nor a full verification away.
        let known = verification(file)
        if record.damage == nil, record.percent < 100, let known, known.seal == record.seal,
            known.damage != nil || known.percent >= record.percent
        {
            return
        }
        let value = JSONValue.object([
            .init("seal", .string(record.seal.hex)), .init("time", .string(record.time.rfc3339)),
            .init("percent", JSONNumber(record.percent).map { .number($0) } ?? 100),
            .init("damage", record.damage.map { .string($0) } ?? .null),
        ])
        try directory.replaceCache("\(file).verified", with: value.encode(pretty: true))
    }

    /// Forgets what is known of a backup that is gone. `file`: what it was called in the backup directory.
    package func forget(_ file: String) throws(DiskError) {
        for suffix in ["seen", "databases", "verified"] {
            let known = Array("\(file).\(suffix)".utf8)
            if try directory.status(of: known) != nil { try directory.unlink(known) }
        }
    }

    // MARK: Sizes

    package func sizes() -> [UInt8]? {
        known("sizes", limit: 16 << 20)
    }

    package func writeSizes(_ bytes: [UInt8]) throws(DiskError) {
        try directory.replaceCache("sizes", with: bytes)
    }
}
