import Codec
import Disk
import Model
import Synchronization
import Workers

/// A part of an archive, in the order of its bytes: headers and data of some small members, or a piece of a large one.
struct ZipPart: Sendable {
    var bytes: [UInt8] = []
    /// Members whose local headers are in `bytes`, each with where that is.
    var members: [(header: ZipMemberHeader, at: Int)] = []
    /// What ends with this part: the large member whose local header was written before.
    /// Nil if it could not be read to its end, and is to be left out.
    var ends: (@Sendable () -> ZipMemberHeader?)?
    /// What becomes of `bytes` when all parts before are written.
    var inTurn: (@Sendable (inout [UInt8]) -> Void)?
}

/// An archive that is being written. Parts come from several threads in any order and are written in theirs; a thread that is
/// far ahead waits.
final class ZipArchive: Sendable {
    private struct Queue: Sendable {
        var waiting: [Int: ZipPart] = [:]
        var waitingBytes = 0
        /// The part that is to be written next.
        var next = 0
        var isWriting = false
        var failure: (any Error)?
    }

    private struct Output: ~Copyable {
        var file: NewFile
        var directory: [UInt8] = []
        var count: UInt64 = 0
        /// Where the local header of the large member is that is being written.
        var largeAt: UInt64 = 0
    }

    private let queue = Monitor(Queue())
    private let output: Mutex<Output>
    /// Bytes that wait for earlier ones, at most: beyond it their makers wait.
    private static let patience = 24 << 20

    init(_ file: consuming sending NewFile) {
        output = Mutex(Output(file: file))
    }

    /// Hands over part `number`; all numbers from 0 on come, each once.
    func take(_ part: ZipPart, number: Int) throws {
        queue.withLock { queue in
            queue.waiting[number] = part
            queue.waitingBytes += part.bytes.count
        }
        while let (part, number) = try nextToWrite() {
            do {
                try output.withLock { output in try Self.write(part, to: &output) }
            } catch {
                fail(error)
                throw error
            }
            queue.withLock { queue in
                queue.waitingBytes -= part.bytes.count
                queue.next = number + 1
                queue.isWriting = false
            }
        }
        try queue.wait(
            until: { $0.failure != nil || $0.waitingBytes <= Self.patience || $0.next > number },
            { queue in if let failure = queue.failure { throw failure } })
    }

    /// Adds a part when all numbered ones are written.
    func add(_ part: ZipPart) throws { try output.withLock { output in try Self.write(part, to: &output) } }

    private func nextToWrite() throws -> (ZipPart, Int)? {
        try queue.withLock { queue in
            if let failure = queue.failure { throw failure }
            guard !queue.isWriting, let part = queue.waiting.removeValue(forKey: queue.next) else { return nil }
            queue.isWriting = true
            return (part, queue.next)
        }
    }

    /// Wakes everyone who waits: no further part will come.
    func fail(_ error: any Error) {
        queue.withLock { queue in if queue.failure == nil { queue.failure = error } }
    }

    /// The first error: of those who were woken the others know only that there was one.
    func failed(or error: any Error) -> any Error {
        fail(error)
        return queue.withLock { $0.failure } ?? error
    }

    private static func write(_ part: ZipPart, to output: inout Output) throws {
        let start = output.file.size
        if let inTurn = part.inTurn {
            var bytes = part.bytes
            inTurn(&bytes)
            try output.file.write(bytes)
        } else {
            try output.file.write(part.bytes)
        }
        for (header, at) in part.members {
            if header.isOpenEnded {
                output.largeAt = start + UInt64(at)
            } else {
                output.directory += header.centralBytes(at: start + UInt64(at))
                output.count += 1
            }
        }
        guard let ends = part.ends else { return }
        if let header = ends() {
            try output.file.overwrite(header.localBytes, at: output.largeAt)
            output.directory += header.centralBytes(at: output.largeAt)
            output.count += 1
        } else {
            try output.file.cut(to: output.largeAt)
        }
    }

    /// Ends the archive: directory, end records, and as its comment the hash of all bytes before the comment, read back
    /// through `reading`. Returns that hash, and the file.
    func finish(reading: borrowing OpenFile, stop: StopFlag) throws -> SHA256Digest {
        try output.withLock { output in
            let start = output.file.size
            let size = UInt64(output.directory.count)
            try output.file.write(output.directory)
            output.directory = []
            try output.file.write(Self.end(count: output.count, start: start, size: size))
            var hash = SHA256()
            let buffer = Buffer(size: 1 << 20)
            do {
                try FileCopy.read(reading, through: buffer.bytes, stop: stop) { hash.update($0) }
            } catch let error as SourceUnreadable {
                throw error.cause
            }
            let digest = hash.finish()
            try output.file.write(ZipSeal.comment(digest))
            return digest
        }
    }

    /// The records at the end, up to the comment.
    private static func end(count: UInt64, start: UInt64, size: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        let isLarge = count >= 0xffff || start >= 0xffff_ffff || size >= 0xffff_ffff
        if isLarge {
            bytes.append32(ZipRecord.end64)
            bytes.append64(UInt64(ZipRecord.end64Size - 12))
            bytes.append16(UInt16(ZipRecord.unix) << 8 | 45)
            bytes.append16(45)
            bytes += [0, 0, 0, 0, 0, 0, 0, 0]
            bytes.append64(count)
            bytes.append64(count)
            bytes.append64(size)
            bytes.append64(start)
            bytes.append32(ZipRecord.locator64)
            bytes.append32(0)
            bytes.append64(start + size)
            bytes.append32(1)
        }
        bytes.append32(ZipRecord.end)
        bytes += [0, 0, 0, 0]
        let shown = UInt16(exactly: count) ?? ZipRecord.large16
        bytes.append16(shown)
        bytes.append16(shown)
        bytes.append32(UInt32(exactly: size) ?? ZipRecord.large32)
        bytes.append32(UInt32(exactly: start) ?? ZipRecord.large32)
        bytes.append16(UInt16(ZipSeal.length))
        return bytes
    }

    /// Where the next byte goes.
    var size: UInt64 { output.withLock { $0.file.size } }

    /// Calls `body` with the file, when all is written.
    func withFile<R>(_ body: (borrowing NewFile) throws -> R) throws -> R {
        try output.withLock { output in try body(output.file) }
    }
}

/// The archive's comment in our zips: SHA-256 of all bytes before it. Headers of a zip have no checksum of their own.
enum ZipSeal {
    private static let prefix = "chastipi-backup sha256="
    static let length = prefix.utf8.count + 64

    static func comment(_ digest: SHA256Digest) -> [UInt8] { Array((prefix + digest.hex).utf8) }

    /// What is wrong if the bytes have another hash.
    static let broken = "the zip's bytes are not those that its comment seals"

    static func read(_ comment: some Collection<UInt8>) -> SHA256Digest? {
        guard comment.count == length, comment.starts(with: prefix.utf8) else { return nil }
        // Nothing guards the comment but its form: a capital letter is a changed bit.
        if comment.contains(where: { UInt8(ascii: "A")...UInt8(ascii: "F") ~= $0 }) { return nil }
        return SHA256Digest(hex: Array(comment.dropFirst(prefix.utf8.count)))
    }
}
