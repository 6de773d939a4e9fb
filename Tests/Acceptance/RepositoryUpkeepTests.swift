import Foundation
import TestKit
import Testing

/// `repository check`, `prune`, `repair` and `stats` on what real restic stored, and restic on what they leave.
@Suite struct RepositoryUpkeepTests {
    private let home: RepositoryHome

    /// Three backups: of `data`, of it with another file, and of it without the first one.
    init() throws {
        home = try RepositoryHome()
        try CheapRepository.make(at: home.path, password: RepositoryHome.secret)
        try shell("mkdir -p data/deep; head -c 3000000 /dev/urandom > data/first; seq 1 200000 > data/deep/text")
        try home.resticDone("backup", "data", "--tag", "name=one")
        try shell("head -c 2000000 /dev/urandom > data/second")
        try home.resticDone("backup", "data", "--tag", "name=two")
        try shell("rm data/first")
        try home.resticDone("backup", "data", "--tag", "name=three")
    }

    private func shell(_ script: String) throws {
        try ToolRun.run("sh", ["-euc", script], in: home.tree.path).expectDone()
    }

    /// Paths of the files of a kind, the largest first.
    private func files(_ kind: String) throws -> [String] {
        let found = try ToolRun.run(
            "sh", ["-euc", "find repository/\(kind) -type f -printf '%s %p\\n' | sort -rn | cut -d' ' -f2"],
            in: home.tree.path)
        return String(decoding: found.output, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func number(_ key: String, in json: String) throws -> Int {
        try #require(Int(json.firstMatch(of: try Regex("\"\(key)\": ([0-9]+)"))?.output[1].substring ?? ""), "\(json)")
    }

    private func flip(_ file: String, at offset: Int) throws {
        let url = URL(filePath: home.tree.path).appending(path: file)
        try ToolRun.run("chmod", ["u+w", url.path]).expectDone()
        var bytes = try Data(contentsOf: url)
        bytes[offset] ^= 1
        try bytes.write(to: url)
    }

    // MARK: check

    @Test func aFlippedByteIsFoundByReading() throws {
        let whole = try home.done("check", "--read-data")
        #expect(whole.output.hasPrefix("\(home.path): whole (3 backups, "), "\(whole)")
        let pack = try #require(try files("data").first)
        try flip(pack, at: 1000)
        try home.done("check")
        let damaged = try home.run(["check", "--read-data"])
        let name = URL(filePath: pack).lastPathComponent
        #expect(damaged.status == 20 && damaged.output.contains("DAMAGED"), "\(damaged)")
        #expect(damaged.output.contains(name.prefix(8)), "\(damaged)")
        #expect(damaged.output.contains("data/"), "names what is lost: \(damaged)")
        let json = try home.run(["check", "--read-data", "--json"])
        #expect(json.status == 20 && json.output.contains("\"damaged\": true"), "\(json)")
        // One of the parts has it.
        let statuses = try (1...3).map { try home.run(["check", "--read-data-subset", "\($0)/3"]).status }
        #expect(statuses.sorted() == [0, 0, 20])
        #expect(try home.run(["check", "--read-data-subset", "100%"]).status == 20)
        for part in ["0/3", "4/3", "1/300", "0%", "101%", "x", "1/2/3"] {
            try home.run(["check", "--read-data-subset", part]).expectError(2, "is no part of a repository")
        }
        try home.run(["check", "--read-data", "--read-data-subset", "1/2"]).expectError(2, "do not go together")
    }

    @Test func whatIsMissingIsFoundWithoutReading() throws {
        let pack = try #require(try files("data").first)
        try shell("rm -f \(pack)")
        let damaged = try home.run(["check"])
        #expect(damaged.status == 20 && damaged.output.contains("data/"), "\(damaged)")
    }

    /// A disk that is mounted for reading, or a repository of another user.
    @Test(arguments: ["EROFS", "EACCES"]) func whereNothingCanBeWrittenItIsReadAllTheSame(error: String) throws {
        let before = try files(".")
        let environment = ["RESTIC_PASSWORD_FILE": home.password, "CHASTIPI_FAULT": "1+:\(error)"]
        for verb in [["check", "--read-data"], ["stats"], ["key", "list"], ["unlock"]] {
            let answer = try home.run(verb + ["--verbose"], environment: environment)
            #expect(answer.status == 0, "\(answer)")
            if ["check", "stats"].contains(verb[0]) {
                #expect(answer.errors.contains("no lock can be made"), "\(answer)")
            }
        }
        try home.run(["prune"], environment: environment).expectError(1, "cannot create")
        #expect(try files(".") == before)
    }

    // MARK: prune

    @Test func whatIsForgottenIsFreed() throws {
        let before = try home.done("stats", "--json").output
        try home.resticDone("forget", "--tag", "name=one", "--tag", "name=two", "--keep-tag", "name=three")
        let left = try home.resticDone("snapshots", "--json").matches(of: /"short_id"/).count
        #expect(left == 1)
        let files = try files(".")
        let preview = try home.done("prune", "--dry-run")
        #expect(
            preview.output.contains("would free 3.0 MB") || preview.output.contains("would free 3.1 MB"), "\(preview)")
        #expect(try self.files(".") == files)
        let done = try home.done("prune", "--json")
        #expect(try number("bytes_freed", in: done.output) > 2_900_000)
        let after = try home.done("stats", "--json").output
        #expect(try number("bytes_in_repository", in: before) - number("bytes_in_repository", in: after) > 2_900_000)
        try home.resticDone("check", "--read-data")
        try home.resticDone("restore", "latest", "--target", home.tree.path + "/restored")
        try ToolRun.run("diff", ["-r", home.tree.path + "/data", home.tree.path + "/restored/data"]).expectDone()
        #expect(try home.done("prune").output.contains("nothing to do"))
        for wrong in [["--max-unused", "100%"], ["--max-unused", "5"], ["--max-unused", "many"]] {
            let answer = try home.run(["prune", "--dry-run"] + wrong)
            #expect(answer.status == (wrong[1] == "5" ? 0 : 2), "\(wrong): \(answer)")
        }
        try home.run(["prune", "--max-repack-size", "5X"]).expectError(2, "'5X' is no size")
    }

    // MARK: repair

    @Test func aLostIndexIsMadeAgain() throws {
        let indexes = try files("index")
        #expect(indexes.count == 3)
        try shell("rm -f \(indexes[0])")
        #expect(try home.run(["check"]).status == 20)
        let preview = try home.run(["repair", "index", "--dry-run"])
        #expect(preview.status == 0 && preview.output.contains("to add: the pack "), "\(preview)")
        #expect(try files("index").count == 2)
        let repaired = try home.done("repair", "index")
        #expect(repaired.output.contains("added: the pack "), "\(repaired)")
        try home.done("check", "--read-data")
        try home.resticDone("check", "--read-data")
        #expect(try home.done("repair", "index").output.contains("nothing to do"))
    }

    /// What is still there is stored again: without the repair it would count as stored.
    @Test func wrongBytesAreHealedByTheNextBackup() throws {
        try home.resticDone("restore", "latest", "--tag", "name=two", "--target", home.tree.path + "/kept")
        let pack = try #require(try files("data").first)
        try flip(pack, at: 1000)
        #expect(try home.run(["check", "--read-data"]).status == 20)
        let preview = try home.run(["repair", "packs", "--dry-run"])
        let name = URL(filePath: pack).lastPathComponent
        #expect(preview.status == 20 && preview.output.contains("to remove: the pack \(name.prefix(8))"), "\(preview)")
        try home.run(["repair", "packs", "xyz"]).expectError(10, "no pack begins with 'xyz'")
        let repaired = try home.run(["repair", "packs", String(name.prefix(8))])
        #expect(repaired.status == 20 && repaired.output.contains("1 part cannot be read anywhere"), "\(repaired)")
        #expect(try home.run(["check"]).status == 20)
        try shell("cp -a kept/data/first data/")
        // Restic says 3 where it finds that a part of an unchanged file is gone, and stores it again.
        let again = try home.restic(["backup", "data"])
        #expect([0, 3].contains(again.status), "\(again)")
        try home.done("check", "--read-data")
        try home.resticDone("check", "--read-data")
        #expect(try home.done("repair", "packs").output.contains("nothing to do"))
    }

    @Test func backupsAreMadeWithoutWhatIsLost() throws {
        // The pack with the first file and the text.
        let pack = try #require(try files("data").first)
        try shell("rm -f \(pack)")
        let index = try home.run(["repair", "index"])
        #expect(index.status == 20 && index.output.contains("which is missing"), "\(index)")
        let preview = try home.done("repair", "snapshots", "--dry-run")
        #expect(
            preview.output.contains("data/first") && preview.output.contains("0 backups sound, 3 damaged"), "\(preview)"
        )
        try home.run(["repair", "snapshots", "--forget"]).expectError(2, "there is no terminal", "--yes")
        let repaired = try home.done("repair", "snapshots", "--forget", "--yes")
        #expect(repaired.output.matches(of: /made the repaired snapshot/).count == 3, "\(repaired)")
        try home.done("check", "--read-data")
        try home.resticDone("check", "--read-data")
        let tags = try home.resticDone("snapshots", "--json")
        #expect(tags.matches(of: /"repaired"/).count == 3)
        try home.resticDone("restore", "latest", "--tag", "name=two", "--target", home.tree.path + "/restored")
        #expect(try home.tree.read("restored/data/first").isEmpty)
        try ToolRun.run(
            "cmp", [home.tree.path + "/data/second", home.tree.path + "/restored/data/second"]
        ).expectDone()
        #expect(try home.done("repair", "snapshots").output.contains("nothing to do"))
    }

