import Codec
import Containers
import Disk
import Model
import Synchronization
import Workers

/// A member that is cut into pieces, which threads read and compress side by side. Hash and checksum are taken in order.
final class LargeMember: Sendable {
    private struct State: Sendable {
        var file: SharedFile?
        /// Why it cannot be read: it is left out.
        /// Whether it begins as a database does, and was not prepared as one.
        var isDatabase = false
        var unreadable: String?
        var method = ZipMethod.deflated
        /// The piece whose turn it is to be hashed.
        var turn = 0
        var checksum: UInt32 = 0
        var size: UInt64 = 0
        var compressed: UInt64 = 0
        /// As it was read, at the end.
        var record: EntryRecord?
        /// Whether another piece failed: nobody waits any more.
        var isGivenUp = false
    }

    private final class SharedFile: Sendable {
        let file: OpenFile

        init(_ file: consuming OpenFile) {
            self.file = file
        }
    }

    private struct GivenUp: Error {}

    let path: EntryPath
    let pieces: Int
    private let index: Int
    private let plan: SourcePlan
    private let run: RunContext
    private let planned: EntryRecord
    private let state = Monitor(State())
    private let hash = Mutex(SHA256())
    /// Encrypts pieces when they are in their order.
    private let cipher: Mutex<AE2Cipher?>
    private let isEncrypted: Bool

    init(_ index: Int, _ plan: SourcePlan, _ run: RunContext, _ password: Password?) {
        self.index = index
        self.plan = plan
        self.run = run
        cipher = Mutex(password.map { AE2Cipher($0) })
        isEncrypted = password != nil
        path = plan.table.path(of: index)
        planned = plan.table[index]
        let size = UInt64(ZipPacking.pieceSize)
        pieces = Int(planned.size / size + (planned.size % size == 0 ? 0 : 1))
    }

    /// Makes one piece. What was read is told with the last.
    func pack(_ piece: Int, _ worker: inout ZipWorker) throws -> (ZipPart, [ZipFilled]) {
        do {
            try run.stop.check()
            return try make(piece, &worker)
        } catch {
            state.withLock { $0.isGivenUp = true }
            throw error
        }
    }

