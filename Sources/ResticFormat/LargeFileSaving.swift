import Codec
import Containers
import Disk
import Model
import Workers

/// Saves files that do not fit into one buffer, one after the other: one worker reads the next piece, and one cuts a
/// piece into chunks, which all of them hash, compress and encrypt.
///
/// Most of a large file that has changed is as it was, at the same places: a database, an image of a disk, a log. So the chunks that
/// the parent has are looked for first, by their hashes, where they were; only between them is anything cut. Where a cut is depends on
/// nothing but the bytes since the one before, so the chunks are the same as if all were cut, if the parent's were cut in this repository.
final class LargeFileSaving: Sendable {
    static func isLarge(_ index: Int, in plan: SourcePlan) -> Bool { plan.table[index].size > SmallFileSaving.limit }

    /// Pieces of files that are in memory at once.
    private static let pieces = 3
    private struct Chunk: Sendable {
        let piece: Int
        let range: Range<Int>
        /// Its number in the file.
        let ordinal: Int
    }

    /// The file that is being saved.
    private struct Current: Sendable {
        let index: Int
        let file: SourceFile
        /// Where the parent's chunks of the file are.
        let known: KnownChunks?
        var before: EntryRecord
        var attempt = 1
        /// Bytes that were read, and whether they are all. Only who reads changes that.
        var position: UInt64 = 0
        var isRead = false
        /// Chunks that were cut, and how many bytes are left of the last piece. Only who cuts changes that.
        var chunks = 0
        var left = 0
        var isDatabase = false
        /// Whether the parent's chunks were found in what was cut last.
        var isAsBefore = true

        /// Takes over what was found out by cutting; all of it after the end, when nobody reads.
        mutating func takeCut(from other: Current, all: Bool) {
            if all { return self = other }
            (chunks, left, isDatabase, isAsBefore) = (other.chunks, other.left, other.isDatabase, other.isAsBefore)
        }
    }

    private final class SourceFile: Sendable {
        let file: OpenFile

        init(_ file: consuming OpenFile) {
            self.file = file
        }
    }

    private struct State: Sendable {
        var free: [Int]
        /// Chunks of each piece that are not saved, and one more while it is cut.
        var open: [Int]
        var queue: [Chunk] = []
        var next = 0
        var isReading = false
        var isCutting = false
        var current: Current?
        /// What was read and is to be cut, in order.
        var parts: [FilePart] = []
        /// IDs by ordinal, of the current attempt.
        var ids: [SHA256Digest?] = []
        /// What follows when all chunks of the current file are saved, once it is cut to its end.
        var ending: Ending?
        var failed = false

        mutating func release(_ piece: Int) {
            open[piece] -= 1
            if open[piece] == 0 { free.append(piece) }
        }
    }

    private enum Ending: Sendable {
        case file(SavedFile)
        /// It changed meanwhile.
        case again
    }

    private enum Work: Sendable {
        case read(piece: Int)
        case cut(FilePart)
        case probe(Int, FilePart)
        case save(Chunk)
        case none
    }

    private let plan: SourcePlan
    private let parent: RepositoryContents?
    private let index: BlobIndex
    private let writer: RepositoryWriter
    private let chunker: Chunker
    private let pool: ThreadPool
    private let run: RunContext
    private let files: [Int]
    private let pieces: [FilePiece]
    /// What is left of a piece, from when it is cut until the next one is. Only who cuts touches it.
    private let rest = FileRest()
    private let hashes: PerWorker<SHA256>
    private let state: Monitor<State>

