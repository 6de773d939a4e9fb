import Model

/// What a restore, an undo or a redo does, place by place: written and made durable before the first place changes
/// (D6). A value; `RestoreJournalReader` parses it.
struct RestoreJournal: Sendable {
    /// A directory on the way to a place, or a place that is a directory, with its attributes before and after (D7).
    struct DirectoryLine: Equatable, Sendable {
        let path: EntryPath
        var old: Attributes?
        var new: Attributes?
    }

    /// One place with the listings of what stands there and of what waits; nil where there is nothing. Index 0 of a
    /// listing is the entry at the place itself.
    struct Step: Sendable {
        let place: EntryPath
        var old: EntryTable?
        var new: EntryTable?
    }

    let id: String
    let number: Int
    /// Opaque bytes of the upper floor.
    let note: [UInt8]
    /// Where other file systems are mounted that have a place, relative to the app.
    let mounts: [EntryPath]
    /// Sorted by path.
    var directories: [DirectoryLine]
    /// In order of execution (P8).
    var steps: [Step]

    var transaction: RestoreState.Transaction { .init(id: id, number: number) }
    var fileName: String { Self.fileName(number) }

    static func fileName(_ number: Int) -> String { "journal.\(number)" }

    func encoded() -> [UInt8] {
        var writer = JournalWriter()
        writer.line("chastipi-journal", "1", id, String(number))
        writer.line("note", escaping: note)
        for mount in mounts { writer.line("mount", path: mount) }
        for directory in directories {
            writer.begin("dir")
            writer.field(path: directory.path)
            writer.field(directory.old)
            writer.field(directory.new)
            writer.end()
        }
        for step in steps {
            writer.line("place", path: step.place)
            writer.listing("old", step.old)
            writer.listing("new", step.new)
        }
        return writer.finish()
    }
}

/// Puts together the lines of a journal.
private struct JournalWriter {
    private var bytes: [UInt8] = []
    private var lines = 0

    mutating func begin(_ keyword: String) {
        bytes.append(contentsOf: keyword.utf8)
    }

    mutating func end() {
        bytes.append(UInt8(ascii: "\n"))
        lines += 1
    }

    mutating func field(_ text: String) {
        bytes.append(UInt8(ascii: " "))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func field(escaping value: some Sequence<UInt8>) {
        bytes.append(UInt8(ascii: " "))
        EscapedBytes.append(value, to: &bytes)
    }

    mutating func field(path: EntryPath) {
        field(escaping: path.isRoot ? [UInt8(ascii: ".")] : path.bytes)
    }

    mutating func field(_ attributes: Attributes?) {
        guard let attributes else { return field("-") }
        let time = attributes.modified
        let mode = String(attributes.mode, radix: 8)
        field("\(mode):\(attributes.user):\(attributes.group):\(time.seconds).\(nineDigits(time.nanoseconds))")
        for attribute in attributes.extended {
            bytes.append(UInt8(ascii: ":"))
            EscapedBytes.append(attribute.name, to: &bytes)
            bytes.append(UInt8(ascii: "="))
            EscapedBytes.append(attribute.value, to: &bytes)
        }
    }

    mutating func line(_ fields: String...) {
        begin(fields[0])
        for text in fields.dropFirst() { field(text) }
        end()
    }

    mutating func line(_ keyword: String, escaping value: [UInt8]) {
        begin(keyword)
        field(escaping: value)
        end()
    }

    mutating func line(_ keyword: String, path: EntryPath) {
        begin(keyword)
        field(path: path)
        end()
    }

    mutating func listing(_ side: String, _ table: EntryTable?) {
        guard let table else { return }
        for index in 0..<table.count {
            let record = table[index]
            begin(side)
            if index == 0 {
                field(".")
            } else {
                table.withPath(of: index) { field(escaping: $0) }
            }
            field(String(UnicodeScalar(letter(of: record.kind))))
            field(String(record.size))
            field(table.attributes(of: index))
            field(String(record.inode))
            end()
        }
    }

    consuming func finish() -> [UInt8] {
        let crc = CRC64.hex(of: bytes)
        line("end", String(lines), crc)
        return bytes
    }
}

private func nineDigits(_ number: UInt32) -> String {
    let digits = String(number)
    return String(repeating: "0", count: 9 - digits.count) + digits
}

/// The letters of TYPE in a journal.
private let letters: [(EntryKind, UInt8)] = [
    (.file, UInt8(ascii: "f")), (.directory, UInt8(ascii: "d")), (.link, UInt8(ascii: "l")),
    (.fifo, UInt8(ascii: "p")), (.socket, UInt8(ascii: "s")), (.characterDevice, UInt8(ascii: "c")),
    (.blockDevice, UInt8(ascii: "b")),
]

private func letter(of kind: EntryKind) -> UInt8 {
    letters[Int(kind.rawValue)].1
}

func entryKind(ofLetter letter: UInt8) -> EntryKind? {
    letters.first { $0.1 == letter }?.0
}
