import Codec
import Model

/// Reads a manifest: untrusted bytes that come in pieces, one pass, every line checked.
package struct ManifestReader: ~Copyable {
    /// More than any manifest has; a larger file is refused before it is read.
    package static let sizeLimit = 1 << 31
    /// More than the extended attributes that Linux allows on one entry take in base64.
    private static let lineLimit = 16 << 20
    /// No file system of Linux has longer names.
    private static let nameLimit = 255
    private static let sealLength = "# sha256 ".utf8.count + 64 + 1

    private typealias Text = Slice<UnsafeRawBufferPointer>

    private var table = EntryTable(root: EntryRecord(kind: .directory, flags: .ancestor))
    private var held: [Int: Manifest.Held] = [:]
    /// The first name of each group of hard links.
    private var firstOfGroup: [UInt32: Int] = [:]
    private var metadata: (size: UInt64, digest: SHA256Digest)?
    private var wholeMetadata: [UInt8] = []
    private var hasRoot = false
    private var number = 0
    /// Lines that are no entry and belong to none.
    private var remarks = 0
    private static let remarkLimit = 100_000
    private var hash = SHA256()
    /// What came but is not read yet: the begin of a line, and what may be the seal.
    private var rest: [UInt8] = []
    /// So many of its first bytes are known to hold no end of a line.
    private var scanned = 0

    /// Entries there are, `.` among them: a manifest that lists more is not read to its end.
    private let entryLimit: Int

    /// `size`: of the whole manifest, as far as it is known.
    package init(size: Int = 0, entryLimit: Int = .max) {
        self.entryLimit = entryLimit
        // A line of ours has 200 bytes and more: so the arrays need not grow.
        table.reserve(entries: size / 180 + 16, bytes: size / 4)
    }

    /// The whole manifest at once.
    package static func read(_ bytes: [UInt8]) throws(ManifestError) -> Manifest {
        var reader = ManifestReader(size: bytes.count)
        try bytes.withRawBytes { bytes throws(ManifestError) in try reader.take(bytes) }
        return try reader.finish()
    }

    /// Reads the next piece.
    package mutating func take(_ piece: UnsafeRawBufferPointer) throws(ManifestError) {
        rest.append(contentsOf: piece)
        var bytes: [UInt8] = []
        swap(&bytes, &rest)
        let used = try bytes.withRawBytes { bytes throws(ManifestError) in try readLines(bytes) }
        bytes.removeFirst(used)
        if bytes.count > Self.lineLimit { throw ManifestError(line: number + 1, message: "it is too long") }
        swap(&bytes, &rest)
    }

    /// The manifest, if all pieces have come and the seal is right.
    package mutating func finish() throws(ManifestError) -> Manifest {
        guard let seal = Self.seal(inTail: rest) else {
            throw ManifestError(line: 0, message: "the seal that ends it is missing")
        }
        guard rest.count == Self.sealLength else { throw ManifestError(line: number + 1, message: "it is cut off") }
        guard hash.finish() == seal else { throw ManifestError(line: 0, message: "it does not match its seal") }
        guard hasRoot, let metadata else {
            throw ManifestError(line: 0, message: "'.' or \(BackupMetadata.fileName) is not listed")
        }
        var manifest = Manifest(
            table: table, held: held, metadataSize: metadata.size, metadataDigest: metadata.digest, seal: seal)
        manifest.wholeMetadata = wholeMetadata
        return manifest
    }

    /// The last line's hash, without checking that it is right; nil if the last line is no seal.
    package static func seal(inTail tail: [UInt8]) -> SHA256Digest? {
        guard tail.count >= sealLength, tail.last == UInt8(ascii: "\n") else { return nil }
        let line = tail.suffix(sealLength)
        let hex = line.dropLast().suffix(64)
        // Nothing guards this line but its form: a capital letter is a changed bit.
        let isLowerCase = !hex.contains { UInt8(ascii: "A")...UInt8(ascii: "F") ~= $0 }
        guard line.starts(with: "# sha256 ".utf8), isLowerCase else { return nil }
        return SHA256Digest(hex: hex)
    }

    /// Reads all whole lines but what may be the seal; an entry together with the `#:` line before it. Returns how many
    /// bytes that were.
    private mutating func readLines(_ bytes: UnsafeRawBufferPointer) throws(ManifestError) -> Int {
        let limit = max(0, bytes.count - Self.sealLength)
        var used = 0
        var start = 0
        var extra: ManifestLine?
        while start < limit, let end = bytes[max(start, min(scanned, limit))..<limit].firstIndex(of: UInt8(ascii: "\n"))
        {
            let line = bytes[start..<end]
            start = end + 1
            number += 1
            if line.first == UInt8(ascii: "#"), line.dropFirst().first == UInt8(ascii: ":") {
                if extra != nil { throw error("two '#:' lines in a row") }
                extra = try parse(line.dropFirst(2), isExtra: true)
                continue
            }
            if line.first == UInt8(ascii: "#") || line.isEmpty {
                remarks += 1
                // Untrusted, it could be nothing else for gigabytes.
                if remarks > Self.remarkLimit { throw error("there are too many lines without an entry") }
                if extra != nil { throw error("a '#:' line without an entry") }
                if line.starts(with: Manifest.metadataPrefix.utf8) { try takeMetadata(line) }
            } else {
                try entry(line, extra)
            }
            extra = nil
            used = start
        }
        // A `#:` line whose entry has not come yet is read again with it.
        if extra != nil { number -= 1 }
        scanned = extra == nil ? max(0, limit - used) : 0
        hash.update(UnsafeRawBufferPointer(rebasing: bytes[..<used]))
        return used
    }

    private mutating func takeMetadata(_ line: Text) throws(ManifestError) {
        guard let bytes = Base64.decode(line.dropFirst(Manifest.metadataPrefix.utf8.count)),
            wholeMetadata.count + bytes.count <= BackupMetadata.sizeLimit
        else { throw error("a '\(Manifest.metadataPrefix)' line that cannot be read") }
        wholeMetadata += bytes
    }

    private func parse(_ text: Text, isExtra: Bool) throws(ManifestError) -> ManifestLine {
        do throws(ManifestLine.Fault) {
            return try ManifestLine(text, isExtra: isExtra)
        } catch {
            throw self.error(error.message)
        }
    }

    private func error(_ message: String) -> ManifestError {
        ManifestError(line: number, message: message)
    }
}

