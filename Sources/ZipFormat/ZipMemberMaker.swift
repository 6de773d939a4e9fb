import Codec
import Containers
import Disk
import Model
import Workers

/// Makes members of small entries: each is read whole, hashed and compressed in one go.
struct ZipMemberMaker: Sendable {
    let plan: SourcePlan
    let run: RunContext

    func pack(_ range: Range<Int>, _ worker: inout ZipWorker) throws -> (ZipPart, [ZipFilled]) {
        var part = ZipPart()
        var filled: [ZipFilled] = []
        let places = PlanSource(plan, worker.stored)
        for index in range {
            try run.stop.check()
            let record = plan.table[index]
            switch record.kind {
            case .directory: part.add(header(index, record))
            case .link: add(header(index, record), plan.table.target(of: index), worker.cipher, to: &part)
            default:
                let entry = try pack(file: index, places, &worker, &part)
                filled.append(entry)
            }
        }
        return (part, filled)
    }

    private func header(_ index: Int, _ record: EntryRecord) -> ZipMemberHeader {
        ZipMemberHeader(plan.table, index, record, run.clock)
    }

    /// Adds a member with data that is not compressed.
    private func add(_ header: ZipMemberHeader, _ data: [UInt8], _ cipher: AE2Cipher?, to part: inout ZipPart) {
        var header = header
        header.size = UInt64(data.count)
        data.withUnsafeBytes { data in
            header.checksum = CRC32.update(0, data)
            part.add(header, data, cipher)
        }
    }

    private func pack(
        file index: Int, _ places: PlanSource, _ worker: inout ZipWorker, _ part: inout ZipPart
    ) throws -> ZipFilled {
        var filled = ZipFilled(index: index)
        let read: PlanSource.Read
        do {
            read = try places.read(index, into: worker.input.bytes)
        } catch let error as SourceUnreadable {
            filled.skipped = Skipped(path: plan.table.path(of: index), reason: error.clause)
            return filled
        }
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(worker.input.bytes)[..<read.count])
        worker.hash.update(bytes)
        var record = read.record
        record.size = UInt64(read.count)
        record.digest = worker.hash.finish()
        record.flags.insert(.hashed)
        var header = header(index, record)
        header.checksum = CRC32.update(0, bytes)
        header.size = record.size
        let compressed = worker.compress(bytes)
        if compressed != nil { header.method = ZipMethod.deflated }
        let data =
            compressed.map { UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(worker.output.bytes)[..<$0]) }
            ?? bytes
        part.add(header, data, worker.cipher)
        filled.record = record
        filled.extended = read.extended
        if !read.isStable { filled.skipped = .changing(plan.table.path(of: index)) }
        if plan.content(of: index) == .file, DatabaseFiles.isHeader(bytes) {
            filled.skipped = .unknownDatabase(plan.table.path(of: index))
        }
        return filled
    }
}

extension ZipPart {
    mutating func add(_ header: ZipMemberHeader) {
        members.append((header, bytes.count))
        bytes += header.localBytes
    }
}

extension ZipMemberHeader {
    init(_ table: EntryTable, _ index: Int, _ record: EntryRecord, _ clock: Clock) {
        var name = table.path(of: index).bytes
        if record.kind == .directory { name.append(UInt8(ascii: "/")) }
        self.init(
            name: name, mode: Self.typeBits(record.kind) | UInt32(record.mode),
            modified: LocalTime(moment: record.modified, offset: clock.offset(record.modified)), user: record.user,
            group: record.group)
    }
}

extension ZipWorker {
    /// Compresses into `output`; nil if that gains nothing.
    mutating func compress(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard !bytes.isEmpty, !gainsNothing(bytes) else { return nil }
        let isSmall = bytes.count < Self.probedFrom
        let made = isSmall ? quick.compress(bytes, into: output.bytes) : deflate.compress(bytes, into: output.bytes)
        return made.flatMap { $0 < bytes.count ? $0 : nil }
    }
}
