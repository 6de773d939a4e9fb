import Disk
import Foundation
import Model
import TestKit
import Testing

/// A sample of what ``RepositoryVerbFaultLongTests`` tries.
@Suite struct RepositoryVerbFaultTests {
    private let faults = RepositoryVerbFaults(every: 10)

    @Test func anInitThatDiesCanBeMadeAgain() throws { try faults.ofAnInit() }

    @Test(arguments: ["add", "passwd"], [false, true])
    func aPasswordThatWasGoodOrIsToldToBeOpensIt(verb: String, isGenerated: Bool) throws {
        try faults.ofAPassword(verb, isGenerated: isGenerated)
    }

    @Test(arguments: ["index", "packs", "snapshots", "prune"])
    func aRepairThatIsCutOffLosesNothingMore(verb: String) throws { try faults.ofARepair(verb) }

    @Test func aCopyToARepositoryIsWholeOrNotThere() throws { try faults.ofACopy() }

    @Test(arguments: ["folder", "zip"])
    func aCopyToTheBackupDirectoryIsWholeOrNotThere(format: String) throws { try faults.ofACopy(to: format) }

    @Test func aRestoreEndsInTheOldOrTheNewTree() throws { try faults.ofARestore() }
}

@Suite(.enabled(if: runsLongTests)) struct RepositoryVerbFaultLongTests {
    private let faults = RepositoryVerbFaults(every: 1)

    @Test func everyCallOfAnInit() throws { try faults.ofAnInit() }

    @Test(arguments: ["add", "passwd"], [false, true])
    func everyCallOfANewPassword(verb: String, isGenerated: Bool) throws {
        try faults.ofAPassword(verb, isGenerated: isGenerated)
    }

    @Test(arguments: ["index", "packs", "snapshots", "prune"])
    func everyCallOfARepair(verb: String) throws { try faults.ofARepair(verb) }

    @Test func everyCallOfACopyToARepository() throws { try faults.ofACopy() }

    @Test(arguments: ["folder", "zip"]) func everyCallOfACopy(format: String) throws { try faults.ofACopy(to: format) }

    @Test func everyCallOfARestore() throws { try faults.ofARestore() }
}

/// Kills and errors at the changing calls of verbs that make, mend and copy repositories. Whatever happens, what could be read can
/// be read, a password that was good or is told to be good opens it, and the next run does its work.
private struct RepositoryVerbFaults {
    /// Of so many calls one is tried with each fault.
    let every: Int

    private static let faults = ["kill", "EIO", "late-EIO"]

    /// Which faults are tried at which calls: each fault at others, if not all are.
    private func points(_ first: Int, _ count: Int) -> [(call: Int, fault: String)] {
        (first...max(first, count)).flatMap { call in
            Self.faults.enumerated().filter { (call + 2 * $0.offset) % every == 0 }.map { (call, $0.element) }
        }
    }

    /// Two backups of an app. `nodes`: with a fifo and, where we may make one, a device.
    private func start(nodes: Bool = false) throws -> RepositoryApp {
        let kept = try RepositoryApp(isCheap: true)
        if nodes { try kept.app.shell("mkfifo data/fifo; test $(id -u) != 0 || mknod data/null c 1 3") }
        try kept.done("create", "--name", "one")
        try kept.app.tree.write("data/deep/one", "changed")
        try kept.app.tree.write("data/new/two", "new")
        try kept.done("create", "--name", "two")
        return kept
    }

    /// Nothing half-made in the repositories: neither locks, if it is not told that they stay, nor what was not finished.
    private func expectClean(_ kept: RepositoryApp, _ place: String, _ answer: Program.Answer) throws {
        let found = try ToolRun.run("find", [".", "-name", "*-tmp-*", "-o", "-path", "*/locks/*"], in: kept.home.path)
        let left = String(decoding: found.output, as: UTF8.self).split(separator: "\n")
        let isTold = answer.errors.contains("the lock of the repository stays behind")
        #expect(left.isEmpty || isTold && left.allSatisfy { !$0.contains("-tmp-") }, "\(place): \(left) \(answer)")
    }

    /// A fault is an error with one line, or nothing came of it.
    private func expectTold(_ answer: Program.Answer, _ fault: String, _ place: String, also: Set<Int32> = []) {
        if fault == "kill" {
            #expect(answer.status == 137, "\(place): \(answer)")
        } else if answer.status != 0, !also.contains(answer.status) {
            #expect(answer.status == 1 && answer.errors.contains("error: "), "\(place): \(answer)")
        }
    }

    // MARK: init