    private func make(_ piece: Int, _ worker: inout ZipWorker) throws -> (ZipPart, [ZipFilled]) {
        let file = try open(&worker)
        let count = read(piece, file, into: worker.input.bytes)
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(worker.input.bytes)[..<count])
        let checksum = CRC32.update(0, bytes)
        // Before its turn: whoever makes the last piece wants to know.
        if piece == 0, plan.content(of: index) == .file, DatabaseFiles.isHeader(bytes) {
            state.withLock { $0.isDatabase = true }
        }
        try hash(bytes, checksum, inTurnOf: piece)
        var part = ZipPart()
        if piece == 0 {
            var header = ZipMemberHeader(plan.table, index, planned, run.clock)
            header.method = state.withLock { $0.method }
            header.isLarge = planned.size >= ZipMemberHeader.largeFrom
            header.isOpenEnded = true
            header.isEncrypted = isEncrypted
            part.add(header)
        }
        let start = part.bytes.count
        try append(bytes, checksum, isLast: piece == pieces - 1, &worker, to: &part)
        let made = part.bytes.count - start
        state.withLock { $0.compressed += UInt64(made) }
        if isEncrypted { part.inTurn = { self.encrypt(&$0, from: start, piece) } }
        guard piece == pieces - 1 else { return (part, []) }
        let filled = finish(file)
        part.ends = { self.header() }
        return (part, [filled])
    }

    // MARK: Reading

    /// Opens it once, and tries whether compressing gains anything.
    private func open(_ worker: inout ZipWorker) throws -> SharedFile? {
        let known = state.withLock { ($0.file, $0.unreadable != nil, $0.turn) }
        if known.0 != nil || known.1 { return known.0 }
        let opened: SharedFile
        do {
            opened = SharedFile(try PlanSource(plan).open(index))
            let gainsNothing = try probe(opened.file, &worker)
            return state.withLock { state in
                if state.file == nil {
                    state.file = opened
                    state.method = gainsNothing ? ZipMethod.stored : ZipMethod.deflated
                }
                return state.file
            }
        } catch let error as SourceUnreadable {
            state.withLock { $0.unreadable = error.clause }
            return nil
        }
    }

    private func probe(_ file: borrowing OpenFile, _ worker: inout ZipWorker) throws -> Bool {
        let samples = 3
        let size = 256 << 10
        for sample in 0..<samples {
            let offset = (planned.size - UInt64(size)) / UInt64(samples - 1) * UInt64(sample)
            let target = UnsafeMutableRawBufferPointer(
                rebasing: worker.input.bytes[sample * size..<(sample + 1) * size])
            guard try PlanSource.read(file, at: offset, into: target) == size else { return false }
        }
        return worker.gainsNothing(UnsafeRawBufferPointer(rebasing: worker.input.bytes[..<(samples * size)]))
    }

    private func read(_ piece: Int, _ file: SharedFile?, into buffer: UnsafeMutableRawBufferPointer) -> Int {
        guard let file else { return 0 }
        let offset = UInt64(piece) * UInt64(ZipPacking.pieceSize)
        let size = Int(min(UInt64(ZipPacking.pieceSize), planned.size - offset))
        do throws(SourceUnreadable) {
            return try PlanSource.read(
                file.file, at: offset, into: UnsafeMutableRawBufferPointer(rebasing: buffer[..<size]))
        } catch {
            state.withLock { $0.unreadable = error.clause }
            return 0
        }
    }

    private func hash(_ bytes: UnsafeRawBufferPointer, _ checksum: UInt32, inTurnOf piece: Int) throws {
        try state.wait(until: { $0.isGivenUp || $0.turn == piece }) { state in
            if state.isGivenUp { throw GivenUp() }
        }
        hash.withLock { $0.update(bytes) }
        state.withLock { state in
            state.checksum = CRC32.combine(state.checksum, checksum, count: bytes.count)
            state.size += UInt64(bytes.count)
            state.turn += 1
        }
    }

    // MARK: Compressing

    private func append(
        _ bytes: UnsafeRawBufferPointer, _ checksum: UInt32, isLast: Bool, _ worker: inout ZipWorker,
        to part: inout ZipPart
    ) throws {
        guard state.withLock({ $0.method }) == ZipMethod.deflated else {
            part.bytes += bytes
            return
        }
        if bytes.isEmpty && !isLast { return }
        guard let count = worker.deflate.compress(bytes, into: worker.output.bytes) else {
            throw BackupError(.system, "\(path) could not be compressed")
        }
        let stream = UnsafeMutableRawBufferPointer(rebasing: worker.output.bytes[..<count])
        let end = try prove(stream, is: checksum, &worker)
        if isLast {
            part.bytes += UnsafeRawBufferPointer(stream)
            return
        }
        // Not the last block any more: its first bit says so.
        stream[end.start / 8] &= ~(1 << UInt8(end.start % 8))
        part.bytes += UnsafeRawBufferPointer(stream)
        // An empty stored block fills up to a whole byte: three bits, then its length and that inverted.
        let used = end.end % 8
        if used == 0 || used > 5 { part.bytes.append(0) }
        part.bytes += [0, 0, 0xff, 0xff]
    }

    /// Decompresses the piece again: memory of small computers fails, and only what is right may be joined.
    private func prove(
        _ stream: UnsafeMutableRawBufferPointer, is checksum: UInt32, _ worker: inout ZipWorker
    ) throws -> (start: Int, end: Int) {
        // The input is hashed and compressed: its buffer is free.
        var found: UInt32 = 0
        let buffer = UnsafeMutableRawBufferPointer(rebasing: worker.input.bytes[..<(256 << 10)])
        let end: (start: Int, end: Int)
        do throws(InflateError) {
            end = try worker.proof.lastBlock(of: UnsafeRawBufferPointer(stream), through: buffer) {
                found = CRC32.update(found, $0)
            }
        } catch {
            throw BackupError(
                .system, "\(path) was compressed wrongly", advice: "The memory of this computer may be failing")
        }
        guard found == checksum else {
            throw BackupError(
                .system, "\(path) was compressed wrongly", advice: "The memory of this computer may be failing")
        }
        return end
    }

    /// Encrypts what of `bytes` is the member's data, from `start` on. Before the first piece stand salt and verifier, behind
    /// the last the tag.
    private func encrypt(_ bytes: inout [UInt8], from start: Int, _ piece: Int) {
        cipher.withLock { cipher in
            guard let cipher else { return }
            var start = start
            if piece == 0 {
                let salt = AE2Cipher.freshSalt()
                bytes.insert(contentsOf: salt + cipher.begin(salt: salt), at: start)
                start += AE2Cipher.saltSize + AE2Cipher.verifierSize
            }
            bytes.withUnsafeMutableBytes { cipher.encrypt(UnsafeMutableRawBufferPointer(rebasing: $0[start...])) }
            if piece == pieces - 1 { bytes += cipher.finish() }
        }
    }

    // MARK: The end

    private func finish(_ shared: SharedFile?) -> ZipFilled {
        var filled = ZipFilled(index: index)
        do throws(SourceUnreadable) {
            let (unreadable, size) = state.withLock { ($0.unreadable, $0.size) }
            guard let shared, unreadable == nil else {
                filled.skipped = Skipped(path: path, reason: unreadable ?? "it cannot be read")
                return filled
            }
            let source = PlanSource(plan)
            var record = planned
            var isStable = true
            filled.extended = plan.table.extended(of: index)
            if !source.isPrepared(index) {
                let status = try PlanSource.status(of: shared.file)
                isStable = PlanSource.isSame(status, planned) && status.size == size
                record = status.record
                record.linkGroup = planned.linkGroup
                filled.extended = try PlanSource.extended(of: shared.file)
            }
            record.size = size
            record.digest = hash.withLock { $0.finish() }
            record.flags.insert(.hashed)
            if !isStable {
                record.inode = 0
                filled.skipped = .changing(path)
            }
            if state.withLock({ $0.isDatabase }) { filled.skipped = .unknownDatabase(path) }
            filled.record = record
            state.withLock { $0.record = record }
        } catch {
            state.withLock { $0.unreadable = error.clause }
            filled.skipped = Skipped(path: path, reason: error.clause)
        }
        return filled
    }

    /// What is known when all pieces are made; nil if the member is left out.
    private func header() -> ZipMemberHeader? {
        state.withLock { state in
            guard let record = state.record else { return nil }
            var header = ZipMemberHeader(plan.table, index, record, run.clock)
            header.method = state.method
            header.isLarge = planned.size >= ZipMemberHeader.largeFrom
            header.isEncrypted = isEncrypted
            (header.checksum, header.size, header.compressed) = (state.checksum, state.size, state.compressed)
            if isEncrypted { header.compressed += UInt64(AE2Cipher.overhead) }
            return header
        }
    }
}
