import Foundation
import Model
import TestKit
import Testing

/// Zips that no one should trust: `Zips/make-hostile` makes them, `Zips/expected.txt` says how each is refused. Whatever they are,
/// nothing is written where it should not be, and the program neither crashes nor hangs nor takes much memory.
@Suite struct HostileZipTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let restored: Int32
        let verified: Int32
        let shown: Int32
        /// What the error says.
        let words: String

        var testDescription: String { name }
    }

    /// Made once, for all tests.
    private static let zips = Result { try makeZips() }
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Zips")

    private static func makeZips() throws -> TemporaryTree {
        let tree = try TemporaryTree()
        let made = try ToolRun.run("python3", [folder.appending(path: "make-hostile").path, tree.path])
        guard made.status == 0 else {
            throw TemporaryTree.ToolFailed(text: String(decoding: made.errors, as: UTF8.self))
        }
        return tree
    }

    static let cases: [Case] = {
        let text = (try? String(contentsOf: folder.appending(path: "expected.txt"), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").filter { !$0.hasPrefix("#") }.compactMap { line in
            let parts = line.split(separator: " ", maxSplits: 4).map(String.init)
            guard parts.count == 5, let restored = Int32(parts[1]), let verified = Int32(parts[2]),
                let shown = Int32(parts[3])
            else { return nil }
            return Case(name: parts[0], restored: restored, verified: verified, shown: shown, words: parts[4])
        }
    }()

    private static func run(_ arguments: [String], in place: TemporaryTree) throws -> Program.Answer {
        let report = place.path + "-report"
        defer { unlink(report) }
        let run = try ToolRun.run(
            "python3", ["-I", "-S", folder.appending(path: "run-bounded").path, "60", report, Program.path] + arguments)
        let answer = Program.Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
        let megabytes = Int(try String(contentsOfFile: report, encoding: .utf8)) ?? .max
        // Two hundred thousand members are what the largest of them holds.
        #expect(megabytes < 150, "\(arguments): \(answer)")
        return answer
    }

    /// A directory with an app that has restored before, so that what restores keep is there already. Made once, for all tests.
    private static let place = Result { try makePlace() }

    private static func makePlace() throws -> TemporaryTree {
        let place = try TemporaryTree()
        try place.write("app/app.py", "the app")
        try place.write("app/data/app.db", "database")
        try place.write("beside", "beside")
        let made = try Program.run(["create", "--name", "one", "--app", place.path + "/app"])
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        _ = try Program.run(["restore", "one", "--yes", "--app", place.path + "/app"])
        return place
    }

    private func snapshot(_ place: TemporaryTree) throws -> TreeSnapshot {
        var snapshot = try TreeSnapshot(
            of: place.directory, ignoring: [entry("app/.chastipi"), entry("app/backups/.state")])
        // What is restored beside it is made there, and removed.
        snapshot[.root]?.modified = Timestamp(seconds: 0)
        return snapshot
    }

    @Test func everyZipHasItsExpectationAndTheOtherWayRound() throws {
        let made = try FileManager.default.contentsOfDirectory(atPath: try Self.zips.get().path)
        #expect(made.sorted() == Self.cases.map { $0.name + ".zip" }.sorted())
        #expect(made.count > 200)
    }

    /// Of these one verb takes seconds, without optimisation: here one is tried, and all in ``HostileZipLongTests``.
    fileprivate static let heavy: Set = ["name-deep-many", "many-members", "manifest-bomb", "metadata-many-values"]

    @Test(arguments: HostileZipTests.cases)
    func itIsRefusedAndNothingIsTouched(test: Case) throws {
        try tryEach(Self.heavy.contains(test.name) ? [.restoreElsewhere] : Act.allCases, on: test)
    }

    fileprivate enum Act: CaseIterable {
        case restore, restoreElsewhere, show, verify
    }

    fileprivate func tryEach(_ acts: [Act], on test: Case) throws {
        let zip = "\(try Self.zips.get().path)/\(test.name).zip"
        let place = try Self.place.get().copied()
        let app = ["--app", place.path + "/app"]
        let before = try snapshot(place)
        for act in acts {
            switch act {
            case .restore, .restoreElsewhere:
                let target = act == .restore ? [] : ["--to", place.path + "/out"]
                try Self.run(["restore", zip] + target + app, in: place).expectError(test.restored, test.words)
            case .show:
                let shown = try Self.run(["show", zip] + app, in: place)
                #expect(shown.status == test.shown, "\(shown)")
                if shown.status != 0 { shown.expectError(test.shown) }
            // Reading ten gigabytes is right, and takes its time.
            case .verify where test.name == "bomb-declared-10-GB": continue
            case .verify:
                let verified = try Self.run(["verify", zip] + app, in: place)
                #expect(verified.status == test.verified, "\(verified)")
                if verified.status == 20 { #expect(verified.output.contains("DAMAGED"), "\(verified)") }
                if verified.status == 1 { verified.expectError(1, test.words) }
            }
            let differences = before.differences(from: try snapshot(place))
            #expect(differences.isEmpty, "\(act): \(differences)")
        }
    }

    /// Where nothing was ever restored nothing of ours is made, either.
    @Test func nothingIsMadeInAnAppToWhichNothingIsRestored() throws {
        let place = try TemporaryTree()
        try place.write("app/app.py", "the app")
        try place.makeDirectory(entry("app/backups"))
        let before = try TreeSnapshot(of: place.directory)
        for (number, test) in Self.cases.enumerated() where number % 8 == 1 && (test.shown != 0 || test.restored == 1) {
            let zip = "\(try Self.zips.get().path)/\(test.name).zip"
            let answer = try Self.run(["restore", zip, "--app", place.path + "/app"], in: place)
            answer.expectError(test.restored, test.words)
        }
        #expect(before.differences(from: try TreeSnapshot(of: place.directory)).isEmpty)
    }

    /// Where they lie among backups they are listed, whatever they are, and the others are too.
    @Test func theyAreListedAmongBackups() throws {
        let place = try Self.place.get().copied()
        let zips = try Self.zips.get()
        // Directories of many megabytes are read for each of these; one is enough.
        for test in Self.cases
        where !["name-deep-many", "many-bytes-of-directory", "manifest-long"].contains(test.name) {
            let linked = try ToolRun.run("ln", ["\(zips.path)/\(test.name).zip", place.path + "/app/backups/"])
            #expect(linked.status == 0)
        }
        let answer = try Self.run(["list", "--app", place.path + "/app"], in: place)
        #expect(answer.status == 0, "\(answer)")
        let lines = answer.output.split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("one ") })
        for test in Self.cases where test.shown != 0 {
            for line in lines where line.hasPrefix(test.name + " ") {
                #expect(line.contains("damaged: "), "\(line)")
                #expect(!line.contains("is damaged: "), "\(line)")
            }
        }
    }
}

@Suite(.enabled(if: runsLongTests, "make test-long runs it"))
struct HostileZipLongTests {
    @Test(arguments: HostileZipTests.cases.filter { HostileZipTests.heavy.contains($0.name) })
    func itIsRefusedAndNothingIsTouched(test: HostileZipTests.Case) throws {
        try HostileZipTests().tryEach(HostileZipTests.Act.allCases, on: test)
    }
}