    /// Made whole, made again, or told what to do: never something that neither opens nor can be made again.
    func ofAnInit() throws {
        let home = try RepositoryHome()
        let counting = ["RESTIC_PASSWORD_FILE": home.password, "CHASTIPI_FAULT_COUNT": home.tree.path + "/count"]
        #expect(try home.run(["init"], environment: counting).status == 0)
        let calls = try #require(Int(try home.tree.read("count").filter(\.isNumber)))
        var cutOff = 0
        for call in (every > 1 ? [150] + Array(calls - 12...calls - 4) : Array(1...calls)) {
            try home.tree.remove(entry("repository"))
            let kill = ["RESTIC_PASSWORD_FILE": home.password, "CHASTIPI_FAULT": "\(call):kill"]
            #expect(try home.run(["init"], environment: kill).status == 137)
            let opened = try home.run(["key", "list"])
            let again = try home.run(["init"])
            if again.status == 0 {
                #expect(opened.status == 10, "\(call): \(opened)")
            } else if opened.status == 0 {
                again.expectError(1, "there is a repository at \(home.path) already")
            } else {
                cutOff += 1
                opened.expectError(20, "keys and no configuration", "make it again")
                again.expectError(1, "was cut off", "remove that directory")
                try home.tree.remove(entry("repository"))
                try home.done("init")
            }
            if call % 5 == 0 { try home.resticDone("check") }
        }
        #expect(cutOff > 0)
    }

    // MARK: Passwords

