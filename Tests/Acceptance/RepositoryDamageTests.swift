import Disk
import Foundation
import Model
import TestKit
import Testing

/// A backup of which nothing can be read is never passed over in silence.
@Suite struct RepositoryDamageTests {
    /// Backups `one` and `two`; the snapshot of `two` is damaged. Returns the beginning of its ID.
    private func make() throws -> (kept: RepositoryApp, id: String) {
        let kept = try RepositoryApp(isCheap: true)
        try kept.done("create", "--name", "one")
        let snapshots = kept.path + "/snapshots"
        let before = Set(try FileManager.default.contentsOfDirectory(atPath: snapshots))
        try kept.done("create", "--name", "two")
        let added = Set(try FileManager.default.contentsOfDirectory(atPath: snapshots)).subtracting(before)
        let name = try #require(added.first)
        let file = try #require(FileHandle(forUpdatingAtPath: snapshots + "/" + name))
        file.seek(toFileOffset: 40)
        file.write(Data([1, 2, 3, 4]))
        try file.close()
        return (kept, String(name.prefix(16)))
    }

    @Test func itIsListedAsDamaged() throws {
        let (kept, id) = try make()
        let list = try kept.done("list").output
        let line = try #require(list.split(separator: "\n").first { $0.hasPrefix(id) })
        #expect(line.contains("damaged") && line.contains("unknown") && !line.contains("1970"), "\(list)")
        #expect(list.contains("one ") && list.contains("2 backups"), "\(list)")
        let json = try kept.done("list", "--json").output
        #expect(json.contains(#""state": "damaged""#) && !json.contains("1970"), "\(json)")
        let status = try kept.done("status").output
        #expect(status.contains("1 damaged"), "\(status)")
        let doctor = try kept.run("doctor")
        #expect(doctor.status == 1 && doctor.output.contains("\(id) is damaged"), "\(doctor)")
    }

    @Test func verifyFindsIt() throws {
        let (kept, id) = try make()
        for words in [["verify"], ["verify", "--all"], ["verify", id], ["verify", String(id.prefix(6))]] {
            let answer = try Program.run(
                words + ["--repository", kept.path, "--app", kept.app.path], environment: kept.environment)
            #expect(answer.status == 20 && "\(answer)".contains(id.prefix(8)), "\(words): \(answer)")
        }
        let one = try kept.run("verify", "one")
        #expect(one.status == 0, "\(one)")
    }

    @Test func aRestoreOfItSaysWhatIsWrong() throws {
        let (kept, id) = try make()
        let before = try kept.app.snapshot()
        let byID = try kept.run("restore", id)
        #expect(byID.status == 20 && byID.errors.contains("error: the backup '\(id)' is damaged"), "\(byID)")
        let byName = try kept.run("restore", "two")
        #expect(byName.status == 10 && byName.errors.contains("it may be the damaged \(id)"), "\(byName)")
        let other = try kept.run("show", "three")
        #expect(other.status == 10 && other.errors.contains("it may be the damaged \(id)"), "\(other)")
        try kept.app.expect(before)
        try kept.done("restore", "one", "--skip-safety-backup")
    }

    /// A backup that cannot be read is neither a parent, nor counted for retention, nor removed by it.
    @Test func theOthersGoOn() throws {
        let (kept, id) = try make()
        try kept.done("create", "--name", "three")
        let pruned = try kept.run("prune", "--keep-last", "1", "--yes", "--yes-remove-many")
        #expect([0, 20].contains(pruned.status), "\(pruned)")
        #expect(try kept.done("list").output.contains(id))
        #expect(try kept.names().contains("three"))
    }

    @Test func itCanBeDeleted() throws {
        let (kept, id) = try make()
        // One that can be read goes before, whatever it is called.
        let alike = String(id.prefix(6))
        try kept.done("create", "--name", alike)
        let deleted = try kept.run("delete", alike, "--yes")
        #expect(deleted.status == 20 && deleted.errors.contains("space was not freed"), "\(deleted)")
        #expect(try kept.names().sorted() == ["one", id].sorted())
        let answer = try kept.run("delete", id, "--yes")
        #expect(answer.status == 0, "\(answer)")
        #expect(try kept.names() == ["one"])
        try kept.done("verify", "--all")
        try kept.done("repository", "check", "--read-data")
    }

    /// Backups in a repository are backups: `doctor` does not ask for others beside the app.
    @Test func doctorKnowsWhereTheBackupsAre() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell("mkdir backups")
        let without = try kept.run("doctor")
        #expect(without.output.contains("there is no complete, undamaged one"), "\(without)")
        try kept.done("create", "--name", "one")
        let with = try kept.run("doctor")
        #expect(!with.output.contains("there is no complete, undamaged one"), "\(with)")
    }
}
