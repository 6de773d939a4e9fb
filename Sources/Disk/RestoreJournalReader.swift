import Model

extension RestoreJournal {
    /// Parses a whole journal: an unknown keyword, a wrong order, count or CRC is damage, and then nil (D6). Everything is
    /// checked before anything is done.
    init?(parsing bytes: [UInt8]) {
        guard let content = Self.checkedContent(of: bytes) else { return nil }
        var reader = JournalReader(content)
        guard let journal = reader.journal() else { return nil }
        self = journal
    }

    /// The lines before the `end` line, if that line is right.
    private static func checkedContent(of bytes: [UInt8]) -> ArraySlice<UInt8>? {
        guard bytes.last == UInt8(ascii: "\n") else { return nil }
        let start = bytes.dropLast().lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
        let content = bytes[..<start]
        let lines = content.reduce(into: 0) { $0 += $1 == UInt8(ascii: "\n") ? 1 : 0 }
        let expected = "end \(lines) \(CRC64.hex(of: content))\n"
        return bytes[start...].elementsEqual(expected.utf8) ? content : nil
    }
}

private struct JournalReader {
    private var lines: ArraySlice<ArraySlice<UInt8>>

    init(_ content: ArraySlice<UInt8>) {
        lines = content.dropLast().split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    }

    mutating func journal() -> RestoreJournal? {
        guard let head = fields(of: "chastipi-journal"), head.count == 3, head[0].elementsEqual("1".utf8),
            let number = Int(ascii: head[2]), number > 0,
            let note = fields(of: "note"), note.count == 1, let noteBytes = EscapedBytes.decode(note[0])
        else { return nil }
        let id = String(decoding: head[1], as: UTF8.self)
        guard isHexID(id) else { return nil }
        var mounts: [EntryPath] = []
        while let mount = fields(of: "mount") {
            guard mount.count == 1, let path = path(mount[0]), !path.isRoot else { return nil }
            mounts.append(path)
        }
        guard let directories = directories(), let steps = steps(), lines.isEmpty else { return nil }
        return RestoreJournal(
            id: id, number: number, note: noteBytes, mounts: mounts, directories: directories, steps: steps)
    }

    private mutating func directories() -> [RestoreJournal.DirectoryLine]? {
        var directories: [RestoreJournal.DirectoryLine] = []
        while let line = fields(of: "dir") {
            guard line.count == 3, let path = path(line[0]), directories.last.map({ $0.path < path }) ?? true,
                let old = optionalAttributes(line[1]), let new = optionalAttributes(line[2])
            else { return nil }
            directories.append(.init(path: path, old: old.value, new: new.value))
        }
        return directories
    }

    private mutating func steps() -> [RestoreJournal.Step]? {
        var steps: [RestoreJournal.Step] = []
        while let line = fields(of: "place") {
            guard line.count == 1, let place = path(line[0]), !place.isRoot,
                let old = listing("old"), let new = listing("new"), old.value != nil || new.value != nil
            else { return nil }
            steps.append(.init(place: place, old: old.value, new: new.value))
        }
        return steps
    }

    /// Something that may be absent: nil is damage.
    private struct Optionally<Value> {
        let value: Value?
    }

    private mutating func listing(_ side: StaticString) -> Optionally<EntryTable>? {
        guard let first = fields(of: side) else { return Optionally(value: nil) }
        guard first.count == 5, first[0].elementsEqual(".".utf8), let top = entry(first) else { return nil }
        var table = EntryTable(root: top.record)
        table.setRoot(extended: top.extended)
        while let line = fields(of: side) {
            guard line.count == 5, let path = path(line[0]), let entry = entry(line) else { return nil }
            do throws(EntryTableError) {
                try table.append(entry.record, path: path, extended: entry.extended)
            } catch {
                return nil
            }
        }
        return Optionally(value: table)
    }

    private func entry(_ line: [ArraySlice<UInt8>]) -> (record: EntryRecord, extended: [ExtendedAttribute])? {
        guard line[1].count == 1, let letter = line[1].first, let kind = entryKind(ofLetter: letter),
            let size = UInt64(ascii: line[2]), let attributes = attributes(line[3]), let inode = UInt64(ascii: line[4])
        else { return nil }
        var record = EntryRecord(
            kind: kind, mode: attributes.mode, user: attributes.user, group: attributes.group, size: size,
            modified: attributes.modified)
        record.inode = inode
        return (record, attributes.extended)
    }

    private func optionalAttributes(_ field: ArraySlice<UInt8>) -> Optionally<Attributes>? {
        if field.elementsEqual("-".utf8) { return Optionally(value: nil) }
        return attributes(field).map { Optionally(value: $0) }
    }

    private func attributes(_ field: ArraySlice<UInt8>) -> Attributes? {
        let parts = field.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count >= 4, let mode = UInt16(ascii: parts[0], radix: 8), mode <= 0o7777,
            let user = UInt32(ascii: parts[1]), let group = UInt32(ascii: parts[2]), let time = time(parts[3])
        else { return nil }
        var extended: [ExtendedAttribute] = []
        for part in parts[4...] {
            let sides = part.split(separator: UInt8(ascii: "="), omittingEmptySubsequences: false)
            guard sides.count == 2, let name = EscapedBytes.decode(sides[0]), !name.isEmpty,
                let value = EscapedBytes.decode(sides[1])
            else { return nil }
            extended.append(ExtendedAttribute(name: name, value: value))
        }
        return Attributes(mode: mode, user: user, group: group, modified: time, extended: extended)
    }

    private func time(_ field: ArraySlice<UInt8>) -> Timestamp? {
        let parts = field.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 2, parts[1].count == 9, let seconds = Int64(ascii: parts[0]),
            let nanoseconds = UInt32(ascii: parts[1])
        else { return nil }
        return Timestamp(seconds: seconds, nanoseconds: nanoseconds)
    }

    private func path(_ field: ArraySlice<UInt8>) -> EntryPath? {
        guard !field.isEmpty, let bytes = EscapedBytes.decode(field) else { return nil }
        return EntryPath(bytes)
    }

    /// The fields after the keyword, if the next line begins with it; the line is used up then.
    private mutating func fields(of keyword: StaticString) -> [ArraySlice<UInt8>]? {
        guard let line = lines.first else { return nil }
        let fields = line.split(separator: UInt8(ascii: " "), omittingEmptySubsequences: false)
        let matches = keyword.withUTF8Buffer { fields[0].elementsEqual($0) }
        guard matches else { return nil }
        lines = lines.dropFirst()
        return Array(fields.dropFirst())
    }
}

extension FixedWidthInteger {
    /// Nil unless `text` is this number in digits, with nothing else around.
    fileprivate init?(ascii text: ArraySlice<UInt8>, radix: Int = 10) {
        guard text.first != UInt8(ascii: "+") else { return nil }
        self.init(String(decoding: text, as: UTF8.self), radix: radix)
    }
}
