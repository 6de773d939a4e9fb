import Codec
import Model
import Storage
import TestKit
import Testing
import Workers

@testable import ResticFormat

/// A reader of bytes that nobody vouches for.
struct FuzzTarget: Sendable, CustomTestStringConvertible {
    let name: String
    /// What it reads.
    let seeds: [[UInt8]]
    var isJSON = true
    /// Whether most of what is changed must be refused: where something else than the reader's own rules finds a change.
    var isSealed = false
    /// Reads, and compares what was read with what is read of it when it is written again. Throws where it refuses.
    let read: @Sendable ([UInt8]) throws -> Void

    var testDescription: String { name }
}

/// What was read and written again is read as something else.
struct NotTheSame: Error {}

private func expectSame<T: Equatable>(_ a: T, _ b: T) throws { if a != b { throw NotTheSame() } }

extension FuzzTarget {
    static let keys = MessageKeys.random()

    static func all() throws -> [FuzzTarget] {
        try [keyFile(), masterKeys(), configuration(), lock(), snapshot(), time()] + indexes() + trees() + packs()
            + compressed() + [message()]
    }

    private static let id = String(repeating: "ab", count: 32)

    private static func text(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }

    private static func keyFile() throws -> FuzzTarget {
        let file = try KeyFile(
            keys, password: try TestRepository.password(), try TestRepository.parameters(), created: TestRepository.now,
            userName: "u\"", hostName: "h")
        return FuzzTarget(name: "key file", seeds: [file.bytes]) { bytes in
            let read = try KeyFile(bytes)
            try expectSame(try KeyFile(read.bytes).bytes, read.bytes)
        }
    }

    private static func masterKeys() -> FuzzTarget {
        FuzzTarget(name: "keys", seeds: [keys.json]) { bytes in
            let read = try MessageKeys(json: bytes)
            try expectSame(try MessageKeys(json: read.json).json, read.json)
        }
    }

