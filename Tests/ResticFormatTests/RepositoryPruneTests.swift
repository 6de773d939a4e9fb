import Codec
import Model
import ResticFormat
import Storage
import TestKit
import Testing
import Workers

/// What we prune is held against the real restic.
@Suite struct RepositoryPruneTests {
    private let pool = ThreadPool(threads: 2)

    private func prune(_ repository: Repository, _ options: PruneOptions = PruneOptions()) throws -> PrunePlan {
        let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
        let plan = try prune.plan(options)
        let failures = try prune.apply(plan)
        #expect(failures == [])
        return plan
    }

    private func size(_ backend: any Backend, _ kind: ObjectKind = .pack) throws -> Int {
        try backend.list(kind).reduce(0) { $0 + Int($1.size) }
    }

    /// Backups of a tree that changes, some of which are forgotten at random.
    private func worn(
        _ random: inout SeededRandom, _ version: RepositoryConfiguration.Version, backups: Int
    ) throws -> ResticRepository {
        let place = try ResticRepository(weak: version)
        var source = try ChangingTree()
        for _ in 0..<backups {
            try source.change(&random)
            // Packs of ours are small here, so that there are some.
            try place.restic(
                ["backup", ".", "--host", "h"] + (random.once(in: 4) ? ["--force"] : []), in: source.tree.path)
        }
        let ids = try place.snapshotIDs()
        let forgotten = ids.dropFirst().filter { _ in random.once(in: 2) }
        if !forgotten.isEmpty { try place.restic(["forget"] + forgotten) }
        return place
    }

    /// As many as a few dozen repositories: what stays is whole, and about what restic's own prune leaves.
    @Test(arguments: 0..<24) func asResticDoes(number: Int) throws {
        var random = SeededRandom.printed(for: "asResticDoes \(number)")
        let version: RepositoryConfiguration.Version = number % 4 == 0 ? .one : .two
        let place = try worn(&random, version, backups: Int.random(in: 2..<7, using: &random))
        let before = try place.open().everything()
        let theirs = try ResticRepository(try StoredObjects(try place.backend()))
        let unlimited = random.once(in: 2) ? "0%" : "5%"
        var options = PruneOptions()
        options.maxUnused = .percent(unlimited == "0%" ? 0 : 5)

        let repository = try place.open()
        let stored = try size(repository.backend)
        let plan = try prune(repository, options)
        let left = try size(repository.backend)
        #expect(plan.snapshots == before.count && left <= stored)
        try place.restic(["check", "--read-data"])
        #expect(try place.open().everything() == before)
        #expect(try repository.check().findings == [])
        let restored = try #require(before.keys.first).hex
        #expect(try place.restored(restored).differences(from: theirs.restored(restored)) == [])

        try theirs.restic(["prune", "--max-unused", unlimited])
        let expected = try size(try theirs.backend())
        // Ours joins small packs; headers and what compressing gains differ by a little.
        #expect(left <= expected + expected / 50 + 2000, "\(left) instead of \(expected)")
        #expect(try prune(repository, options).isEmpty)
        let again = try place.restic(["prune", "--max-unused", unlimited])
        let text = String(decoding: again.output, as: UTF8.self)
        #expect(text.contains("to repack:             0 blobs / 0 B") || text.contains("to repack: 0"), "\(text)")
    }

    @Test func nothingToDo() throws {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        try source.write("a/file", "content")
        try source.makeDirectory(entry("empty"))
        try place.restic(["backup", "."], in: source.path)
        let before = try StoredObjects(try place.backend())
        let plan = try prune(try place.open())
        #expect(plan.isEmpty && plan.freed == 0 && plan.remaining == 0 && plan.used.count > 3)
        #expect(try StoredObjects(try place.backend()) == before)
    }

    /// Also where else there is nothing to do.
    @Test func leftoversOfUploads() throws {
        let place = try ResticRepository(weak: .two)
        let repository = try place.open()
        let upload = try repository.backend.upload()
        try Array("begun".utf8).withUnsafeBytes { try upload.append($0) }
        try place.tree.write("repository/data/00/\(String(repeating: "0", count: 64))-tmp-1234", "restic's")
        func leftovers() throws -> [EntryPath] {
            try TreeSnapshot(of: place.tree.directory).entries.keys.filter { "\($0)".contains("tmp") }
        }
        #expect(try leftovers().count == 2)
        #expect(try prune(repository).isEmpty)
        #expect(try leftovers() == [])
        upload.discard()
    }