    // MARK: stats

    @Test func sizesAreThoseOfRestic() throws {
        let ours = try home.done("stats", "--json").output
        let restore = try home.resticDone("stats", "--mode", "restore-size", "--json")
        let total = try #require(Int(restore.firstMatch(of: /"total_size":([0-9]+)/)?.1 ?? ""))
        #expect(try number("bytes_of_all", in: ours) == total)
        let raw = try home.resticDone("stats", "--mode", "raw-data", "--json")
        #expect(try number("bytes_stored", in: ours) == Int(raw.firstMatch(of: /"total_size":([0-9]+)/)?.1 ?? ""))
        let disk = try ToolRun.run("sh", ["-c", "find repository -type f -printf '%s\\n'"], in: home.tree.path).output
        let onDisk = String(decoding: disk, as: UTF8.self).split(separator: "\n").compactMap { Int($0) }.reduce(0, +)
        // Its own lock may count.
        let more = try number("bytes_in_repository", in: ours) - onDisk
        #expect(0...1000 ~= more, "\(more) of \(onDisk): \(ours)")
        let text = try home.done("stats")
        #expect(text.output.contains("3 backups: ") && text.output.contains("three"), "\(text)")
    }

    /// Just where somebody wants to free space: one of the first calls makes the lock.
    @Test func aFullDiskThatHasNoRoomForALockIsTold() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        try kept.done("create", "--name", "two")
        func expectTold(_ run: (RepositoryApp, String) throws -> Program.Answer) throws {
            var isTold = false
            for call in 1...12 where !isTold {
                let full = try kept.copied()
                let answer = try run(full, "\(call):ENOSPC")
                isTold = answer.errors.contains("no lock can be made in \(full.path), which is full")
                guard isTold else { continue }
                #expect(answer.status == 1 && answer.errors.contains("Free some megabytes"), "\(answer)")
                #expect(try full.names() == ["one", "two"])
            }
            #expect(isTold)
        }
        try expectTold { try $0.run("delete", "one", "--yes", fault: $1) }
        try expectTold { try $0.run("repository", "prune", fault: $1) }
    }

    /// What only the backups that go needed is known before.
    @Test func aPreviewTellsWhatIsFreed() throws {
        let kept = try RepositoryApp(isCheap: true)
        var random = SeededRandom.printed(for: "aPreviewTellsWhatIsFreed")
        try kept.app.tree.write(entry("uploads/large"), random.bytes(3 << 20))
        try kept.done("create", "--name", "one")
        try kept.app.tree.remove(entry("uploads/large"))
        try kept.done("create", "--name", "two")
        let deleting = try kept.done("delete", "one", "--dry-run")
        #expect(deleting.output.contains("this frees about 3.1 MB"), "\(deleting)")
        #expect(try kept.done("delete", "two", "--dry-run").output.contains("this frees about 0 B") == false)
        let pruning = try kept.done("prune", "--keep-last", "1", "--include-named", "--dry-run")
        #expect(pruning.output.contains("which frees at least 3.1 MB"), "\(pruning)")
        #expect(try kept.names() == ["one", "two"])
        let asked = try kept.run("delete", "one")
        #expect(asked.status == 2 || asked.status == 1, "\(asked)")
        #expect(!"\(asked)".contains("0 B"), "\(asked)")
        try kept.done("delete", "one", "--yes")
        try kept.done("verify", "two")
    }
}
