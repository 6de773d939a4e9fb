import Disk
import Model

/// What a format is given to write: the entries of a source, and for each where its bytes come from. Formats open bytes
/// through the plan and never by path; the plan decides what is unchanged.
package struct SourcePlan: Sendable {
    /// The previous backup, whose files may be shared. A class: workers take hold of it for each file, and a value would
    /// have them count the references of all that is in it.
    package final class Parent: Sendable {
        package let name: BackupName
        /// Its folder.
        package let directory: Directory
        /// What its files have instead of what they could not be given, by index.
        package let held: [Int: Manifest.Held]

        fileprivate init(_ reading: ParentReading) {
            name = reading.name
            directory = reading.directory
            held = reading.manifest.held
        }
    }

    /// The previous backup as it was read, to be compared with; its table is not kept longer than that.
    package struct ParentReading: Sendable {
        package let name: BackupName
        package let directory: Directory
        package let manifest: Manifest
        package let seen: SeenRecords?

        package init(name: BackupName, directory: Directory, manifest: Manifest, seen: SeenRecords?) {
            self.name = name
            self.directory = directory
            self.manifest = manifest
            self.seen = seen
        }
    }

    /// Where the bytes of a file come from.
    package enum Content: Sendable, Equatable {
        /// From the source, read now.
        case file
        /// Unchanged since the parent: the entry with this index there.
        case shared(Int)
    }

    package let source: Directory
    /// Only what is to be saved.
    package var table: EntryTable
    package let parent: Parent?
    /// Index into the parent's table by entry; -1 for what must be read.
    private var sharedIndices: [Int32]
    package var skipped: [Skipped]
    /// When the scan began: what changed after that is read again next time.
    package let reading: Timestamp

    package func content(of index: Int) -> Content {
        sharedIndices[index] < 0 ? .file : .shared(Int(sharedIndices[index]))
    }

    package var sharedFiles: Int { sharedIndices.reduce(0) { $0 + ($1 < 0 ? 0 : 1) } }

    /// Joins the entries of a source with the parent's. `isFull`: nothing is shared.
    ///
    /// `table` is taken over and left empty: a second reference would make the first change copy all of it.
    package init(
        source: Directory, taking table: inout EntryTable, skipped: [Skipped], parent: ParentReading?, isFull: Bool,
        reading: Timestamp
    ) {
        self.source = source
        self.table = EntryTable(root: EntryRecord(kind: .directory))
        swap(&self.table, &table)
        self.skipped = skipped
        self.parent = parent.map { Parent($0) }
        self.reading = reading
        sharedIndices = Array(repeating: -1, count: self.table.count)
        var join = ParentJoin(parent?.manifest.table, parent?.seen)
        for index in 0..<self.table.count {
            guard let old = join.unchanged(index, in: self.table), let parent else {
                readExtended(of: index)
                continue
            }
            self.table.setExtended(parent.manifest.table.extended(of: old), of: index)
            if self.table[index].kind == .file {
                if !isFull { sharedIndices[index] = Int32(old) }
                self.table[index].digest = parent.manifest.table[old].digest
                self.table[index].flags.insert(.hashed)
            }
        }
    }

    /// Files' extended attributes are read when the file is; those of directories and links here.
    private mutating func readExtended(of index: Int) {
        guard table[index].kind != .file else { return }
        do throws(DiskError) {
            let path = table.path(of: index)
            let extended: [ExtendedAttribute]
            if let above = path.parent {
                extended = try FileAttributes.extended(of: path.name, in: try source.directory(at: above))
            } else {
                extended = try FileAttributes.extended(of: source.descriptor)
            }
            table.setExtended(extended, of: index)
        } catch {
            // An entry that vanished meanwhile is named when its content is missed; the rest must be named here.
            if error.code != .notFound {
                skipped.append(
                    Skipped(path: table.path(of: index), reason: "extended attributes: \(error.reason)", isKept: true))
            }
        }
    }
}

/// Goes through two tables in path order at once.
private struct ParentJoin {
    private let parent: EntryTable?
    private let seen: SeenRecords?
    private var next = 1

    init(_ parent: EntryTable?, _ seen: SeenRecords?) {
        self.parent = parent
        self.seen = seen
    }

    /// The parent's index of an entry that is as it was then: same size, time, change, inode and all attributes.
    mutating func unchanged(_ index: Int, in table: EntryTable) -> Int? {
        guard let parent, let seen else { return nil }
        let found = index == 0 ? 0 : position(of: index, in: table, parent)
        guard let found, let known = seen[found] else { return nil }
        let (now, then) = (table[index], parent[found])
        let isSame =
            now.kind == then.kind && now.size == then.size && now.modified == then.modified && now.mode == then.mode
            && now.user == then.user && now.group == then.group && now.device == known.device
            && now.inode == known.inode && now.changed == known.changed
        return isSame ? found : nil
    }

    private mutating func position(of index: Int, in table: EntryTable, _ parent: EntryTable) -> Int? {
        while next < parent.count {
            switch table.order(of: index, comparedTo: next, in: parent) {
            case ..<0: return nil
            case 0:
                next += 1
                return next - 1
            default: next += 1
            }
        }
        return nil
    }
}