    @Test func leftoversOfABackup() throws {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        try source.write("file", "content")
        try place.restic(["backup", "."], in: source.path)
        let repository = try place.open()
        // Cut off before the index, and before the snapshot.
        for isIndexed in [false, true] {
            let backend = KillingBackend(repository.backend, after: isIndexed ? 2 : 1)
            let writer = RepositoryWriter(
                try WeakRepository.open(backend), index: BlobIndex(), on: pool, compression: .none)
            let bytes = [UInt8](repeating: isIndexed ? 1 : 2, count: 5000)
            _ = try bytes.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
            if isIndexed { try writer.finish() } else { #expect(throws: StorageError.self) { try writer.finish() } }
        }
        let plan = try prune(repository)
        #expect(plan.unindexed.count == 1 && plan.removed.count == 1 && plan.freed > 10_000 && plan.freed < 11_000)
        #expect(try repository.backend.list(.pack).count == 2)
        try place.restic(["check", "--read-data"])
    }

    @Test func limits() throws {
        let backend = MemoryBackend()
        let repository = try WeakRepository.create(backend)
        var random = SeededRandom.printed(for: "limits")
        // Packs of ten blobs, of which a snapshot needs nine, eight, seven, …
        let writer = RepositoryWriter(
            repository, index: BlobIndex(), on: ThreadPool(threads: 1), compression: .none, packSize: 10 * 1032)
        var ids: [SHA256Digest] = []
        for number in 0..<100 {
            let bytes = random.bytes(1000)
            let id = try bytes.withUnsafeBytes { try writer.save(.data, $0, worker: 0).id }
            if number % 10 > number / 10 { ids.append(id) }
        }
        var node = try #require(TreeNode(name: Array("file".utf8), kind: .file))
        node.content = ids
        node.size = UInt64(ids.count * 1000)
        let tree = try encoded([node]).withUnsafeBytes { try writer.save(.tree, $0, worker: 0).id }
        try writer.finish()
        _ = try writer.save(Snapshot(time: WeakRepository.now, tree: tree, paths: ["/x"]))

        let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
        var options = PruneOptions()
        // As large as packs are here: none is small.
        options.smallPackSize = 1
        options.maxUnused = .unlimited
        let nothing = try prune.plan(options)
        #expect(nothing.repacked.count == 0 && nothing.removed.count == 1 && nothing.unused.count == 55)
        #expect(nothing.used.count == ids.count + 1 && nothing.remaining == 45 * 1032)
        options.maxUnused = .bytes(20 * 1032)
        let some = try prune.plan(options)
        // The emptiest first: 9, 8 and 7 of 45 go, and 21 stay; then 6.
        #expect(some.repacked.count == 4 && some.repackedAway.count == 30 && some.remaining == 15 * 1032)
        options.maxRepackSize = 3 * 11_000
        let few = try prune.plan(options)
        #expect(few.repacked.count == 3 && few.repackedAway.count == 24)
        options.maxRepackSize = nil
        options.maxUnused = .percent(0)
        let before = try repository.everything()
        let all = try self.prune(repository, options)
        #expect(all.repacked.count == 9 && all.remaining == 0)
        #expect(try repository.everything() == before && repository.check().findings == [])
        #expect(try repository.index(on: pool).index.count == ids.count + 1)
    }

    /// What is not compressed is stored anew once, and not again and again.
    @Test func compressing() throws {
        var random = SeededRandom.printed(for: "compressing")
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        try source.write(entry("random"), random.bytes(10_000))
        try source.write(entry("text"), [UInt8](repeating: 7, count: 50_000))
        try place.restic(["backup", ".", "--compression", "off"], in: source.path)
        let repository = try place.open()
        let before = try (repository.everything(), size(repository.backend))
        #expect(try prune(repository).isEmpty)
        var options = PruneOptions()
        options.repacksUncompressed = true
        #expect(try prune(repository, options).repacked.count == 1)
        #expect(try repository.everything() == before.0 && size(repository.backend) < before.1 - 40_000)
        #expect(try prune(repository, options).isEmpty)
        try place.restic(["check", "--read-data"])
    }

    /// Snapshots that were just forgotten do not count, even if a listing still shows them.
    @Test func ignoredSnapshots() throws {
        var random = SeededRandom.printed(for: "ignoredSnapshots")
        let place = try ResticRepository(weak: .two)
        var source = try ChangingTree()
        for _ in 0..<3 {
            try source.change(&random)
            try place.restic(["backup", "."], in: source.tree.path)
        }
        let repository = try place.open()
        let snapshots = try repository.snapshots(on: pool).snapshots
        var options = PruneOptions()
        options.ignored = [snapshots[0].id, snapshots[1].id]
        options.maxUnused = .percent(0)
        #expect(try RepositoryPrune(repository, on: pool, in: TestRun().context()).plan(PruneOptions()).isEmpty)
        let plan = try prune(repository, options)
        #expect(plan.snapshots == 1 && plan.freed > 0)
        try repository.backend.remove(.snapshot(snapshots[0].id))
        try repository.backend.remove(.snapshot(snapshots[1].id))
        try place.restic(["check", "--read-data"])
        #expect(try repository.check().findings == [])
    }

    /// Many small files of an index become one, and small packs too.
    @Test func manySmallBackups() throws {
        let place = try ResticRepository(weak: .two)
        let source = try TemporaryTree()
        for number in 0..<12 {
            try source.write("file \(number)", "content \(number)")
            try place.restic(["backup", "."], in: source.path)
        }
        let repository = try place.open()
        let before = try repository.everything()
        let plan = try prune(repository)
        #expect(plan.repacked.count == 24 && plan.replacedIndexFiles == 12)
        #expect(try repository.backend.list(.pack).count == 2 && repository.backend.list(.index).count == 1)
        #expect(try repository.everything() == before && prune(repository).isEmpty)
        try place.restic(["check", "--read-data"])
    }
}

/// What must not be pruned.
@Suite struct PruneRefusalTests {
    private let pool = ThreadPool(threads: 2)

