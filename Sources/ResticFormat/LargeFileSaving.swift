import Codec
import Containers
import Disk
import Model
import Workers

/// Saves files that do not fit into one buffer, one after the other: one worker reads the next piece and cuts it into chunks, which
/// all of them hash, compress and encrypt.
final class LargeFileSaving: Sendable {
    static func isLarge(_ index: Int, in plan: SourcePlan) -> Bool { plan.table[index].size > SmallFileSaving.limit }

    /// Pieces of files that are in memory at once.
    private static let pieces = 3
    /// Bytes of one: a chunk fits, and mostly several do.
    private static let pieceSize = Chunker.maximum

    /// A piece of a file in memory.
    ///
    /// `@unchecked Sendable`: only who has taken the piece out of `free` writes to it; its chunks are queued after that, and it is free
    /// again after the last of them was read. Both are told through the monitor, whose mutex orders them.
    private final class Piece: @unchecked Sendable {
        let memory = Buffer(size: LargeFileSaving.pieceSize)
    }

    private struct Chunk: Sendable {
        let piece: Int
        let range: Range<Int>
        /// Its number in the file.
        let ordinal: Int
    }

    /// The file that is being saved. Only who cuts touches it.
    private struct Current: Sendable {
        let index: Int
        let file: SharedFile
        var before: EntryRecord
        var attempt = 1
        var position: UInt64 = 0
        var chunks = 0
        /// What was read and not cut yet, and lies at the end of the piece before.
        var rest: [UInt8] = []
        var isDatabase = false
    }

    private final class SharedFile: Sendable {
        let file: OpenFile

        init(_ file: consuming OpenFile) {
            self.file = file
        }
    }

    private struct State: Sendable {
        var free: [Int]
        /// Chunks of each piece that are not saved.
        var open: [Int]
        var queue: [Chunk] = []
        var next = 0
        var isCutting = false
        var current: Current?
        /// IDs by ordinal, of the current attempt.
        var ids: [SHA256Digest?] = []
        /// What follows when all chunks of the current file are saved, once it is cut to its end.
        var ending: Ending?
        var failed = false
    }

    private enum Ending: Sendable {
        case file(SavedFile)
        /// It changed meanwhile.
        case again
    }

    private enum Work: Sendable {
        case cut(piece: Int)
        case save(Chunk)
        case none
    }

    private let plan: SourcePlan
    private let writer: RepositoryWriter
    private let chunker: Chunker
    private let pool: ThreadPool
    private let run: RunContext
    private let files: [Int]
    private let pieces: [Piece]
    private let state: Monitor<State>

    init(_ plan: SourcePlan, _ writer: RepositoryWriter, _ chunker: Chunker, pool: ThreadPool, in run: RunContext) {
        (self.plan, self.writer, self.chunker, self.pool, self.run) = (plan, writer, chunker, pool, run)
        files = (0..<plan.table.count).filter { index in
            guard plan.table[index].kind == .file, Self.isLarge(index, in: plan) else { return false }
            switch plan.content(of: index) {
            case .file, .prepared: return true
            case .shared, .stored: return false
            }
        }
        let count = files.isEmpty ? 0 : Self.pieces
        pieces = (0..<count).map { _ in Piece() }
        state = Monitor(State(free: Array(0..<count), open: Array(repeating: 0, count: count)))
    }

    func save(into saved: Monitor<SavedFiles>, _ meter: ProgressMeter) throws {
        guard !files.isEmpty else { return }
        // Each worker goes on until all is done.
        try pool.forEach(pool.workers) { worker, _ in
            do {
                while try self.work(worker, saved, meter) {}
            } catch {
                self.state.withLock { $0.failed = true }
                throw error
            }
        }
    }

    // MARK: Sharing the work

    /// False if there is nothing left.
    private func work(_ worker: Int, _ saved: Monitor<SavedFiles>, _ meter: ProgressMeter) throws -> Bool {
        let work = state.wait(until: { self.isReady($0) }) { self.take(&$0) }
        try run.stop.check()
        switch work {
        case .none: return false
        case .cut(let piece): try cut(into: piece)
        case .save(let chunk):
            let memory = UnsafeRawBufferPointer(pieces[chunk.piece].memory.bytes)
            let bytes = UnsafeRawBufferPointer(rebasing: memory[chunk.range])
            let id = try writer.save(.data, bytes, worker: worker).id
            let index = state.withLock { state in
                state.ids[chunk.ordinal] = id
                state.open[chunk.piece] -= 1
                if state.open[chunk.piece] == 0 { state.free.append(chunk.piece) }
                return state.current?.index ?? 0
            }
            meter.advance(bytes: UInt64(bytes.count)) { self.plan.table.path(of: index) }
        }
        if let file = finishedFile() { saved.withLock { $0.take(file) } }
        return true
    }

    private func isReady(_ state: State) -> Bool {
        if state.failed || !state.queue.isEmpty { return true }
        if state.isCutting || state.ending != nil { return false }
        if state.current == nil && state.next == files.count { return true }
        return !state.free.isEmpty
    }