    private static func configuration() -> FuzzTarget {
        let seeds = text(
            #"{"version":2,"id":"\#(id)","chunker_polynomial":"3da3358b4dc173"}"#,
            #"{"version":1,"id":"\#(id)","chunker_polynomial":"3da3358b4dc173","x":[1,{"y":null}]}"#)
        return FuzzTarget(name: "configuration", seeds: seeds) { bytes in
            let read = try RepositoryConfiguration(json: bytes)
            try expectSame(try RepositoryConfiguration(json: read.json).json, read.json)
        }
    }

    private static func lock() -> FuzzTarget {
        let seeds =
            [LockFile.own(.exclusive, verb: "prune", at: TestRepository.now).json]
            + text(
                #"{"time":"2024-05-06T07:08:09Z","exclusive":false,"hostname":"h","username":"u","pid":77,"uid":1,"gid":2}"#
            )
        return FuzzTarget(name: "lock", seeds: seeds) { bytes in
            let read = try LockFile(json: bytes)
            try expectSame(try LockFile(json: read.json), read)
            let own = LockFile.own(.shared, verb: "", at: TestRepository.now)
            _ = (read.isStale(at: TestRepository.now.moment, seenBy: own), read.isOrphan(seenBy: own))
            _ = (read.holder, read.age(at: TestRepository.now.moment).description)
        }
    }

    private static func snapshot() -> FuzzTarget {
        let seeds = text(
            #"{"time":"2024-05-06T07:08:09.12+02:00","parent":"\#(id)","tree":"\#(id)","paths":["/a","/b\u0026"],"hostname":"h","#
                + #""username":"u","uid":1,"gid":2,"excludes":["*.x"],"tags":["name=y"],"original":"\#(id)","program_version":"restic","#
                + #""summary":{"backup_start":"2024-05-06T07:08:09.12+02:00","backup_end":"2024-05-06T07:08:10Z","files_new":1,"#
                + #""data_blobs":7,"tree_blobs":8,"data_added":9,"total_bytes_processed":12},"chastipi_backup":{"x":[1]}}"#,
            #"{"time":"2024-05-06T07:08:09Z","tree":"\#(id)","paths":["/"]}"#)
        return FuzzTarget(name: "snapshot", seeds: seeds) { bytes in
            let read = try Snapshot(json: bytes)
            try expectSame(try Snapshot(json: read.json), read)
            _ = SnapshotRecord(of: .init(id: SHA256Digest(), snapshot: read))
        }
    }

    private static func time() -> FuzzTarget {
        let seeds = text("2024-05-06T07:08:09.123456789+02:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9-23:59")
        return FuzzTarget(name: "time", seeds: seeds, isJSON: false) { bytes in
            guard let time = bytes.withUnsafeBytes({ LocalTime(goText: $0) }) else { throw FormatError("no time") }
            var writer = CanonicalWriter(capacity: 64)
            writer.time(time)
            let written = String(decoding: Array(writer.bytes).dropFirst().dropLast(), as: UTF8.self)
            // Moments outside of the years of four digits in UTC have no text.
            if let again = LocalTime(goText: written) { try expectSame(again.moment, time.moment) }
        }
    }

    private static func blobs(_ count: Int, isCompressed: Bool = true) -> [PackedBlob] {
        var (blobs, offset): ([PackedBlob], UInt32) = ([], 0)
        for number in 0..<count {
            let key = BlobKey(number % 3 == 0 ? .tree : .data, SHA256.digest(of: [UInt8(number)]))
            let length = UInt32(40 + number)
            blobs.append(
                PackedBlob(
                    key,
                    BlobPlace(
                        offset: offset, length: length, uncompressedLength: isCompressed && number % 2 == 0 ? 99 : 0))
            )
            offset += length
        }
        return blobs
    }

    private static func indexes() -> [FuzzTarget] {
        [RepositoryConfiguration.Version.one, .two].map { version in
            let packs = [2, 5].map {
                IndexedPack(id: SHA256.digest(of: [UInt8($0)]), blobs: blobs($0, isCompressed: version == .two))
            }
            let seeds = [IndexFile.encode(packs), Array(#"{"supersedes":["\#(id)"],"packs":null}"#.utf8)]
            return FuzzTarget(name: "index of version \(version.rawValue)", seeds: seeds) { bytes in
                let read = try IndexFile.read(bytes, version)
                try expectSame(try IndexFile.read(IndexFile.encode(read), version), read)
                var index = BlobIndex()
                for pack in read { index.add(pack) }
            }
        }
    }

    private static func trees() throws -> [FuzzTarget] {
        var nodes: [TreeNode] = []
        for (number, kind) in [TreeNode.Kind.directory, .file, .link, .fifo, .characterDevice].enumerated() {
            guard var node = TreeNode(name: [0x61 + UInt8(number), 0xff], kind: kind) else { continue }
            node.modified = TestRepository.now
            if kind == .directory { node.subtree = SHA256.digest(of: [1]) }
            if kind == .file { (node.content, node.size) = ([SHA256.digest(of: [2])], 5) }
            if kind == .link { node.target = [0xff, 0x2f] }
            node.extended = [ExtendedAttribute(name: Array("user.x".utf8), value: [0, 255])]
            nodes.append(node)
        }
        let seeds = [try encoded(nodes), try encoded([])]
        let tree = FuzzTarget(name: "tree", seeds: seeds) { bytes in
            let read = try TreeReader.nodes(of: bytes)
            let again = try TreeReader.nodes(of: try encoded(read))
            // Which of several forms text has in a tree is not what it says.
            func plain(_ nodes: [TreeNode]) -> [TreeNode] {
                nodes.map { node in
                    var node = node
                    node.forms = []
                    return node
                }
            }
            try expectSame(plain(again), plain(read))
        }
        return [tree]
    }

    private static func packs() throws -> [FuzzTarget] {
        let blobs = blobs(6)
        let size = blobs.reduce(0) { $0 + UInt64($1.place.length) }
        let header = FuzzTarget(name: "pack header", seeds: [PackHeader.encode(blobs)], isJSON: false) { bytes in
            let read = try PackHeader.decode(bytes, size: size, .two)
            try expectSame(PackHeader.encode(read), bytes)
        }
        var cipher = MessageCipher(keys)
        let message = cipher.seal(PackHeader.encode(blobs))
        let pack =
            [UInt8](repeating: 7, count: Int(size)) + message
            + withUnsafeBytes(of: UInt32(message.count).littleEndian) { Array($0) }
        let whole = FuzzTarget(name: "pack", seeds: [pack], isJSON: false) { bytes in
            let backend = MemoryBackend()
            try backend.create(.pack(SHA256Digest()), bytes)
            var cipher = MessageCipher(keys)
            _ = try PackHeader.read(SHA256Digest(), size: UInt64(bytes.count), from: backend, .two, &cipher)
        }
        return [header, whole]
    }

    private static func message() -> FuzzTarget {
        var cipher = MessageCipher(keys)
        let seeds = [
            cipher.seal(Array("a message".utf8)), cipher.seal([]), cipher.seal([UInt8](repeating: 0, count: 999)),
        ]
        return FuzzTarget(name: "message", seeds: seeds, isJSON: false, isSealed: true) { bytes in
            var cipher = MessageCipher(keys)
            let content = try cipher.open(bytes)
            var pieces: [UInt8] = []
            try withUnsafeTemporaryAllocation(byteCount: 64, alignment: 16) { buffer in
                try bytes.withUnsafeBytes { bytes in
                    try cipher.open(bytes, through: buffer) { pieces.append(contentsOf: $0) }
                }
            }
            try expectSame(pieces, content)
        }
    }

    private static func compressed() -> [FuzzTarget] {
        var compressor = ZstdCompressor(level: 3)
        let plain = [[], [7], Array(#"{"time":"x","list":[1,2,3]}"#.utf8), [UInt8](repeating: 1, count: 200_000)]
        let frames = plain.map { compressor.compress($0) }
        let frame = FuzzTarget(name: "zstd frame", seeds: frames, isJSON: false) { bytes in try readFrame(bytes) }
        let document = FuzzTarget(
            name: "document", seeds: frames.map { [2] + $0 } + [Array("{}".utf8), []], isJSON: false
        ) { plain in
            var coder = RepositoryCoder(keys, .two)
            let sealed = coder.cipher.seal(plain)
            _ = try coder.openDocument(sealed, limit: 200_000)
        }
        return [frame, document]
    }

    /// In the three ways in which frames are read, which agree.
    private static func readFrame(_ bytes: [UInt8]) throws {
        var decompressor = ZstdDecompressor()
        let limit = 1 << 20
        let content = try bytes.withUnsafeBytes { try decompressor.decompress($0, limit: limit) }
        guard content.count <= limit else { throw NotTheSame() }
        var (atOnce, pieces): ([UInt8], [UInt8]) = ([UInt8](repeating: 0, count: content.count), [])
        decompressor.begin()
        try bytes.withUnsafeBytes { bytes in
            try atOnce.withUnsafeMutableBytes { try decompressor.decompress(bytes, into: $0) }
            try withUnsafeTemporaryAllocation(byteCount: 1000, alignment: 16) { buffer in
                var rest = bytes[...]
                while !rest.isEmpty {
                    let piece = UnsafeRawBufferPointer(rebasing: rest.prefix(100))
                    try decompressor.add(piece, through: buffer) { pieces.append(contentsOf: $0) }
                    rest = rest.dropFirst(100)
                }
            }
        }
        try expectSame(atOnce, content)
        try expectSame(pieces, content)
    }
}
