import Codec
import Model
import Storage
import Synchronization
import Workers

/// Reads packs and checks every byte of them.
struct PackCheck {
    struct Outcome: Sendable {
        var findings: [Finding] = []
        var packs = 0
        var bytes: UInt64 = 0
        var damagedPacks: Set<SHA256Digest> = []
        /// By number.
        var damagedCopies: Set<Int> = []
    }

    /// A pack with something to tell.
    private struct Told: Sendable {
        let pack: PackListing.Pack
        let report: PackReport
        /// Numbers of the blobs of the report.
        let numbers: [Int]
    }

    private let repository: Repository
    private let files: IndexFiles
    private let pool: ThreadPool
    private let run: RunContext

    init(_ repository: Repository, _ files: IndexFiles, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.files = files
        self.pool = pool
        self.run = run
    }

    func read(_ packs: [PackListing.Pack]) throws -> Outcome {
        let size = packs.map(\.info.size).saturatingSum()
        let meter = ProgressMeter(.verifying, entries: packs.count, bytes: size, in: run)
        let verifiers = PerWorker(pool) { PackVerifier(repository) }
        // The largest first, so that no worker is left alone with one at the end.
        let sorted = packs.sorted { $0.info.size > $1.info.size }
        let told = Mutex<[Told]>([])
        let bytes = Mutex<UInt64>(0)
        try pool.forEach(sorted.count) { worker, place in
            let pack = sorted[place]
            let (numbers, blobs) = self.blobs(of: pack)
            let report = try verifiers.with(worker) { verifier in
                let report = try verifier.verify(pack.info, blobs, stop: self.run.stop)
                // Memory and cables fail, too.
                return report.isSound ? report : try self.second(&verifier, pack.info, blobs)
            }
            bytes.withLock { $0 += report.bytesRead }
            if !report.isSound { told.withLock { $0.append(Told(pack: pack, report: report, numbers: numbers)) } }
            meter.advance(entries: 1, bytes: report.bytesRead) { entryPath(pack.info.key.path) }
        }
        var outcome = told.withLock { Self.outcome($0.sorted { $0.pack.info.key.path < $1.pack.info.key.path }) }
        outcome.packs = packs.count
        outcome.bytes = bytes.withLock { $0 }
        addFindings(of: told.withLock { $0 }, to: &outcome)
        outcome.findings.sort { ($0.subject, $0.message) < ($1.subject, $1.message) }
        return outcome
    }

    /// Reads a pack again that was found to be damaged.
    private func second(
        _ verifier: inout PackVerifier, _ pack: ObjectInfo, _ blobs: [PackedBlob]?
    ) throws -> PackReport {
        var report = try verifier.verify(pack, blobs, stop: run.stop)
        if report.isSound { report.problems = [Self.onlyOnce] }
        return report
    }

    private static let onlyOnce =
        "it was read wrongly once and rightly then: memory, cable or disk are not to be trusted"

    /// What the index says is in a pack, and the numbers of that; nil where it contradicts itself or does not know the pack.
    private func blobs(of pack: PackListing.Pack) -> ([Int], [PackedBlob]?) {
        guard let number = pack.number, files.contradictory[number] == nil else { return ([], nil) }
        let index = files.index
        let entries = index.entries(ofPack: number)
        let numbers = entries.sorted { index.place($0).offset < index.place($1).offset }
        return (numbers, numbers.map { PackedBlob(index.key($0), index.place($0)) })
    }

    private static func outcome(_ told: [Told]) -> Outcome {
        var outcome = Outcome()
        for told in told where told.report.problems != [onlyOnce] && told.pack.number != nil {
            outcome.damagedPacks.insert(told.pack.info.key.id)
            outcome.damagedCopies.formUnion(told.report.damaged.keys.map { told.numbers[$0] })
        }
        return outcome
    }

    private func addFindings(of told: [Told], to outcome: inout Outcome) {
        for told in told {
            let name = "\(told.pack.info.key)"
            for problem in told.report.problems {
                if told.pack.number == nil {
                    outcome.findings.append(Finding(.note, name, "no index names it, and \(problem)"))
                } else {
                    let severity: Finding.Severity = problem == Self.onlyOnce ? .note : .damage
                    outcome.findings.append(Finding(severity, name, problem))
                }
            }
            for (place, reason) in told.report.damaged.sorted(by: { $0.key < $1.key }) {
                let key = files.index.key(told.numbers[place])
                let message = "the \(key) in it: \(reason)\(others(of: key, outcome.damagedCopies))"
                outcome.findings.append(Finding(.damage, name, message))
            }
        }
    }

    private func others(of key: BlobKey, _ damaged: Set<Int>) -> String {
        let sound = files.index.numbers(of: key).first { !damaged.contains($0) }
        guard let sound else { return "" }
        return "; another copy is in \(ObjectKey.pack(files.index.location(sound).pack))"
    }
}
