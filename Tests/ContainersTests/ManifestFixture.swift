import Codec
import Containers
import Model
import TestKit

/// Manifests as bytes, whole ones and ones that only look like it.
enum ManifestFixture {
    static func bytes(
        _ table: EntryTable, held: [Int: Manifest.Held] = [:], metadata: [UInt8] = Array("{}".utf8)
    ) throws -> [UInt8] {
        var bytes: [UInt8] = []
        _ = try ManifestWriter(table, held: held).write(metadata: metadata) { bytes += $0 }
        return bytes
    }

    static let metadataLine =
        "./backup_metadata.json type=file size=2 sha256=" + String(repeating: "0", count: 64) + "\n"

    /// `lines` between the first line and the metadata's, with a right seal.
    static func sealed(_ lines: String, metadataLine: String = metadataLine) -> [UInt8] {
        sealed(Array((". type=dir\n" + lines + metadataLine).utf8))
    }

    static func sealed(_ content: [UInt8]) -> [UInt8] {
        content + Array("# sha256 \(SHA256.digest(of: content).hex)\n".utf8)
    }

    /// The message that `bytes` are refused with; nil if they are accepted.
    static func refusal(of bytes: [UInt8]) -> String? {
        do throws(ManifestError) {
            _ = try ManifestReader.read(bytes)
            return nil
        } catch {
            return "\(error)"
        }
    }

    /// A table of odd entries.
    static func table(_ random: inout SeededRandom, entries: Int) throws -> EntryTable {
        var root = EntryRecord(kind: .directory, mode: 0o755)
        if random.once(in: 2) { root.flags.insert(.ancestor) }
        var table = EntryTable(root: root)
        if !root.flags.contains(.ancestor) { table.setRoot(extended: extended(&random)) }
        table.userNames = [0: "root", 7: "odd name=#"]
        var paths: Set<EntryPath> = []
        while paths.count < entries {
            let parent = paths.isEmpty || random.once(in: 3) ? EntryPath.root : random.pick(Array(paths))
            paths.insert(parent.appending(name(&random)))
        }
        let sorted = paths.sorted()
        var files: [UInt32: (record: EntryRecord, extended: [ExtendedAttribute])] = [:]
        for (index, path) in sorted.enumerated() {
            let isParent = index + 1 < sorted.count && sorted[index + 1].isBelow(path)
            var record = record(isParent ? .directory : random.pick([.file, .file, .link, .directory]), &random)
            let target = record.kind == .link ? name(&random) : []
            var extended = random.once(in: 4) ? extended(&random) : []
            if record.kind == .file {
                try fill(&record, &random)
                // Names of one file agree in everything.
                if let first = files[record.linkGroup] { (record, extended) = first }
                if record.linkGroup != 0 { files[record.linkGroup] = (record, extended) }
            }
            try table.append(record, path: path, target: target, extended: extended)
        }
        return table
    }

    private static func name(_ random: inout SeededRandom) -> [UInt8] {
        let bytes = random.bytes(Int.random(in: 1...random.pick([3, 20, 255]), using: &random))
        let name = bytes.map { $0 == 0 || $0 == UInt8(ascii: "/") ? UInt8(ascii: "+") : $0 }
        return name == [0x2e] || name == [0x2e, 0x2e] ? [0x20] : name
    }

    private static func record(_ kind: EntryKind, _ random: inout SeededRandom) -> EntryRecord {
        EntryRecord(
            kind: kind, flags: kind == .directory && random.once(in: 4) ? .ancestor : [],
            mode: UInt16.random(in: 0...0o7777, using: &random), user: random.pick([0, 7, .max - 1]),
            group: random.pick([0, 100]),
            modified: Timestamp(
                seconds: Int64.random(in: -(1 << 40)...1 << 40, using: &random),
                nanoseconds: UInt32.random(in: 0..<1_000_000_000, using: &random)))
    }

    private static func fill(_ record: inout EntryRecord, _ random: inout SeededRandom) throws {
        record.size = random.pick([0, 1, 1 << 40, UInt64(Int64.max)])
        record.digest = SHA256.digest(of: random.bytes(5))
        record.flags.insert(.hashed)
        if random.once(in: 4) { record.flags.insert(.sparse) }
        if random.once(in: 4) { record.linkGroup = UInt32.random(in: 1...9, using: &random) }
    }

    private static func extended(_ random: inout SeededRandom) -> [ExtendedAttribute] {
        [
            ExtendedAttribute(name: Array("user.a=b c\n".utf8), value: random.bytes(300)),
            ExtendedAttribute(name: Array("user.e".utf8), value: []),
        ]
    }
}
