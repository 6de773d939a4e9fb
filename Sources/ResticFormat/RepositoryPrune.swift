import Codec
import Model
import Storage
import Synchronization
import Workers

/// Gets rid of what no snapshot needs.
///
/// The caller holds an exclusive lock from before ``plan(_:)`` until ``apply(_:)`` has returned, or, if nothing is applied, until
/// the plan is there. A plan that does not fit what is stored any more is refused.
///
/// Source: restic's `prune`, and its order of steps.
package struct RepositoryPrune: Sendable {
    let repository: Repository
    let pool: ThreadPool
    let run: RunContext

    package init(_ repository: Repository, on pool: ThreadPool, in run: RunContext) {
        self.repository = repository
        self.pool = pool
        self.run = run
    }

    /// Finds out what is needed. Nothing is changed.
    ///
    /// Throws `BackupError.damaged` if a snapshot, a tree, the index or a needed pack is missing or cannot be read: what cannot be
    /// known to be superfluous must not be removed. `refused` where nothing may be removed.
    package func plan(_ options: PruneOptions) throws -> PrunePlan {
        try repository.requireRemoval(for: "be pruned")
        let (all, unreadable) = try repository.readableSnapshots(on: pool)
        let snapshots = all.filter { !options.ignored.contains($0.id) }
        try Self.require(unreadable.filter { !options.ignored.contains($0.key.id) }.map(\.finding))
        let files = try repository.indexFiles(on: pool)
        try Self.require(files.findings)
        let (marks, damaged) = try mark(snapshots, files.index)
        let uses = PackUses(files, marks: marks, damaged: damaged)
        var plan = PrunePlan(files, options, Set(snapshots.map(\.id)), needed: uses.needed)
        plan.used = uses.used
        plan.unused = uses.unused
        plan.duplicates = uses.duplicates
        try choose(&plan, uses.packs, PackListing(files, try repository.backend.list(.pack)))
        let (replaced, _) = plan.indexRewrite.replaced()
        plan.replacedIndexFiles = replaced.count
        return plan
    }

    private static func require(_ findings: [Finding]) throws {
        guard let first = findings.first(where: { $0.severity == .damage }) else { return }
        let others = findings.count > 1 ? ", and \(findings.count - 1) more" : ""
        throw BackupError(
            .damaged, "\(first.subject): \(first.message)\(others); nothing was removed",
            advice: "Check the repository, and repair it before it is pruned.")
    }

    // MARK: What is needed

    /// The blobs that snapshots need, and copies of trees that cannot be read.
    private func mark(
        _ snapshots: [Repository.StoredSnapshot], _ index: BlobIndex
    ) throws -> (marks: BlobMarks, damaged: Set<Int>) {
        struct Found: Sendable {
            var marks: BlobMarks
            var damaged: Set<Int> = []
        }
        let found = Mutex(Found(marks: BlobMarks(size: index.count)))
        let meter = ProgressMeter(.scanning, entries: 0, bytes: 0, in: run)
        try TreeTraversal(repository, index, on: pool, in: run).visit(snapshots.map(\.snapshot.tree)) { _, visit in
            if let failure = visit.failure {
                try Self.require([Finding(.damage, "\(BlobKey(.tree, visit.id))", "\(failure)")])
            }
            var numbers = visit.number.map { [$0] } ?? []
            for node in visit.nodes where node.kind == .file {
                for id in node.content ?? [] {
                    let key = BlobKey(.data, id)
                    guard let number = index.number(of: key) else {
                        let message = "a snapshot needs it, and the index does not have it"
                        return try Self.require([Finding(.damage, "\(key)", message)])
                    }
                    numbers.append(number)
                }
            }
            let marked = numbers
            found.withLock { found in
                for number in marked { found.marks.insert(number) }
                found.damaged.formUnion(visit.damaged)
            }
            meter.advance(entries: 1) { entryPath(ObjectKind.pack.rawValue) }
        }
        return found.withLock { ($0.marks, $0.damaged) }
    }

    // MARK: What to do with each pack

    private struct Candidate {
        let number: Int
        let use: PackUse
        let isSmall: Bool
        let mustCompress: Bool
    }

    private func choose(_ plan: inout PrunePlan, _ uses: [PackUse], _ listing: PackListing) throws {
        for pack in listing.unindexed {
            plan.unindexed.add(pack.info.size)
            plan.unindexedPacks.append(pack.info.key)
        }
        for number in listing.missing {
            if uses[number].used > 0 { try Self.require(listing.findings) }
            plan.missing += 1
            plan.removedPacks.append(number)
            plan.removedBlobs += uses[number].unusedSize
        }
        let smallLimit = plan.options.smallPackSize ?? Self.smallLimit(listing)
        var (candidates, small): ([Candidate], [Candidate]) = ([], [])
        for pack in listing.indexed {
            guard let number = pack.number else { continue }
            let use = uses[number]
            if use.used == 0 {
                plan.removed.add(pack.info.size)
                plan.removedPacks.append(number)
                plan.removedBlobs += use.unusedSize
                continue
            }
            if listing.wrongSizes[number] != nil { try Self.require(listing.findings) }
            let candidate = Candidate(
                number: number, use: use, isSmall: pack.info.size < smallLimit, mustCompress: mustCompress(use, plan))
            if use.unused > 0 || use.isMixed || candidate.mustCompress {
                candidates.append(candidate)
            } else if candidate.isSmall {
                small.append(candidate)
            } else {
                plan.kept.add(use.size)
            }
        }
        // A few small ones are not worth it, and one alone would be stored anew each time. What is stored anew for other reasons makes
        // a small pack of data, and one of trees, in turn.
        if small.count + (candidates.isEmpty ? 0 : 2) >= Self.smallPacks {
            candidates += small
        } else {
            for pack in small { plan.kept.add(pack.use.size) }
        }
        chooseRepacked(&plan, candidates)
    }

    private static let smallPacks = 10

    /// As restic has it: four fifths of 4 MiB, or of the size that three of a hundred packs do not reach.
    private static func smallLimit(_ listing: PackListing) -> UInt64 {
        let sizes = listing.indexed.map(\.info.size).sorted()
        let few = sizes.isEmpty ? 0 : sizes[sizes.count * 3 / 100]
        return max(4 << 20, few) / 5 * 4
    }

    private func mustCompress(_ use: PackUse, _ plan: PrunePlan) -> Bool {
        guard repository.configuration.version == .two else { return false }
        return use.hasPlainTrees || plan.options.repacksUncompressed && use.hasPlainData
    }

    private func chooseRepacked(_ plan: inout PrunePlan, _ candidates: [Candidate]) {
        let tolerated = plan.options.maxUnused.limit(used: plan.used.bytes)
        let sorted = candidates.sorted { a, b in
            if a.use.isData != b.use.isData { return !a.use.isData }
            if a.isSmall != b.isSmall { return a.isSmall }
            let (first, second) = (a.use.unusedSize * b.use.usedSize, b.use.unusedSize * a.use.usedSize)
            return first == second ? a.number < b.number : first > second
        }
        for candidate in sorted {
            let use = candidate.use
            let isTooMuch = plan.options.maxRepackSize.map { plan.repacked.bytes + use.size >= $0 } ?? false
            let isForced = !use.isData || candidate.mustCompress || candidate.isSmall
            guard !isTooMuch, isForced || plan.remaining >= tolerated else {
                plan.kept.add(use.size)
                continue
            }
            plan.repacked.add(use.size)
            plan.repackedAway.count += use.unused
            plan.repackedAway.bytes += use.unusedSize
            plan.repackedPacks.append(candidate.number)
        }
    }
}