    private func wornRepository(_ random: inout SeededRandom) throws -> StoredObjects {
        let place = try ResticRepository(weak: .two)
        var source = try ChangingTree()
        for _ in 0..<4 {
            try source.change(&random, largest: 3000)
            try place.restic(["backup", "."], in: source.tree.path)
        }
        try place.restic(["forget", place.snapshotIDs()[1]])
        return try StoredObjects(try place.backend())
    }

    /// Whatever is damaged or missing, either nothing is changed, or everything is there afterwards that was before.
    @Test func damage() throws {
        var random = SeededRandom.printed(for: "PruneRefusalTests.damage")
        let stored = try wornRepository(&random)
        let whole = try WeakRepository.open(try stored.backend()).everything()
        var refused = 0
        for key in stored.keys where ![.configuration, .key].contains(key.kind) {
            let bytes = try #require(stored.objects[key])
            for kind in 0..<6 {
                var damaged = stored
                switch kind {
                case 0: damaged.objects[key] = nil
                case 1: damaged.objects[key] = Array(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)))
                default: damaged.objects[key]?[Int.random(in: bytes.indices, using: &random)] ^= 4
                }
                let backend = try damaged.backend()
                let repository = try WeakRepository.open(backend)
                let before = try readable(repository)
                var options = PruneOptions()
                options.maxUnused = .percent(0)
                do {
                    let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
                    _ = try prune.apply(try prune.plan(options))
                } catch let error as BackupError {
                    #expect(error.code == .damaged, "\(error)")
                    refused += 1
                    if [.snapshot, .index].contains(key.kind) { #expect(try StoredObjects(backend) == damaged) }
                }
                let after = try readable(repository)
                let isSubset = before.allSatisfy { after[$0.key] == $0.value }
                #expect(isSubset, "\(key), kind \(kind): \(before.count) and \(after.count)")
                if kind > 1, key.kind == .snapshot || key.kind == .index { #expect(refused > 0) }
            }
        }
        #expect(refused > 10 && whole.count == 3)
    }

