import Codec
import Containers
import Disk
import Model

/// `backups/.state/`: the lock, and what is known of backups beside themselves. All of it may be deleted: less is then
/// known, never less is safe. So an error here never fails what it is about.
package struct StateFolder: Sendable {
    package static let name = ".state"
    private let directory: Directory

    /// Nil if there is none.
    init?(existingIn backups: Directory) throws(DiskError) {
        guard try backups.status(of: Self.name.utf8) != nil else { return nil }
        directory = try backups.directory(Self.name.utf8)
    }

    init(madeIn backups: Directory) throws(DiskError) {
        directory = try backups.directory(making: Self.name.utf8)
    }

    func lock(holder: String) throws(DiskError) -> Lock {
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

    func seen(_ name: BackupName, seal: SHA256Digest, count: Int) -> SeenRecords? {
        guard let bytes = known("\(name.text).seen", limit: 1 << 31) else { return nil }
        return SeenRecords(bytes, seal: seal, count: count)
    }

    func writeSeen(_ bytes: [UInt8], of name: BackupName) throws(DiskError) {
        try directory.replaceCache("\(name.text).seen", with: bytes)
    }

    func databases(_ name: BackupName, seal: SHA256Digest) -> DatabaseStates? {
        known("\(name.text).databases", limit: 16 << 20).flatMap { DatabaseStates($0, seal: seal) }
    }

    func write(_ databases: DatabaseStates, seal: SHA256Digest, of name: BackupName) throws(DiskError) {
        try directory.replaceCache("\(name.text).databases", with: databases.encoded(seal: seal))
    }

    // MARK: What verifications found

    /// What a verification found, bound to the manifest's seal.
    package struct VerificationRecord: Sendable, Equatable {
        var seal: SHA256Digest
        var time: LocalTime
        var percent: Double
        /// The first damage, as a clause; nil if there was none.
        var damage: String?
    }

    func verification(_ name: BackupName) -> VerificationRecord? {
        guard let bytes = known("\(name.text).verified", limit: 65_536), let value = json(bytes),
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

    func write(_ record: VerificationRecord, of name: BackupName) throws(DiskError) {
        // A part that was right says nothing of the rest: it takes neither known damage nor a full verification away.
        let known = verification(name)
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
        try directory.replaceCache("\(name.text).verified", with: value.encode(pretty: true))
    }

    /// Forgets what is known of a backup that is gone.
    func forget(_ name: BackupName) throws(DiskError) {
        for suffix in ["seen", "databases", "verified"] {
            let file = Array("\(name.text).\(suffix)".utf8)
            if try directory.status(of: file) != nil { try directory.unlink(file) }
        }
    }

    // MARK: Sizes

    func sizes() -> [UInt8]? {
        known("sizes", limit: 16 << 20)
    }

    func writeSizes(_ bytes: [UInt8]) throws(DiskError) {
        try directory.replaceCache("sizes", with: bytes)
    }
}
