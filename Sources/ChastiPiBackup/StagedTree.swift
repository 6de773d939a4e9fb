import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Puts entries of a backup together in a directory of ours, every byte checked against its hash, with their attributes
/// (promise 6). Nothing of the app is touched.
struct StagedTree: Sendable {
    private let contents: any BackupContents
    /// Where other versions of the files may stand.
    private let app: Directory?
    private let attributes: WantedAttributes
    private let pool: ThreadPool
    private let run: RunContext
    private let notKept = Mutexed<[String]>([])
    private let hasCheckedTime = Mutexed(false)
    /// Bytes: smaller files are mostly one part.
    private static let reusedFrom: UInt64 = 512 << 10

    /// `app`: what parts of files are taken from where the backup allows it.
    init(
        _ contents: any BackupContents, reusing app: Directory? = nil, attributes: WantedAttributes, pool: ThreadPool,
        in run: RunContext
    ) {
        self.contents = contents
        self.app = contents.isDivided ? app : nil
        self.attributes = attributes
        self.pool = pool
        self.run = run
    }

    /// Builds the entries at `indices` (in path order) below `target`. Returns what could not be set, as clauses.
    func build(_ indices: [Int], in target: Directory, meter: ProgressMeter) throws -> [String] {
        for index in indices { note(index, attributes.denied(index)) }
        let build = TreeBuild(indices, of: contents.table, in: target)
        try build.makeDirectories(forEach: pool.forEach)
        let states = PerWorker(pool) { contents.makeReader(stop: run.stop) }
        let runs = build.runs(by: contents.position(of:))
        try pool.forEach(runs.count) { worker, number in
            try states.with(worker) { reader in
                for unit in runs[number] {
                    try place(unit, reader, in: try build.directory(at: unit.directory), meter)
                }
            }
        }
        try build.makeHardLinks { link, _ in
            let directory = try build.directory(at: Int(contents.table[link].parent))
            var owner: FileOwner?
            try states.with(0) { reader in try place(link, reader, in: directory, &owner) }
            note(link, ["hard link (a copy stands in its place)"])
        }
        try build.finishDirectories(
            ownership: attributes.ownership, attributes: attributes.attributes(of:),
            forEach: pool.forEach, unset: note)
        return notKept.value.withLock { notKept in
            defer { notKept = [] }
            return notKept
        }
    }

    private func place(
        _ unit: TreeBuild.Unit, _ reader: any ContentReader, in directory: Directory, _ meter: ProgressMeter
    ) throws {
        // Whom new files of this directory belong to; told by the first.
        var owner: FileOwner?
        for index in unit.entries {
            try run.stop.check()
            do {
                try place(index, reader, in: directory, &owner)
            } catch let error as DiskError {
                throw error.naming(contents.table.path(of: index))
            }
            meter.advance(entries: 1, bytes: contents.table[index].size) { contents.table.path(of: index) }
        }
    }

    private func place(
        _ index: Int, _ reader: any ContentReader, in directory: Directory, _ owner: inout FileOwner?
    ) throws {
        let name = Array(contents.table.path(of: index).name)
        if contents.table[index].kind != .file {
            try makeNode(index, name, in: directory)
            let unset = try FileAttributes.apply(
                attributes.attributes(of: index), toUnopened: name, in: directory, ownership: attributes.ownership)
            note(index, unset)
            return
        }
        var file = try NewFile(name, in: directory)
        try copy(index, reader, to: &file)
        let now = try owner ?? file.status().owner
        owner = now
        let wanted = attributes.attributes(of: index)
        let unset = try FileAttributes.apply(
            wanted, to: file.descriptor, now: now, ownership: attributes.ownership, currentExtended: [])
        note(index, unset)
        try checkTime(index, wanted.modified, of: file)
    }

    /// Makes what has no content: a link, a fifo or a device.
    private func makeNode(_ index: Int, _ name: [UInt8], in directory: Directory) throws {
        let (kind, target) = (contents.table[index].kind, contents.table.target(of: index))
        switch kind {
        case .fifo: try directory.makeFifo(name)
        case .characterDevice, .blockDevice:
            guard let number = DeviceNumber(text: target) else {
                throw DiskError(.invalid, "make the device", printable(name), because: "it has no number")
            }
            try directory.makeDevice(name, isBlock: kind == .blockDevice, number)
        default: try directory.makeLink(name, to: target)
        }
    }

    /// Of a file that stands in the app already, only what differs is read from the backup.
    private func copy(_ index: Int, _ reader: any ContentReader, to file: inout NewFile) throws {
        if let app, contents.table[index].size >= Self.reusedFrom {
            let path = contents.table.path(of: index)
            var isOpen = false
            do {
                let directory = try app.directory(at: path.parent ?? .root)
                if try directory.status(of: path.name)?.kind == .file {
                    let old = try OpenFile(path.name, in: directory)
                    isOpen = true
                    return try reader.copy(index, to: &file, reusing: old)
                }
            } catch  where !isOpen && error is DiskError {
                // Mostly it is not there. All of it is in the backup.
            }
        }
        try reader.copy(index, to: &file)
    }

    /// One file tells what the file system keeps of times.
    private func checkTime(_ index: Int, _ wanted: Timestamp, of file: borrowing NewFile) throws {
        guard wanted.nanoseconds != 0,
            hasCheckedTime.value.withLock({ checked in
                defer { checked = true }
                return !checked
            })
        else { return }
        if try file.status().modified != wanted {
            note(index, ["the exact time, nor that of the others (the file system rounds times)"])
        }
    }

    @Sendable private func note(_ index: Int, _ unset: [String]) {
        guard !unset.isEmpty else { return }
        let path = contents.table.path(of: index)
        notKept.value.withLock { $0 += unset.map { "\(path): \($0)" } }
    }
}

/// A lock that copies of a value can share.
private final class Mutexed<Value: Sendable>: Sendable {
    let value: Mutex<Value>

    init(_ value: Value) {
        self.value = Mutex(value)
    }
}