    private func take(_ state: inout State) -> Work {
        if state.failed { return .none }
        let mayCut =
            !state.isCutting && state.ending == nil && !state.free.isEmpty
            && (state.current != nil || state.next < files.count)
        // Whoever cuts keeps the others busy: so that comes first while little is waiting.
        if mayCut, state.queue.count < pool.workers, let piece = state.free.popLast() {
            state.isCutting = true
            return .cut(piece: piece)
        }
        return state.queue.isEmpty ? .none : .save(state.queue.removeFirst())
    }

    /// The file that is cut to its end, once its last chunk is saved; then the next one begins.
    private func finishedFile() -> SavedFile? {
        state.withLock { state in
            guard let ending = state.ending, !state.ids.contains(where: { $0 == nil }) else { return nil }
            let content = state.ids.compactMap { $0 }
            (state.ending, state.ids) = (nil, [])
            // What was saved of an attempt that failed stays as blobs that nobody names.
            guard case .file(var file) = ending else { return nil }
            file.content = content
            state.current = nil
            return file
        }
    }

    // MARK: Cutting

    private func cut(into piece: Int) throws {
        guard var current = try state.withLock({ $0.current }) ?? open() else {
            return state.withLock { state in
                state.free.append(piece)
                state.isCutting = false
            }
        }
        let memory = pieces[piece].memory.bytes
        memory.copyBytes(from: current.rest)
        let room = UnsafeMutableRawBufferPointer(rebasing: memory[current.rest.count...])
        let read: Int
        do throws(SourceUnreadable) {
            read = try PlanSource.read(current.file.file, at: current.position, into: room)
        } catch {
            return giveUp(current, error, piece)
        }
        current.position += UInt64(read)
        let isEnd = read < room.count
        let filled = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(memory)[..<(current.rest.count + read)])
        if current.chunks == 0, plan.content(of: current.index) == .file {
            current.isDatabase = DatabaseFiles.isHeader(filled)
        }
        var chunks: [Chunk] = []
        var start = 0
        while start < filled.count {
            let rest = UnsafeRawBufferPointer(rebasing: filled[start...])
            let length = chunker.firstChunk(of: rest)
            // Where it ends what comes next may tell.
            if length == rest.count, !isEnd, length < Chunker.maximum { break }
            chunks.append(Chunk(piece: piece, range: start..<start + length, ordinal: current.chunks))
            current.chunks += 1
            start += length
        }
        current.rest = Array(filled[start...])
        let ending = isEnd ? finish(&current) : nil
        state.withLock { state in
            state.isCutting = false
            state.current = current
            state.ending = ending
            state.open[piece] = chunks.count
            if chunks.isEmpty { state.free.append(piece) }
            state.ids += Array(repeating: nil, count: chunks.count)
            state.queue += chunks
        }
    }

    /// The next file that can be opened; nil if there is none.
    private func open() throws -> Current? {
        while true {
            let number = state.withLock { state in
                defer { state.next = min(files.count, state.next + 1) }
                return state.next
            }
            guard number < files.count else { return nil }
            let index = files[number]
            do throws(SourceUnreadable) {
                let file = try PlanSource(plan).open(index)
                return Current(index: index, file: SharedFile(file), before: plan.table[index])
            } catch {
                let unreadable = unreadable(index, error)
                state.withLock { $0.ending = .file(unreadable) }
                return nil
            }
        }
    }

    private func unreadable(_ index: Int, _ error: SourceUnreadable) -> SavedFile {
        var file = SavedFile(index)
        file.skipped = Skipped(path: plan.table.path(of: index), reason: error.clause)
        file.isMissing = true
        return file
    }

    private func giveUp(_ current: Current, _ error: SourceUnreadable, _ piece: Int) {
        let file = unreadable(current.index, error)
        state.withLock { state in
            state.isCutting = false
            state.free.append(piece)
            state.current = current
            state.ending = .file(file)
        }
    }

    /// What was read of a file; one that changed meanwhile is read again, up to three times.
    private func finish(_ current: inout Current) -> Ending {
        let path = plan.table.path(of: current.index)
        var file = SavedFile(current.index)
        if PlanSource(plan).isPrepared(current.index) {
            file.finish(
                plan.table[current.index], size: current.position, plan.table.extended(of: current.index),
                isPrepared: true)
            return .file(file)
        }
        do throws(SourceUnreadable) {
            let after = try PlanSource.status(of: current.file.file)
            let isStable = PlanSource.isSame(after, current.before) && after.size == current.position
            guard isStable || current.attempt == 4 else {
                current.before = after.record
                current.attempt += 1
                (current.position, current.chunks, current.rest) = (0, 0, [])
                return .again
            }
            var record = after.record
            record.linkGroup = plan.table[current.index].linkGroup
            if !isStable { record.inode = 0 }
            file.finish(
                record, size: current.position, try PlanSource.extended(of: current.file.file), isPrepared: false)
            if !isStable { file.skipped = .changing(path) }
            if current.isDatabase { file.skipped = .unknownDatabase(path) }
            return .file(file)
        } catch {
            return .file(unreadable(current.index, error))
        }
    }
}
