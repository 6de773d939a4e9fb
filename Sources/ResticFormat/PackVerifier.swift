import Codec
import Model
import Storage
import Workers

/// What was found in a pack.
struct PackReport: Sendable {
    /// What is wrong with it as a whole: clauses.
    var problems: [String] = []
    /// Which of its blobs are damaged, by their places in the list, and how.
    var damaged: [Int: String] = [:]
    var bytesRead: UInt64 = 0

    var isSound: Bool { problems.isEmpty && damaged.isEmpty }
}

/// Reads whole packs from front to back, each byte once: hashes the file, and opens each blob and the header. Holds a piece of the
/// pack, which has room for its largest blob. Used again and again: give each worker its own.
struct PackVerifier: ~Copyable {
    private static let pieceSize = 2 << 20

    private let repository: Repository
    private var coder: RepositoryCoder
    private var hash = SHA256()
    private var buffer = Buffer(size: PackVerifier.pieceSize)
    /// Where in the pack the buffer begins, and how much of it is filled.
    private var start = 0
    private var filled = 0

    init(_ repository: Repository) {
        self.repository = repository
        coder = repository.coder()
    }

    /// - Parameters:
    ///   - blobs: what the index says of it, from its begin on and without gaps; nil where no index says that.
    mutating func verify(_ pack: ObjectInfo, _ blobs: [PackedBlob]?, stop: StopFlag) throws -> PackReport {
        var report = PackReport()
        do {
            try readThrough(pack, blobs, &report, stop)
        } catch let error as StorageError where error.concernsObject {
            report.problems.append(error.description)
            try readEach(blobs ?? [], pack.key.id, &report)
        }
        return report
    }

    private mutating func readThrough(
        _ pack: ObjectInfo, _ blobs: [PackedBlob]?, _ report: inout PackReport, _ stop: StopFlag
    ) throws {
        guard let size = Int(exactly: pack.size) else { throw FormatError("it is too large") }
        let listed = blobs ?? []
        // Nothing of what no index names is kept but for the hash.
        let blobsEnd = blobs == nil ? size : listed.last.map { Int($0.place.end) } ?? 0
        (start, filled) = (0, 0)
        hash.reset()
        var next = 0
        while start + filled < size {
            try stop.check()
            reserve(next < listed.count ? Int(listed[next].place.length) : Self.headerRoom(size - blobsEnd))
            let count = min(buffer.bytes.count - filled, size - start - filled)
            let target = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[filled..<filled + count])
            try repository.backend.read(pack.key, at: UInt64(start + filled), into: target)
            // Before anything is decrypted where it stands.
            hash.update(UnsafeRawBufferPointer(target))
            filled += count
            report.bytesRead += UInt64(count)
            openBlobs(listed, &next, &report)
            if next < listed.count {
                drop(before: Int(listed[next].place.offset))
            } else {
                drop(before: Self.headerRoom(size - blobsEnd) > 0 ? blobsEnd : size)
            }
        }
        for number in next..<listed.count { report.damaged[number] = "it lies behind the end of the pack" }
        if hash.finish() != pack.key.id {
            report.problems.append("its bytes have not the hash that it is named by")
        }
        if let blobs { checkHeader(blobs, blobsEnd, &report) }
    }

    /// Opens the blobs that are in the buffer as a whole.
    private mutating func openBlobs(_ blobs: [PackedBlob], _ next: inout Int, _ report: inout PackReport) {
        while next < blobs.count, Int(blobs[next].place.end) <= start + filled {
            let (key, place) = (blobs[next].key, blobs[next].place)
            let offset = Int(place.offset) - start
            let message = UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[offset..<offset + Int(place.length)])
            do throws(FormatError) {
                _ = try coder.open(message, key, place)
            } catch {
                report.damaged[next] = error.description
            }
            next += 1
        }
    }

    /// Bytes of a header, if it has so many as a header can have; else 0.
    private static func headerRoom(_ size: Int) -> Int {
        0...(PackHeader.sizeLimit + PackHeader.lengthSize) ~= size ? size : 0
    }

    /// Moves what begins at `offset` of the pack to the front of the buffer.
    private mutating func drop(before offset: Int) {
        let count = min(max(0, offset - start), filled)
        let rest = UnsafeRawBufferPointer(rebasing: buffer.bytes[count..<filled])
        if count > 0 { buffer.bytes.copyMemory(from: rest) }
        start += count
        filled -= count
    }

    private mutating func reserve(_ size: Int) {
        guard buffer.bytes.count < size else { return }
        let larger = Buffer(size: size + Self.pieceSize)
        larger.bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: buffer.bytes[..<filled]))
        buffer = larger
    }

    private mutating func checkHeader(
        _ blobs: [PackedBlob], _ blobsEnd: Int, _ report: inout PackReport
    ) {
        guard start <= blobsEnd, blobsEnd <= start + filled else {
            report.problems.append("it has no header where the index says that its blobs end")
            return
        }
        let end = UnsafeRawBufferPointer(rebasing: buffer.bytes[(blobsEnd - start)..<filled])
        do throws(FormatError) {
            let header = try PackHeader.read(
                end: end, behind: UInt64(blobsEnd), repository.configuration.version, &coder.cipher)
            if header != blobs { report.problems.append("its header names other blobs than the index") }
        } catch {
            report.problems.append(error.description)
        }
    }

    /// Where a pack cannot be read as a whole: which of its blobs can.
    private mutating func readEach(_ blobs: [PackedBlob], _ pack: SHA256Digest, _ report: inout PackReport) throws {
        for (number, blob) in blobs.enumerated() {
            let location = BlobIndex.Location(pack: pack, place: blob.place)
            do {
                try coder.readBlob(blob.key, at: location, from: repository.backend) { _ in }
                report.damaged[number] = nil
            } catch let error as FormatError {
                report.damaged[number] = error.description
            } catch let error as StorageError where error.concernsObject {
                report.damaged[number] = error.description
            }
        }
    }
}