    /// The content of each file of each snapshot, as far as it can be read.
    private func readable(_ repository: Repository) throws -> [String: [UInt8]] {
        let index = try repository.index(on: pool).index
        var coder = repository.coder()
        var found: [String: [UInt8]] = [:]
        for stored in try repository.snapshots(on: pool).snapshots {
            var pending = [(EntryPath.root, stored.snapshot.tree)]
            while let (path, id) = pending.popLast() {
                do {
                    for node in try repository.tree(id, in: index, &coder) {
                        let child = path.appending(node.name)
                        if let subtree = node.subtree { pending.append((child, subtree)) }
                        guard let ids = node.content else { continue }
                        var content: [UInt8] = []
                        for id in ids { content += try repository.blob(BlobKey(.data, id), in: index, &coder) }
                        found["\(stored.id.hex):\(child)"] = content
                    }
                } catch is FormatError {}
            }
        }
        return found
    }

    /// The copy that can be read is the one that stays.
    @Test(arguments: BlobType.allCases) func copiesOfDamagedBlobs(type: BlobType) throws {
        for number in 0..<2 {
            let backend = MemoryBackend()
            let repository = try WeakRepository.create(backend)
            // Two packs with the same, and one more with what nobody needs in each.
            var content = Array("content".utf8)
            var root = SHA256Digest()
            for round in 0..<2 {
                let writer = RepositoryWriter(repository, index: BlobIndex(), on: ThreadPool(threads: 1))
                let data = try content.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
                var node = try #require(TreeNode(name: Array("file".utf8), kind: .file))
                node.content = [data.id]
                node.size = UInt64(content.count)
                root = try encoded([node]).withUnsafeBytes { try writer.save(.tree, $0, worker: 0).id }
                content.append(UInt8(round))
                _ = try content.withUnsafeBytes { try writer.save(.data, $0, worker: 0) }
                _ = try content.withUnsafeBytes { try writer.save(.tree, $0, worker: 0) }
                try writer.finish()
                if round == 0 { _ = try writer.save(Snapshot(time: WeakRepository.now, tree: root, paths: ["/x"])) }
                content = Array("content".utf8)
            }
            root = try #require(try repository.snapshots(on: pool).snapshots.first).snapshot.tree
            let index = try repository.index(on: pool).index
            let key = type == .tree ? BlobKey(.tree, root) : BlobKey(.data, SHA256.digest(of: content))
            let copies = index.all(key).sorted { $0.pack.hex < $1.pack.hex }
            #expect(copies.count == 2)
            var stored = try StoredObjects(backend)
            stored.objects[.pack(copies[number].pack)]?[Int(copies[number].place.offset) + 20] ^= 1
            let damaged = try WeakRepository.open(try stored.backend())
            var options = PruneOptions()
            options.maxUnused = .percent(0)
            let prune = RepositoryPrune(damaged, on: pool, in: TestRun().context())
            _ = try prune.apply(try prune.plan(options))
            #expect(try damaged.check().findings == [])
            #expect(try damaged.everything().values.first == [entry("file"): content])
        }
    }

    @Test func changesSinceThePlan() throws {
        var random = SeededRandom.printed(for: "changesSinceThePlan")
        let backend = try wornRepository(&random).backend()
        let repository = try WeakRepository.open(backend)
        let prune = RepositoryPrune(repository, on: pool, in: TestRun().context())
        let plan = try prune.plan(PruneOptions())
        let writer = RepositoryWriter(repository, index: BlobIndex(), on: pool)
        let snapshot = try #require(try repository.snapshots(on: pool).snapshots.first).snapshot
        _ = try writer.save(snapshot)
        let before = try StoredObjects(backend)
        do {
            _ = try prune.apply(plan)
            Issue.record("applied a plan that does not fit any more")
        } catch let error as BackupError {
            #expect(error.code == .refused)
        }
        #expect(try StoredObjects(backend) == before)
    }
}
