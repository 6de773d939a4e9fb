import Codec
import Model
import Storage

/// The packs that are stored, held against the index.
struct PackListing: Sendable {
    struct Pack: Sendable {
        /// In the index; nil where that does not name it.
        let number: Int?
        let info: ObjectInfo
    }

    private(set) var indexed: [Pack] = []
    private(set) var unindexed: [Pack] = []
    /// Packs that the index names and that are not stored, by number.
    private(set) var missing: [Int] = []
    /// Packs of other sizes than the index says, by number, with the size that they have.
    private(set) var wrongSizes: [Int: UInt64] = [:]
    private let files: IndexFiles

    init(_ files: IndexFiles, _ stored: [ObjectInfo]) {
        self.files = files
        var isStored = BlobMarks(size: files.index.packs.count)
        for info in stored {
            let number = files.index.packNumber(of: info.key.id)
            guard let number else {
                unindexed.append(Pack(number: nil, info: info))
                continue
            }
            guard isStored.insert(number) else { continue }
            indexed.append(Pack(number: number, info: info))
            if files.size(ofPack: number) != info.size { wrongSizes[number] = info.size }
        }
        missing = files.index.packs.indices.filter { !isStored.contains($0) }
    }

    /// Bytes of all packs.
    var size: UInt64 { (indexed + unindexed).map(\.info.size).saturatingSum() }

    var damaged: Set<SHA256Digest> {
        Set((missing + wrongSizes.keys + files.contradictory.keys).map { files.index.packs[$0] })
    }

    /// Copies of blobs in packs that are missing, or behind the end of what is left of one, by number.
    var lostCopies: Set<Int> {
        let index = files.index
        var lost = Set(missing.flatMap { index.entries(ofPack: $0) })
        for (number, size) in wrongSizes {
            lost.formUnion(index.entries(ofPack: number).filter { UInt64(index.place($0).end) > size })
        }
        return lost
    }

    var findings: [Finding] {
        var findings = missing.map { number in
            Finding(.damage, name(number), "the index names it, and it is missing")
        }
        findings += wrongSizes.sorted { $0.key < $1.key }.map { number, size in
            Finding(.damage, name(number), "it has \(size) bytes instead of \(files.size(ofPack: number))")
        }
        if !unindexed.isEmpty {
            let size = ByteCount(unindexed.map(\.info.size).saturatingSum())
            let message =
                "\(unindexed.count) with \(size) are named by no index. "
                + "If others are missed, 'repository repair index' finds them; else a prune removes them"
            findings.append(Finding(.note, "the packs", message))
        }
        return findings
    }

    private func name(_ number: Int) -> String { "\(ObjectKey.pack(files.index.packs[number]))" }

    /// The packs that are to be read.
    func chosen(_ reading: RepositoryCheck.Reading, _ run: RunContext) -> [Pack] {
        let all = indexed + unindexed
        switch reading {
        case .nothing: return []
        case .everything: return all
        case .part(let part, let count):
            return all.filter { pack in
                pack.info.key.id.withBytes { Int($0[0]) % count == part - 1 }
            }
        case .percent(let percent):
            let share = min(max(percent, 0), 100) / 100 * Double(all.count)
            let count = min(all.count, max(1, Int(share.rounded())))
            var generator = RunRandom(run)
            return Array(all.shuffled(using: &generator).prefix(count))
        }
    }
}

/// The run's source of random bytes, for the library.
struct RunRandom: RandomNumberGenerator {
    private let run: RunContext

    init(_ run: RunContext) {
        self.run = run
    }

    mutating func next() -> UInt64 {
        run.random(8).reduce(0) { $0 << 8 | UInt64($1) }
    }
}
