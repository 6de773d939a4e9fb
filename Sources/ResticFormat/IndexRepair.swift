import Codec
import Model
import Storage
import Synchronization
import Workers

/// Makes the index say what is stored: reads the headers of packs that it does not know or knows wrongly, drops packs that are missing,
/// and index files that cannot be read. Packs stay as they are.
///
/// The caller holds an exclusive lock from before ``plan(readingAllHeaders:)`` until ``apply(_:)`` has returned.
///
/// Source: restic's `repair index`.
package struct IndexRepair: Sendable {
    /// What is to be done, printable.
    package struct Plan: Sendable {
        /// Index files that cannot be read and go.
        package fileprivate(set) var unreadableFiles: [Finding] = []
        /// Packs that the index names and that are missing: they are taken out.
        package fileprivate(set) var missingPacks: [SHA256Digest] = []
        /// Packs that no index named, or wrongly, and that come in as their headers say.
        package fileprivate(set) var indexedPacks: [SHA256Digest] = []
        /// Packs whose headers cannot be read. They are kept, and taken out of the index if what that says of them cannot be right;
        /// ``PackRepair``, before this, saves what can be read of them.
        package fileprivate(set) var brokenPacks: [Finding] = []
        /// Blobs that no pack has any more that is in the index.
        package fileprivate(set) var lostBlobs: [BlobKey] = []
        /// Index files that are replaced.
        package fileprivate(set) var replacedIndexFiles = 0

        package var isEmpty: Bool { replacedIndexFiles == 0 && unreadableFiles.isEmpty && indexedPacks.isEmpty }

        fileprivate var rewrite: IndexRewrite
    }

    private let repository: Repository
    private let pool: ThreadPool
    private let run: RunContext

    package init(_ repository: Repository, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.pool = pool
        self.run = run
    }

    /// Finds out what is wrong; nothing is changed.
    package func plan(readingAllHeaders: Bool = false) throws -> Plan {
        let files = try repository.indexFiles(on: pool)
        let listing = PackListing(files, try repository.backend.list(.pack))
        var doubtful = listing.unindexed
        for pack in listing.indexed {
            guard let number = pack.number else { continue }
            let isWrong = listing.wrongSizes[number] != nil || files.contradictory[number] != nil
            if isWrong || readingAllHeaders { doubtful.append(pack) }
        }
        let headers = try readHeaders(doubtful)
        var plan = Plan(rewrite: IndexRewrite(files: files))
        plan.unreadableFiles = files.unreadable.map(\.finding)
        plan.missingPacks = listing.missing.map { files.index.packs[$0] }
        plan.rewrite.excluded = Set(listing.missing)
        for (pack, header) in zip(doubtful, headers) { sort(pack, header, &plan) }
        plan.lostBlobs = Self.lostBlobs(plan.rewrite)
        plan.replacedIndexFiles = plan.rewrite.replaced().files.count
        return plan
    }

    /// Stores new index files, then removes those that they replace. A crash leaves an index that is at least as right as before.
    package func apply(_ plan: Plan) throws {
        try repository.requireRemoval(for: "have its index repaired")
        try plan.rewrite.requireUnchanged(repository)
        try plan.rewrite.perform(repository)
    }

    private func sort(_ pack: PackListing.Pack, _ header: Result<[PackedBlob], any Error>, _ plan: inout Plan) {
        let id = pack.info.key.id
        switch header {
        case .success(let blobs):
            let isRight = pack.number.map { number in
                plan.rewrite.files.contradictory[number] == nil
                    && Set(plan.rewrite.files.index.pack(number).blobs) == Set(blobs)
            }
            if isRight == true { return }
            plan.indexedPacks.append(id)
            plan.rewrite.added.append(IndexedPack(id: id, blobs: blobs))
        case .failure(let error):
            plan.brokenPacks.append(Finding(.damage, "\(pack.info.key)", "\(error)"))
            // Where size and list are right, blobs can be read without the header.
            guard let number = pack.number else { return }
            let files = plan.rewrite.files
            if files.contradictory[number] != nil || files.size(ofPack: number) != pack.info.size {
                plan.rewrite.excluded.insert(number)
            }
        }
    }

    private func readHeaders(_ packs: [PackListing.Pack]) throws -> [Result<[PackedBlob], any Error>] {
        let coders = PerWorker(pool) { repository.coder() }
        let meter = ProgressMeter(.scanning, entries: packs.count, bytes: 0, in: run)
        return try pool.map(packs.count) { worker, number -> Result<[PackedBlob], any Error> in
            try self.run.stop.check()
            let info = packs[number].info
            meter.advance(entries: 1) { entryPath(info.key.path) }
            do {
                let blobs = try coders.with(worker) { coder in
                    try readingTwice {
                        try PackHeader.read(
                            info.key.id, size: info.size, from: self.repository.backend,
                            self.repository.configuration.version, &coder.cipher)
                    }
                }
                return .success(blobs)
            } catch let error as FormatError {
                return .failure(error)
            } catch let error as StorageError where error.concernsObject {
                return .failure(error)
            }
        }
    }

    private static func lostBlobs(_ rewrite: IndexRewrite) -> [BlobKey] {
        let index = rewrite.files.index
        let added = Set(rewrite.added.flatMap { $0.blobs.map(\.key) })
        var lost: Set<BlobKey> = []
        let replaced = Set(rewrite.added.map(\.id))
        func isGone(_ pack: Int) -> Bool { rewrite.excluded.contains(pack) || replaced.contains(index.packs[pack]) }
        for number in 0..<index.count where isGone(index.packNumber(number)) {
            let key = index.key(number)
            if added.contains(key) || lost.contains(key) { continue }
            if index.numbers(of: key).allSatisfy({ isGone(index.packNumber($0)) }) { lost.insert(key) }
        }
        return lost.sorted { ($0.type.rawValue, $0.id.hex) < ($1.type.rawValue, $1.id.hex) }
    }
}

extension IndexRewrite {
    /// Throws `BackupError.refused` if index files came or went since they were read.
    func requireUnchanged(_ repository: Repository) throws {
        let now = Set(try repository.backend.list(.index).map(\.key.id))
        guard now == Set(files.files.map(\.id) + files.unreadable.map(\.key.id)) else {
            throw BackupError(
                .refused, "the index of \(repository.backend.place) changed since this was planned",
                advice: "Run it again.")
        }
    }
}