    init(
        _ plan: SourcePlan, parent: RepositoryContents?, index: BlobIndex, writer: RepositoryWriter, _ chunker: Chunker,
        pool: ThreadPool, in run: RunContext
    ) {
        (self.plan, self.parent, self.index, self.writer) = (plan, parent, index, writer)
        (self.chunker, self.pool, self.run) = (chunker, pool, run)
        hashes = PerWorker(pool) { SHA256() }
        files = (0..<plan.table.count).filter { index in
            guard plan.table.kind(of: index) == .file, Self.isLarge(index, in: plan) else { return false }
            switch plan.content(of: index) {
            case .file, .prepared: return true
            case .shared, .stored: return false
            }
        }
        let count = files.isEmpty ? 0 : Self.pieces
        pieces = (0..<count).map { _ in FilePiece() }
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
        case .read(let piece): read(into: piece)
        case .cut(let part): cut(part, meter)
        case .probe(let number, let part): probe(number, in: part, worker)
        case .save(let chunk):
            let bytes = pieces[chunk.piece].bytes(chunk.range)
            let id = try writer.save(.data, bytes, worker: worker).id
            state.withLock { state in
                state.ids[chunk.ordinal] = id
                state.release(chunk.piece)
            }
            advance(meter, bytes.count)
        }
        if let file = finishedFile() { saved.withLock { $0.take(file) } }
        return true
    }

    private func advance(_ meter: ProgressMeter, _ count: Int) {
        meter.advance(bytes: UInt64(count)) { plan.table.path(of: state.withLock { $0.current?.index ?? 0 }) }
    }

    private func isReady(_ state: State) -> Bool {
        state.failed || !state.queue.isEmpty || mayProbe(state) || mayCut(state) || mayRead(state) || isOver(state)
    }

    private func mayProbe(_ state: State) -> Bool { state.parts.contains { !$0.untaken.isEmpty } }

    private func mayCut(_ state: State) -> Bool { !state.isCutting && state.parts.first?.left == 0 }

    /// One part is read while another is cut.
    private func mayRead(_ state: State) -> Bool {
        guard !state.isReading, state.parts.count < 2, state.ending == nil, !state.free.isEmpty else { return false }
        return state.current.map { !$0.isRead } ?? (state.next < files.count)
    }

    private func isOver(_ state: State) -> Bool {
        !state.isReading && state.ending == nil && state.current == nil && state.next == files.count
    }

    private func take(_ state: inout State) -> Work {
        if state.failed { return .none }
        // What keeps the others busy comes first.
        for place in state.parts.indices {
            if let number = state.parts[place].takeProbe() { return .probe(number, state.parts[place]) }
        }
        if mayCut(state) {
            state.isCutting = true
            return .cut(state.parts.removeFirst())
        }
        if mayRead(state), state.queue.count < pool.workers, let piece = state.free.popLast() {
            state.isReading = true
            return .read(piece: piece)
        }
        return state.queue.isEmpty ? .none : .save(state.queue.removeFirst())
    }

    /// The file that is cut to its end, once its last chunk is saved; then the next one begins.
    private func finishedFile() -> SavedFile? {
        state.withLock { state in
            guard let ending = state.ending, state.parts.isEmpty, !state.isCutting,
                !state.ids.contains(where: { $0 == nil })
            else { return nil }
            let content = state.ids.compactMap { $0 }
            (state.ending, state.ids) = (nil, [])
            // What was saved of an attempt that failed stays as blobs that nobody names.
            guard case .file(var file) = ending else { return nil }
            file.content = content
            state.current = nil
            return file
        }
    }

    // MARK: Reading

    private func read(into piece: Int) {
        guard let current = state.withLock({ $0.current }) ?? open() else {
            return state.withLock { state in
                state.free.append(piece)
                state.isReading = false
            }
        }
        // Up to the end of a chunk, if there is one: then nothing is left of the piece.
        let count = current.known?.bytes(from: current.position, atMost: FilePiece.size) ?? FilePiece.size
        let room = UnsafeMutableRawBufferPointer(rebasing: pieces[piece].back[..<count])
        let read: Int
        do throws(SourceUnreadable) {
            read = try PlanSource.read(current.file.file, at: current.position, into: room)
        } catch {
            let file = unreadable(current.index, error)
            return state.withLock { state in
                state.free.append(piece)
                state.isReading = false
                state.current = state.current ?? current
                state.ending = .file(file)
            }
        }
        let isEnd = read < room.count
        var part = FilePart(piece, 0..<read, at: current.position, isEnd: isEnd, current.known)
        state.withLock { state in
            var current = state.current ?? current
            current.position += UInt64(read)
            current.isRead = isEnd
            // Where all was new, the file has changed as a whole.
            if current.isAsBefore { part.beginProbing() }
            state.isReading = false
            state.open[piece] = 1
            state.parts.append(part)
            state.current = current
        }
    }

    /// The next file; nil if there is none, or if it cannot be opened, which then is its end.
    private func open() -> Current? {
        let number = state.withLock { state in
            defer { state.next = min(files.count, state.next + 1) }
            return state.next
        }
        guard number < files.count else { return nil }
        let index = files[number]
        do throws(SourceUnreadable) {
            let file = try PlanSource(plan).open(index)
            let known = parent.flatMap { KnownChunks($0, plan.table.path(of: index), self.index) }
            return Current(index: index, file: SourceFile(file), known: known, before: plan.table[index])
        } catch {
            let unreadable = unreadable(index, error)
            state.withLock { $0.ending = .file(unreadable) }
            return nil
        }
    }

    // MARK: Cutting

    /// Cuts a part into chunks: those of the parent that are in it, and new ones between them.
    private func cut(_ begun: FilePart, _ meter: ProgressMeter) {
        guard var current = state.withLock({ $0.current }) else { preconditionFailure("a part of no file is cut") }
        var part = begun
        let piece = pieces[part.piece]
        piece.put(rest.bytes(current.left))
        part.extend(by: current.left)
        let start = part.start
        if start == 0, plan.content(of: current.index) == .file {
            current.isDatabase = DatabaseFiles.isHeader(piece.bytes(part.range))
        }
        var chunks: [Chunk] = []
        var ids: [SHA256Digest?] = []
        var isProbing = false
        cutting: while !part.range.isEmpty {
            let length: Int
            switch part.next {
            case .found(let id, let known):
                length = known
                ids.append(id)
            case .unprobed:
                isProbing = true
                break cutting
            case .incomplete where !part.isEnd: break cutting
            case .incomplete, .unknown:
                length = chunker.firstChunk(of: piece.bytes(part.range))
                // Where it ends what comes next may tell.
                if length == part.range.count, !part.isEnd, length < Chunker.maximum { break cutting }
                let place = part.range.lowerBound
                chunks.append(
                    Chunk(piece: part.piece, range: place..<place + length, ordinal: current.chunks + ids.count))
                ids.append(nil)
            }
            part.advance(by: length)
        }
        let shared = Int(part.start - start) - chunks.reduce(0) { $0 + $1.range.count }
        current.chunks += ids.count
        if !ids.isEmpty { current.isAsBefore = shared > 0 }
        var ending: Ending?
        if isProbing {
            current.left = 0
            part.beginProbing()
        } else {
            current.left = part.range.count
            rest.take(piece.bytes(part.range))
            if part.isEnd { ending = finish(&current) }
        }
        state.withLock { [current, part] state in
            state.open[part.piece] += chunks.count
            state.queue += chunks
            state.ids += ids
            state.isCutting = false
            state.ending = ending ?? state.ending
            state.current?.takeCut(from: current, all: ending != nil)
            if isProbing { state.parts.insert(part, at: 0) } else { state.release(part.piece) }
        }
        if shared > 0 { advance(meter, shared) }
    }

    /// Looks for one of the parent's chunks where it was.
    private func probe(_ number: Int, in part: FilePart, _ worker: Int) {
        guard let known = part.known else { preconditionFailure("nothing is known that could be looked for") }
        let content = pieces[part.piece].bytes(part.range(of: number, known))
        let id = hashes.with(worker) { hash in
            hash.reset()
            hash.update(content)
            return hash.finish()
        }
        state.withLock { state in
            guard let place = state.parts.firstIndex(where: { $0.piece == part.piece }) else { return }
            state.parts[place].finishProbe(number, isFound: id == known.ids[number])
        }
    }

    private func unreadable(_ index: Int, _ error: SourceUnreadable) -> SavedFile {
        var file = SavedFile(index)
        file.skipped = Skipped(path: plan.table.path(of: index), reason: error.clause)
        file.isMissing = true
        return file
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
                (current.position, current.isRead, current.chunks, current.left) = (0, false, 0, 0)
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
