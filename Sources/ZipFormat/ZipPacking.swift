import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// Packs the entries of a plan into an archive: each read once, hashed and compressed by all threads, written in path order.
struct ZipPacking {
    /// What became of the plan.
    struct Packed: Sendable {
        var table: EntryTable
        var skipped: [Skipped]
        var bytesWritten: UInt64 = 0
    }

    /// A run of small entries, or a piece of a large file.
    private enum Work: Sendable {
        case small(Range<Int>)
        case piece(LargeMember, number: Int)
    }

    /// Larger files are cut into pieces of this size, so that no thread ends with one of them alone.
    static let pieceSize = 8 << 20
    /// So much is compressed before it is written.
    private static let batchSize: UInt64 = 1 << 20
    private static let batchCount = 256

    let plan: SourcePlan
    let pool: ThreadPool
    let run: RunContext
    /// What members are encrypted with.
    var password: Password?

    func pack(into archive: ZipArchive) throws -> Packed {
        let work = try workList()
        let total = (0..<plan.table.count).lazy.map { plan.table[$0].size }.saturatingSum()
        let meter = ProgressMeter(.saving, entries: plan.table.count, bytes: total, in: run)
        let workers = PerWorker(pool) { ZipWorker(plan.makeStoredReader(stop: run.stop), password) }
        let packed = Monitor(Progress(packed: Packed(table: plan.table, skipped: plan.skipped)))
        let maker = ZipMemberMaker(plan: plan, run: run)
        do {
            try pool.forEach(work.count) { worker, number in
                let (part, filled) = try workers.with(worker) { state in
                    switch work[number] {
                    case .small(let range): try maker.pack(range, &state)
                    case .piece(let member, let piece): try member.pack(piece, &state)
                    }
                }
                packed.withLock { $0.take(filled) }
                switch work[number] {
                case .small(let range):
                    let bytes = range.lazy.map { plan.table[$0].size }.saturatingSum()
                    meter.advance(entries: range.count, bytes: bytes) { plan.table.path(of: range.lowerBound) }
                case .piece(let member, let piece):
                    meter.advance(entries: piece == 0 ? 1 : 0, bytes: UInt64(Self.pieceSize)) { member.path }
                }
                try archive.take(part, number: number)
            }
        } catch {
            throw archive.failed(or: error)
        }
        // All of it leaves the monitor: a second reference would make the next change copy the table.
        let progress = packed.withLock { progress in
            let all = progress
            progress = Progress(packed: Packed(table: EntryTable(root: plan.table[0]), skipped: []))
            return all
        }
        return try progress.finished()
    }

    private func workList() throws -> [Work] {
        var work: [Work] = []
        var start = 1
        var bytes: UInt64 = 0
        func close(at end: Int) {
            if start < end { work.append(.small(start..<end)) }
            start = end
            bytes = 0
        }
        for index in 1..<max(1, plan.table.count) {
            let record = plan.table[index]
            if record.kind == .file && record.size > UInt64(Self.pieceSize) {
                close(at: index)
                start = index + 1
                let member = LargeMember(index, plan, run, password)
                for piece in 0..<member.pieces { work.append(.piece(member, number: piece)) }
                continue
            }
            if bytes + record.size > Self.batchSize || index - start >= Self.batchCount { close(at: index) }
            bytes += record.size
        }
        close(at: plan.table.count)
        return work
    }
}

/// What was read of one entry.
struct ZipFilled: Sendable {
    let index: Int
    /// As it was read; nil if the plan's record is right.
    var record: EntryRecord?
    var extended: [ExtendedAttribute] = []
    var skipped: Skipped?
}

private struct Progress: Sendable {
    var packed: ZipPacking.Packed
    var missing: Set<Int> = []

    mutating func take(_ filled: [ZipFilled]) {
        for entry in filled {
            if let skipped = entry.skipped {
                packed.skipped.append(skipped)
                if !skipped.isKept {
                    missing.insert(entry.index)
                    continue
                }
            }
            guard let record = entry.record else { continue }
            packed.table[entry.index].take(record)
            packed.table.setExtended(entry.extended, of: entry.index)
            packed.bytesWritten.add(saturating: record.size)
        }
    }

    func finished() throws -> ZipPacking.Packed {
        var result = packed
        // Names of one file are read one by one: if it changed between, they are no longer one.
        var first: [UInt32: Int] = [:]
        for index in 0..<result.table.count where result.table[index].linkGroup != 0 && !missing.contains(index) {
            let record = result.table[index]
            guard let other = first[record.linkGroup] else {
                first[record.linkGroup] = index
                continue
            }
            let isSame =
                record.size == result.table[other].size && record.digest == result.table[other].digest
                && result.table.attributes(of: index) == result.table.attributes(of: other)
            if !isSame { result.table[index].linkGroup = 0 }
        }
        if !missing.isEmpty { result.table = result.table.filtered { !missing.contains($0) } }
        return result
    }
}

/// What one thread uses again and again.
struct ZipWorker: ~Copyable {
    let input = Buffer(size: ZipPacking.pieceSize)
    let output: Buffer
    var hash = SHA256()
    var deflate = Deflate(level: 7)
    /// For small members, of which headers are a good part: a little larger, and much faster.
    var quick = Deflate(level: 6)
    var probe = Deflate(level: 1)
    var proof = InflateStream()
    /// Where a backup is copied.
    let stored: (any ContentReader)?
    /// Where members are encrypted.
    let cipher: AE2Cipher?

    init(_ stored: sending (any ContentReader)? = nil, _ password: Password? = nil) {
        self.stored = stored
        cipher = password.map { AE2Cipher($0) }
        output = Buffer(size: deflate.bound(ZipPacking.pieceSize) + 16)
    }

    static let probedFrom = 128 << 10
    private static let sampleSize = 32 << 10

    /// Whether compressing seems to gain nothing: tried fast on three samples of what is worth it.
    mutating func gainsNothing(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count >= Self.probedFrom else { return false }
        var made = 0
        for part in 0..<3 {
            let start = (bytes.count - Self.sampleSize) / 2 * part
            let sample = UnsafeRawBufferPointer(rebasing: bytes[start..<start + Self.sampleSize])
            made += probe.compress(sample, into: output.bytes) ?? Self.sampleSize
        }
        return made > 3 * Self.sampleSize * 99 / 100
    }
}