    /// From the call behind the lock's five on.
    func ofAPassword(_ verb: String, isGenerated: Bool) throws {
        let start = try start()
        if !isGenerated { try start.home.write("other", "another\n") }
        func words(_ kept: RepositoryApp) -> [String] {
            let words = ["repository", "key", verb, "--new-password-file", kept.home.path + "/other"]
            return isGenerated ? words + ["--generate-password"] : words
        }
        let counted = try start.copied()
        let count = try counted.countCalls(of: words(counted))
        for (number, fault) in points(isGenerated ? 1 : 6, count) {
            let kept = try start.copied()
            let answer = try kept.runWithoutApp(words(kept), fault: "\(number):\(fault)")
            let place = "\(verb) \(number):\(fault)"
            expectTold(answer, fault, place)
            let old = try kept.runWithoutApp(["repository", "key", "list"])
            let new = try kept.runWithoutApp(["repository", "key", "list"], password: "other")
            // A generated password may not have been written.
            let statuses: Set<Int32> = isGenerated && answer.status != 0 ? [0, 2, 12] : [0, 12]
            #expect([0, 12].contains(old.status) && statuses.contains(new.status), "\(place): \(old)\(new)")
            if isGenerated && fault != "kill" { #expect(new.status != 12, "\(place): the file stays \(answer)") }
            #expect(old.status == 0 || new.status == 0, "\(place): none opens it")
            if answer.status == 0 { #expect(new.status == 0, "\(place): \(answer)") }
            if fault != "kill" { try expectClean(kept, place, answer) }
            let verified = try kept.runWithoutApp(
                ["repository", "check", "--read-data"], password: old.status == 0 ? "password" : "other")
            #expect(verified.status == 0, "\(place): \(verified)")
        }
    }

    // MARK: Repairs and prune

    /// What damages a repository, and the verb that mends it.
    private static let repairs: [String: (damage: String, verb: [String], statuses: Set<Int32>)] = [
        "index": ("rm index/*", ["repair", "index"], [0]),
        "packs": (
            "f=$(ls -S data/*/* | head -1); chmod u+w $f; printf xxxxxxxx | dd of=$f bs=1 seek=20 conv=notrunc 2>/dev/null",
            ["repair", "packs"], [0, 20]
        ),
        "snapshots": ("rm $(ls -S data/*/* | head -1)", ["repair", "snapshots", "--forget", "--yes"], [0, 20]),
        "prune": ("rm $(ls -S snapshots/* | head -1)", ["prune", "--max-unused", "0"], [0]),
    ]

    func ofARepair(_ name: String) throws {
        let repair = try #require(Self.repairs[name])
        let start = try start()
        try start.shell(repair.damage)
        if name == "snapshots" { _ = try start.runWithoutApp(["repository", "repair", "index"]) }
        let verb = ["repository"] + repair.verb
        let count = try start.copied().countCalls(of: verb, repair.statuses)
        #expect(count > 10)
        let whole = try start.copied()
        #expect(repair.statuses.contains(try whole.runWithoutApp(verb).status))
        let good = try whole.names().filter { try whole.run("verify", $0).status == 0 }.sorted()
        for (call, fault) in points(6, count) {
            let kept = try start.copied()
            let place = "\(repair.verb) \(call):\(fault)"
            let answer = try kept.runWithoutApp(verb, fault: "\(call):\(fault)")
            expectTold(answer, fault, place, also: repair.statuses.union([3]))
            if fault != "kill" { try expectClean(kept, place, answer) }
            var again = try kept.runWithoutApp(verb)
            if name == "snapshots", again.errors.contains("Repair the index first") {
                // What was stored already, and no index names yet, could be what seems to be lost.
                _ = try kept.runWithoutApp(["repository", "repair", "index"])
                again = try kept.runWithoutApp(verb)
            }
            #expect(repair.statuses.contains(again.status), "\(place): \(again)")
            // As if nothing had happened.
            let readable = try kept.names().filter { try kept.run("verify", $0).status == 0 }.sorted()
            #expect(readable == good, "\(place): \(readable)")
            if name != "packs", call % 7 == 0 { try kept.expectSound() }
        }
    }

    // MARK: Copies and restores

    func ofACopy() throws {
        let start = try start()
        try CheapRepository.make(at: start.home.path + "/second", password: RepositoryApp.password)
        let copied = { (kept: RepositoryApp) in ["copy", "two", "--to", kept.home.path + "/second"] }
        let counted = try start.copied()
        let count = try counted.countCalls(of: copied(counted) + ["--app", start.app.path])
        for (number, fault) in points(1, count) {
            let kept = try start.copied()
            let place = "copy \(number):\(fault)"
            let answer = try kept.runWithoutApp(
                copied(kept) + ["--app", start.app.path], fault: "\(number):\(fault)")
            expectTold(answer, fault, place)
            if fault != "kill" { try expectClean(kept, place, answer) }
            let second = ["--repository", kept.home.path + "/second", "--app", start.app.path]
            let list = try Program.run(["list", "--json"] + second, environment: kept.environment)
            let isThere = list.output.contains(#""name": "two""#)
            #expect(list.status == 0 && (answer.status != 0 || isThere), "\(place): \(list)")
            if isThere {
                let verified = try Program.run(["verify", "two"] + second, environment: kept.environment)
                #expect(verified.status == 0, "\(place): \(verified)")
            }
            let again = try kept.runWithoutApp(
                copied(kept) + ["--app", start.app.path, "--name", "three"])
            #expect(again.status == 0, "\(place): \(again)")
        }
    }

    func ofACopy(to format: String) throws {
        let start = try start()
        let count = try start.copied().countCalls("copy", "one", "--to", format)
        try start.app.tree.remove(entry("backups"))
        for (number, fault) in points(1, count) {
            let kept = try start.copied()
            let app = { (arguments: [String]) in
                try Program.run(arguments + ["--app", kept.app.path], environment: kept.environment)
            }
            let place = "copy to \(format) \(number):\(fault)"
            let answer = try kept.run("copy", "one", "--to", format, fault: "\(number):\(fault)")
            expectTold(answer, fault, place)
            let isThere = try app(["list", "--json"]).output.contains(#""name": "one""#)
            #expect(answer.status != 0 || isThere, "\(place): \(answer)")
            if isThere { #expect(try app(["verify", "one"]).status == 0, "\(place)") }
            try kept.done("copy", "one", "--to", format, "--name", "again")
            #expect(try app(["verify", "again"]).status == 0, "\(place)")
            if fault != "kill" { try expectClean(kept, place, answer) }
            try kept.app.tree.remove(entry("backups"))
        }
    }

    func ofARestore() throws {
        let start = try start(nodes: true)
        try start.app.shell("rm -f data/null; rm data/fifo; echo later > data/fifo")
        let old = try start.app.snapshot()
        let pristine = try start.app.tree.copied()
        let count = try start.copied().countCalls("restore", "one", "--skip-safety-backup")
        let new = try start.app.snapshot()
        for (number, fault) in points(1, count) {
            let kept = try start.copied()
            let place = "restore \(number):\(fault)"
            try kept.app.tree.become(pristine)
            let answer = try kept.run("restore", "one", "--skip-safety-backup", fault: "\(number):\(fault)")
            expectTold(answer, fault, place, also: [3])
            try kept.app.done("recover")
            let now = try kept.app.snapshot()
            #expect(now == old || now == new, "\(place): \(answer)")
            #expect(answer.status != 0 || now == new, "\(place): \(answer)")
            if fault != "kill" { try expectClean(kept, place, answer) }
        }
    }
}

extension TemporaryTree {
    /// Has what `other` has, and nothing else.
    fileprivate func become(_ other: TemporaryTree) throws {
        let script = "find \"$1\" -mindepth 1 -delete; cp -a \"$2\"/. \"$1\""
        try ToolRun.run("sh", ["-euc", script, "sh", path, other.path]).expectDone()
    }
}

extension RepositoryApp {
    fileprivate func shell(_ script: String) throws {
        try ToolRun.run("sh", ["-euc", script], in: path).expectDone()
    }

    /// Verbs of `repository`, which know no app.
    fileprivate func runWithoutApp(
        _ verb: [String], password: String = "password", fault: String? = nil, count: String? = nil
    ) throws -> Program.Answer {
        var environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": home.path + "/" + password]
        environment["CHASTIPI_FAULT"] = fault
        environment["CHASTIPI_FAULT_COUNT"] = count
        return try Program.run(verb + ["--repository", path], environment: environment)
    }

    fileprivate func countCalls(of verb: [String], _ statuses: Set<Int32> = [0]) throws -> Int {
        let answer = try runWithoutApp(verb, count: home.path + "/count")
        guard statuses.contains(answer.status), let count = Int(try home.read("count").filter(\.isNumber)) else {
            throw Program.UnexpectedAnswer(answer: answer)
        }
        return count
    }
}