// Entries.
extension ManifestReader {
    private mutating func entry(_ line: Text, _ extra: ManifestLine?) throws(ManifestError) {
        let nameEnd = line.firstIndex(of: UInt8(ascii: " ")) ?? line.endIndex
        let path = try path(line[..<nameEnd])
        let fields = try parse(line[nameEnd...], isExtra: false)
        if Manifest.isReserved(path) {
            if extra != nil { throw error("a '#:' line before a file of ours") }
            return try reserved(path, fields)
        }
        if metadata != nil { throw error("an entry after \(BackupMetadata.fileName)") }
        if hasRoot, table.count >= entryLimit { throw error("it lists more than there is") }
        if path.isRoot == hasRoot { throw error("'.' stands first, and only there") }
        guard let kind = fields.type else { throw error("an entry without its type") }
        var record = EntryRecord(kind: kind, flags: extra?.extra.flags ?? [])
        if let extra { try check(extra, fits: kind, &record) }
        if path.isRoot && fields.mode == nil {
            record.flags.insert(.ancestor)
        } else {
            try fill(&record, from: fields, extra: extra, index: path.isRoot ? 0 : table.count)
        }
        if path.isRoot {
            guard kind == .directory else { throw error("'.' is no directory") }
            hasRoot = true
            table[0] = record
            table.setRoot(extended: extra?.extra.extended ?? [])
            return
        }
        do throws(EntryTableError) {
            try table.append(record, path: path, target: fields.target ?? [], extended: extra?.extra.extended ?? [])
        } catch {
            throw self.error(error == .noParent ? "\(path): its directory is not listed" : "\(path): out of order")
        }
        try checkGroup(of: table.count - 1)
    }

    /// The names of one file have one content and one set of attributes.
    private mutating func checkGroup(of index: Int) throws(ManifestError) {
        let record = table[index]
        guard record.linkGroup != 0 else { return }
        guard let first = firstOfGroup[record.linkGroup] else {
            firstOfGroup[record.linkGroup] = index
            return
        }
        let isSame =
            record.size == table[first].size && record.digest == table[first].digest
            && table.attributes(of: index) == table.attributes(of: first)
        if !isSame { throw error("\(table.path(of: index)): not as \(table.path(of: first)), the same file") }
    }

    private func check(
        _ extra: ManifestLine, fits kind: EntryKind, _ record: inout EntryRecord
    ) throws(ManifestError) {
        do throws(ManifestLine.Fault) {
            try extra.checkExtra(fits: kind)
        } catch {
            throw self.error(error.message)
        }
        record.linkGroup = extra.extra.linkGroup
    }

    private mutating func fill(
        _ record: inout EntryRecord, from fields: ManifestLine, extra: ManifestLine?, index: Int
    ) throws(ManifestError) {
        guard let mode = fields.mode, let user = fields.user, let group = fields.group, let modified = fields.modified
        else { throw error("an entry without mode, uid, gid or time") }
        record.mode = extra?.mode ?? mode
        record.user = extra?.user ?? user
        record.group = extra?.group ?? group
        record.modified = modified
        Self.name(record.user, extra?.userName ?? (extra?.user == nil ? fields.userName : nil), in: &table.userNames)
        Self.name(
            record.group, extra?.groupName ?? (extra?.group == nil ? fields.groupName : nil), in: &table.groupNames)
        if let extra, extra.mode != nil || extra.extra.lacksExtended {
            held[index] = .init(user: user, group: group, mode: mode, lacksExtended: extra.extra.lacksExtended)
        }
        switch record.kind {
        case .file:
            guard let size = fields.size, let digest = fields.digest else {
                throw error("a file without size or sha256")
            }
            record.size = size
            record.digest = digest
            record.flags.insert(.hashed)
        case .link:
            guard let target = fields.target, !target.isEmpty, !target.contains(0), target.count < 4096 else {
                throw error("a link without a target")
            }
        default: break
        }
    }

    private mutating func reserved(_ path: EntryPath, _ fields: ManifestLine) throws(ManifestError) {
        guard path.bytes.elementsEqual(BackupMetadata.fileName.utf8) else { return }
        guard metadata == nil, let size = fields.size, let digest = fields.digest else {
            throw error("\(path): listed twice, or without size or sha256")
        }
        metadata = (size, digest)
    }

    private static func name(_ number: UInt32, _ text: Text?, in names: inout [UInt32: String]) {
        guard let text, names[number] == nil, let bytes = ManifestText.decode(text) else { return }
        names[number] = String(decoding: bytes, as: UTF8.self)
    }

    private func path(_ text: Text) throws(ManifestError) -> EntryPath {
        if text.count == 1, text.first == UInt8(ascii: ".") { return .root }
        guard text.starts(with: "./".utf8), let bytes = ManifestText.decode(text.dropFirst(2)),
            let path = EntryPath(checking: bytes), !path.isRoot, path.name.count <= Self.nameLimit
        else { throw error("'\(printable(text.prefix(200)))' is no path inside a backup") }
        return path
    }
}
