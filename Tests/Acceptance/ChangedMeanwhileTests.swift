import Foundation
import Model
import TestKit
import Testing

/// The app or its owner changes something between a crash and the recovery: nothing of theirs is lost (promise 7, T3).
@Suite struct ChangedMeanwhileTests {
    enum Change: String, CaseIterable {
        case edit, replace, remove, create, directory, file, chmod, removeParent
    }

    /// Each place of the restore, and places beside and above.
    static let places = [
        "app.py", "data/app.db", "data/app.db-wal", "data/deep/other-name", "data/new", "data/new/extra", "static/tree",
        "static/tree/leaf", "static/link", "templates", "templates/page.html", "data/deep", "uploads", "chasti_pi",
    ]
    static let mark = "BYTES OF THE USER"

    /// Makes a change; false if it makes no sense there.
    private func make(_ change: Change, at place: String, in tree: TemporaryTree) throws -> Bool {
        let path = entry(place)
        // A place whose parent is no directory now cannot be changed.
        for parent in path.ancestors where try kind(parent, tree) != .directory { return false }
        let now = try kind(path, tree)
        switch change {
        case .edit:
            guard now == .file else { return false }
            try tree.overwrite(path, at: 0, with: Array(Self.mark.utf8))
        case .replace:
            guard now == .file else { return false }
            try tree.write(place, Self.mark)
        case .remove:
            guard now != nil else { return false }
            try tree.remove(path)
        case .create:
            guard now == nil else { return false }
            try tree.write(place, Self.mark)
        case .directory:
            if now != nil { try tree.remove(path) }
            try tree.write(place + "/mine", Self.mark)
        case .file:
            guard now == .directory else { return false }
            try tree.write(place + "/mine", Self.mark)
        case .chmod:
            guard now == .file || now == .directory else { return false }
            try tree.change(path) { $0.mode = 0o711 }
        case .removeParent:
            guard let parent = path.parent, !parent.isRoot, now != nil else { return false }
            try tree.remove(parent)
        }
        return true
    }

    /// Links on the way do not count.
    private func kind(_ path: EntryPath, _ tree: TemporaryTree) throws -> EntryKind? {
        var info = stat()
        guard lstat(tree.path + "/" + (path.isRoot ? "." : path.description), &info) == 0 else { return nil }
        switch info.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFLNK: return .link
        default: return .file
        }
    }

    /// Where the user's bytes are: in the tree, in `conflicts/`, or kept for an undo.
    private func count(in tree: TemporaryTree) throws -> Int {
        let found = try ToolRun.run("grep", ["-rlF", Self.mark, tree.path, "--exclude-dir=backups"])
        return String(decoding: found.output, as: UTF8.self).split(separator: "\n").count
    }

    /// Paths of which both trees are something else than `now`.
    private func strangers(_ now: TreeSnapshot, _ small: SmallApp) -> [EntryPath] {
        Set(now.entries.keys).union(small.old.entries.keys).union(small.new.entries.keys).sorted().filter { path in
            let entries = [now[path], small.old[path], small.new[path]].map { entry -> TreeSnapshot.Entry? in
                var entry = entry
                // Times and link counts of what lies around a change change with it.
                entry?.modified = Timestamp(seconds: 0, nanoseconds: 0)
                entry?.sameFileAs = nil
                return entry
            }
            return entries[0] != entries[1] && entries[0] != entries[2]
        }
    }

    private func check(_ killed: TemporaryTree, _ small: SmallApp, direction: String) throws {
        for place in Self.places {
            for change in Change.allCases {
                let app = try killed.copied()
                guard try make(change, at: place, in: app) else { continue }
                let had = try count(in: app)
                let what = "\(direction), \(change) at \(place)"
                let answer = try Program(in: app).run("recover")
                #expect(answer.status == 0 || answer.status == 3, "\(what): \(answer)")
                #expect(try count(in: app) >= min(had, 1), "\(what): \(answer)")
                let now = try TreeSnapshot(of: app.directory, ignoring: SmallApp.ours)
                // All other places are those of the old or of the new tree; one of them is the same file in the new one.
                let touched = change == .removeParent ? entry(place).parent ?? .root : entry(place)
                let odd = strangers(now, small).filter {
                    !$0.isAtOrBelow(touched) && !(now[$0] == nil && touched.isAtOrBelow($0))
                        && !(touched == entry("data/deep/other-name") && $0 == entry("data/deep/one"))
                }
                #expect(odd.isEmpty, "\(what): \(odd): \(answer)")
                let again = try Program(in: app).run("recover")
                #expect(again.status == 0 && again.output.contains("nothing to do"), "\(what): \(again)")
                // What was put aside is named.
                if try app.status(entry(".chastipi/conflicts")) != nil {
                    #expect(answer.errors.contains(".chastipi/conflicts/"), "\(what): \(answer)")
                }
            }
        }
    }

    /// At which calls of a restore the app is neither old nor new: first, middle and last of them.
    private func halfDone(_ small: SmallApp) throws -> [Int] {
        let count = try Program(in: try small.tree.copied()).countCalls("restore", ["one", "--skip-safety-backup"])
        let halves = try (1...count).filter { number in
            let app = try small.tree.copied()
            try Program(in: app).run("restore", "one", "--skip-safety-backup", fault: "\(number):kill")
            if case .neither = try small.side(of: app) { return true }
            return false
        }
        return [halves.first, halves[halves.count / 2], halves.last].compactMap { $0 }
    }

    @Test func everyByteOfTheUsersIsKeptByARecoveryForward() throws {
        let small = try SmallApp()
        for number in try halfDone(small) {
            let killed = try small.tree.copied()
            try Program(in: killed).run("restore", "one", "--skip-safety-backup", fault: "\(number):kill")
            try check(killed, small, direction: "forward, call \(number)")
        }
    }

    /// The restore fails and is killed while it takes everything back: first, in the middle and last.
    @Test func everyByteOfTheUsersIsKeptByARecoveryBackward() throws {
        let small = try SmallApp()
        let number = try #require(try halfDone(small).last)
        func kill(at second: Int) throws -> (TemporaryTree, isDead: Bool) {
            let app = try small.tree.copied()
            let answer = try Program.run(
                ["restore", "one", "--skip-safety-backup", "--app", app.path],
                environment: ["CHASTIPI_FAULT": "\(number):EIO", "CHASTIPI_FAULT_THEN_KILL": "\(second)"])
            return (app, answer.status == 137)
        }
        var halves: [Int] = []
        for second in number + 1...number + 500 {
            let (app, isDead) = try kill(at: second)
            guard isDead else { break }
            // At first the state still says forward.
            guard case .neither = try small.side(of: app), try recovers(app.copied(), to: .old, small) else { continue }
            halves.append(second)
        }
        try #require(halves.count > 2)
        for second in [halves[0], halves[halves.count / 2], halves[halves.count - 1]] {
            let (app, _) = try kill(at: second)
            try check(app, small, direction: "backward, calls \(number), \(second)")
        }
    }

    private func recovers(_ app: TemporaryTree, to side: SmallApp.Side, _ small: SmallApp) throws -> Bool {
        let answer = try Program(in: app).run("recover")
        return try answer.output.contains("taken back") && small.side(of: app) == side
    }
}
