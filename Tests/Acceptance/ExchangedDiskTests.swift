import Foundation
import Model
import TestKit
import Testing

/// Disks that take turns at one mount point: what was displaced on the one that is away is never touched, and never lost.
@Suite(.enabled(if: Needs.isRoot, Needs.isRootText)) struct ExchangedDiskTests {
    /// An app whose uploads lie on one of two disks.
    private final class App {
        let app: TestApp
        private let disks: TemporaryTree
        private var mounted = false

        init() throws {
            app = try TestApp()
            disks = try TemporaryTree()
            for disk in ["a", "b"] {
                try disks.makeDirectory(entry(disk))
                try run("mount -t tmpfs -o size=16m,mode=755 tmpfs \(disks.path)/\(disk)")
                try disks.write("\(disk)/picture", "picture")
            }
            try mount("a")
        }

        deinit {
            do {
                if mounted { try run("umount \(app.path)/uploads") }
                try run("umount \(disks.path)/a \(disks.path)/b")
            } catch {
                print("warning: \(disks.path) is still mounted: \(error)")
            }
        }

        func mount(_ disk: String) throws {
            if mounted { try run("umount \(app.path)/uploads") }
            try run("mount --bind \(disks.path)/\(disk) \(app.path)/uploads")
            mounted = true
        }

        private func run(_ script: String) throws {
            let result = try ToolRun.run("sh", ["-euc", script])
            guard result.status == 0 else {
                throw TemporaryTree.ToolFailed(text: String(decoding: result.errors, as: UTF8.self))
            }
        }

        /// Every file on a disk that is not at its place, with its content.
        func kept(on disk: String) throws -> Set<String> {
            let found = try ToolRun.run(
                "sh", ["-euc", "find . -path './.chastipi*' -type f ! -name path -exec cat {} +"],
                in: "\(disks.path)/\(disk)")
            return Set(String(decoding: found.output, as: UTF8.self).split(separator: "|").map(String.init))
        }
    }

    /// A restore, an edit, an undo: the edit lies on disk A alone. Whatever happens on disk B, it is still there.
    @Test func whatADiskThatIsAwayKeepsIsNeverDeleted() throws {
        let place = try App()
        let app = place.app
        try app.done("create", "--name", "one")
        try app.tree.write("uploads/picture", "changed")
        try app.done("restore", "one")
        try app.tree.write("uploads/picture", "the user's edit|")
        try app.done("undo")
        #expect(try place.kept(on: "a").contains("the user's edit"))
        try place.mount("b")
        try app.tree.write("uploads/picture", "changed on b")
        let restored = try app.run("restore", "one")
        #expect(restored.status == 0, "\(restored)")
        #expect(restored.errors.contains("not the one that the restore was made on"), "\(restored)")
        #expect(try app.tree.read("uploads/picture") == "picture")
        try place.mount("a")
        _ = try app.run("recover")
        try app.tree.write("app.py", "changed")
        _ = try app.run("restore", "one")
        let edits = try place.kept(on: "a")
        #expect(edits.contains { $0.contains("the user's edit") }, "\(edits)")
    }

    @Test func anUndoOnTheWrongDiskIsRefusedBeforeItBegins() throws {
        let place = try App()
        let app = place.app
        try app.done("create", "--name", "one")
        // Both disks know the app.
        for disk in ["a", "b"] {
            try place.mount(disk)
            try app.tree.write("uploads/picture", "changed on \(disk)")
            _ = try app.run("restore", "one")
        }
        try place.mount("a")
        for arguments in [["undo"], ["undo", "--dry-run"]] {
            let answer = try Program.run(arguments + ["--app", app.path])
            answer.expectError(1, "uploads", "Mount the disk that was at uploads then, and run undo")
        }
        #expect(try app.tree.read("uploads/picture") == "picture")
        #expect(try app.run("recover").output == "nothing to do\n")
        try app.done("create", "--name", "two")
        try place.mount("b")
        try app.done("undo")
        #expect(try app.tree.read("uploads/picture") == "changed on b")
    }

    /// Without the app's record of it, what lies on a disk may be the only copy.
    @Test func whatNoRecordTellsOfIsKeptAside() throws {
        let place = try App()
        let app = place.app
        try app.done("create", "--name", "one")
        try app.tree.write("uploads/picture", "the user's|")
        try app.done("restore", "one")
        try app.shell("rm -rf .chastipi/restores/*")
        _ = try app.run("restore", "one")
        try app.tree.write("app.py", "changed")
        _ = try app.run("restore", "one")
        let kept = try place.kept(on: "a")
        #expect(kept.contains { $0.contains("the user's") }, "\(kept)")
    }
}
