import Glibc
import Model
import Testing

@testable import Disk

/// A scratch app with a transaction's ways in and out, as small as it can be.
private final class Scratch {
    let path: String
    let app: Directory

    init() throws {
        var template = Array("/dev/shm/chastipi-restore-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { $0.baseAddress.flatMap { mkdtemp($0) } }
        path = String(cString: try #require(made))
        app = try Directory(path: path)
    }

    deinit {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        do {
            let parent = try Directory(path: String(path[..<slash]))
            try TreeRemoval.remove(Array(path[path.index(after: slash)...].utf8), in: parent)
        } catch {
            Issue.record("scratch folder not removed: \(error)")
        }
    }

    func folders() throws -> RestoreFolders {
        try RestoreFolders(in: app, holder: "test") { count in
            (0..<count).map { _ in
                let hex = String(UInt8.random(in: 0...255), radix: 16)
                return hex.count == 1 ? "0" + hex : hex
            }.joined()
        }
    }

    func write(_ name: String, _ text: String, in directory: Directory? = nil) throws {
        var file = try NewFile(name.utf8, in: directory ?? app)
        try file.write(Array(text.utf8))
    }

    func read(_ path: String) throws -> String? {
        guard let path = EntryPath(path), let parent = path.parent else { return nil }
        let directory: Directory
        do throws(DiskError) {
            directory = try app.directory(at: parent)
        } catch {
            return nil
        }
        guard try directory.status(of: path.name) != nil else { return nil }
        return String(decoding: try directory.readFile(path.name, limit: 1000), as: UTF8.self)
    }
}

@Suite struct RestoreTransactionTests {
    private func path(_ text: String) -> EntryPath { EntryPath(unchecked: Array(text.utf8)) }

    /// `a` is replaced, `b` removed, `d/c` added, `tree` (a directory) becomes a file.
    private func restore(_ scratch: Scratch, in folders: RestoreFolders) throws -> ExchangeOutcome {
        let plan = ExchangePlan(
            steps: [
                .init(place: path("a"), removes: true, brings: true),
                .init(place: path("b"), removes: true, brings: false),
                .init(place: path("d/c"), removes: false, brings: true),
                .init(place: path("tree"), removes: true, brings: true),
            ], directories: [:], mounts: [])
        return try RestoreTransaction.run(
            plan, note: Array("the note".utf8), in: folders,
            stage: { folders in
                for (place, text) in [("a", "new a"), ("d/c", "new c"), ("tree", "now a file")] {
                    let path = self.path(place)
                    var file = try NewFile(path.name, in: try folders[0].directory.directory(at: path.parent ?? .root))
                    try file.write(Array(text.utf8))
                }
            }, admit: { _, _ in }, beforeApplying: {})
    }

    private func fill(_ scratch: Scratch) throws {
        try scratch.write("a", "old a")
        try scratch.write("b", "old b")
        _ = try scratch.app.makeDirectory("d".utf8)
        let tree = try scratch.app.makeDirectory("tree".utf8)
        try scratch.write("x", "old x", in: tree)
    }

    private func expectOld(_ scratch: Scratch) throws {
        #expect(try scratch.read("a") == "old a")
        #expect(try scratch.read("b") == "old b")
        #expect(try scratch.read("d/c") == nil)
        #expect(try scratch.read("tree/x") == "old x")
    }

    private func expectNew(_ scratch: Scratch) throws {
        #expect(try scratch.read("a") == "new a")
        #expect(try scratch.read("b") == nil)
        #expect(try scratch.read("d/c") == "new c")
        #expect(try scratch.read("tree") == "now a file")
    }

    @Test func restoresUndoesAndRedoes() throws {
        let scratch = try Scratch()
        try fill(scratch)
        let before = try scratch.app.status().modified
        do {
            let folders = try scratch.folders()
            guard case .done(let report) = try restore(scratch, in: folders) else {
                Issue.record("not done")
                return
            }
            #expect(report.conflicts.isEmpty && report.attributesLeft.isEmpty && report.leftovers.isEmpty)
        }
        try expectNew(scratch)
        #expect(try scratch.app.status().modified == before)
        for round in 0..<4 {
            let folders = try scratch.folders()
            let plan = try RestoreTransaction.planUndo(in: folders)
            #expect(plan.isUndo == (round % 2 == 0))
            #expect(plan.changedSince.isEmpty)
            #expect(plan.note == Array("the note".utf8))
            guard case .done = try RestoreTransaction.apply(plan, in: folders) else {
                Issue.record("not done")
                return
            }
            if round % 2 == 0 { try expectOld(scratch) } else { try expectNew(scratch) }
        }
    }

    @Test func nothingChangesIfStagingFails() throws {
        struct Failure: Error {}
        let scratch = try Scratch()
        try fill(scratch)
        let folders = try scratch.folders()
        let plan = ExchangePlan(
            steps: [.init(place: path("a"), removes: true, brings: true)], directories: [:], mounts: [])
        #expect(throws: Failure.self) {
            try RestoreTransaction.run(
                plan, note: [], in: folders, stage: { _ in throw Failure() }, admit: { _, _ in }, beforeApplying: {})
        }
        try expectOld(scratch)
        #expect(try scratch.app.directory(at: path(".chastipi/restores")).items().isEmpty)
    }

    @Test func theNextRestoreDropsTheOneBefore() throws {
        let scratch = try Scratch()
        try fill(scratch)
        let folders = try scratch.folders()
        _ = try restore(scratch, in: folders)
        // What the app made since at a displaced place's folder must survive the next restore.
        let plan = ExchangePlan(
            steps: [.init(place: path("a"), removes: true, brings: false)], directories: [:], mounts: [])
        _ = try RestoreTransaction.run(
            plan, note: [], in: folders, stage: { _ in }, admit: { _, _ in }, beforeApplying: {})
        #expect(try scratch.read("a") == nil)
        #expect(try scratch.app.directory(at: path(".chastipi/restores")).items().count == 1)
        #expect(try scratch.app.directory(at: path(".chastipi")).status(of: "conflicts".utf8) == nil)
        _ = try RestoreTransaction.apply(try RestoreTransaction.planUndo(in: folders), in: folders)
        #expect(try scratch.read("a") == "new a")
    }

    @Test func whatTheUserChangedSinceIsNamedAndTravels() throws {
        let scratch = try Scratch()
        try fill(scratch)
        let folders = try scratch.folders()
        _ = try restore(scratch, in: folders)
        try scratch.app.unlink("a".utf8)
        try scratch.write("a", "edited by the user")
        let undo = try RestoreTransaction.planUndo(in: folders)
        #expect(undo.changedSince == [path("a")])
        _ = try RestoreTransaction.apply(undo, in: folders)
        try expectOld(scratch)
        _ = try RestoreTransaction.apply(try RestoreTransaction.planUndo(in: folders), in: folders)
        #expect(try scratch.read("a") == "edited by the user")
        // The next restore may not delete it with the rest.
        _ = try RestoreTransaction.apply(try RestoreTransaction.planUndo(in: folders), in: folders)
        let plan = ExchangePlan(
            steps: [.init(place: path("b"), removes: true, brings: false)], directories: [:], mounts: [])
        _ = try RestoreTransaction.run(
            plan, note: [], in: folders, stage: { _ in }, admit: { _, _ in }, beforeApplying: {})
        #expect(try scratch.read(".chastipi/conflicts/1/entry") == "edited by the user")
    }

    @Test func aLostStateIsNotGuessed() throws {
        let scratch = try Scratch()
        try fill(scratch)
        do {
            let folders = try scratch.folders()
            _ = try restore(scratch, in: folders)
        }
        try scratch.app.directory(at: path(".chastipi")).unlink("state".utf8)
        #expect(throws: BackupError.self) { try scratch.folders() }
        try expectNew(scratch)
    }
}
