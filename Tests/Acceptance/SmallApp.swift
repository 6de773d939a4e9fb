import Disk
import Model
import TestKit

/// An app with one of everything that a restore can meet, its backup `one`, and what became of the app since.
struct SmallApp {
    let tree: TemporaryTree
    /// The app as it is when a restore begins, and as it is when it is done: without what is ours.
    let old: TreeSnapshot
    let new: TreeSnapshot

    static let ours: Set<EntryPath> = [entry(".chastipi"), entry("backups")]

    /// Makes the app, backs it up, changes it; `restored` is a copy in which the backup was restored.
    init() throws {
        tree = try TemporaryTree()
        try Self.fill(tree)
        let made = try Program(in: tree).run("create", "--name", "one")
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        try Self.change(tree)
        old = try TreeSnapshot(of: tree.directory, ignoring: Self.ours)
        let copy = try tree.copied()
        let restored = try Program(in: copy).run("restore", "one", "--skip-safety-backup")
        guard restored.status == 0 else { throw Program.UnexpectedAnswer(answer: restored) }
        new = try TreeSnapshot(of: copy.directory, ignoring: Self.ours)
    }

    private static func fill(_ tree: TemporaryTree) throws {
        try tree.write("app.py", "the app")
        try tree.write("config.json", "{}")
        try tree.write("data/app.db", "old database")
        try tree.write("data/app.db-wal", "old log")
        try tree.write("data/deep/one", "one")
        try tree.makeHardLink(entry("data/deep/other-name"), to: entry("data/deep/one"))
        try tree.write("data/deep/two", "two")
        try tree.write("static/tree/leaf", "leaf")
        try tree.makeLink(entry("static/link"), to: Array("nowhere".utf8))
        try tree.write("templates/page.html", "page")
        try tree.write("uploads/venv/kept", "excluded")
        try tree.write("uploads/picture", "picture")
        try tree.write("uploads/odd\nname \u{fc}", "odd")
        try tree.write("chasti_pi/code.py", "code")
        for path in ["data/deep", "static/tree", "static", "templates", "uploads", "chasti_pi", "data", "."] {
            try tree.change(entry(path)) { $0.modified = Timestamp(seconds: 1_600_000_000, nanoseconds: 123_456_789) }
        }
    }

    private static func change(_ tree: TemporaryTree) throws {
        try tree.write("app.py", "changed")
        try tree.write("data/app.db", "a new and larger database")
        try tree.remove(entry("data/app.db-wal"))
        try tree.write("data/new/extra", "extra")
        try tree.remove(entry("data/deep/other-name"))
        try tree.write("data/deep/other-name", "no link any more")
        try tree.remove(entry("static/tree"))
        try tree.write("static/tree", "a file where a directory was")
        try tree.remove(entry("static/link"))
        try tree.write("static/link/below", "a directory where a link was")
        try tree.remove(entry("templates"))
        try tree.write("uploads/more", "more")
        try tree.change(entry("chasti_pi")) { $0.mode = 0o700 }
        try tree.change(.root) { $0.modified = Timestamp(seconds: 1_700_000_000, nanoseconds: 1) }
    }

    enum Side: Equatable {
        case old, new
        case neither([String])
    }

    /// Which of the two trees `app` is, exactly.
    func side(of app: TemporaryTree) throws -> Side { try side(of: app.directory) }

    func side(of app: Directory) throws -> Side {
        var now = try TreeSnapshot(of: app, ignoring: Self.ours)
        for path in now.entries.keys
        where path.components.contains(where: { $0.starts(with: ".chastipi-mount-".utf8) }) {
            now[path] = nil
        }
        if now == old { return .old }
        if now == new { return .new }
        return .neither(old.differences(from: now) + ["--- and from the new tree:"] + new.differences(from: now))
    }
}
