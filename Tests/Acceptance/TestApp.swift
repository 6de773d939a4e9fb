import Foundation
import Model
import Synchronization
import TestKit
import Testing

/// A small app in a scratch directory, driven as its owner would.
final class TestApp: Sendable {
    // Gone in this order: the app, then the file system that it lies on.
    let tree: TemporaryTree
    private let system: LoopFileSystem?
    private let mounted = Mutex<[String]>([])

    static let ours: Set<EntryPath> = [entry(".chastipi"), entry("backups")]

    /// On tmpfs, or on a file system of its own.
    init(on system: LoopFileSystem? = nil) throws {
        self.system = system
        tree = try TemporaryTree(in: system?.path ?? "/dev/shm")
        try tree.change(.root) { $0.mode = 0o755 }
        try tree.write("app.py", "the app")
        try tree.write("config.json", "{}")
        try tree.write("data/app.db", "database")
        try tree.write("data/deep/one", "one")
        try tree.write("templates/page.html", "page")
        try tree.write("uploads/picture", "picture")
    }

    private init(_ tree: TemporaryTree) {
        system = nil
        self.tree = tree
    }

    /// The app as it is now, once more, on tmpfs.
    func copied() throws -> TestApp { TestApp(try tree.copied()) }

    deinit {
        for path in mounted.withLock({ $0.reversed() }) {
            do {
                let result = try ToolRun.run("umount", [path])
                if result.status != 0 { print("warning: \(path) is still mounted") }
            } catch {
                print("warning: \(path) is still mounted: \(error)")
            }
        }
    }

    var path: String { tree.path }

    @discardableResult
    func run(_ arguments: String..., environment: [String: String] = [:]) throws -> Program.Answer {
        try Program.run(arguments + ["--app", path], environment: environment)
    }

    /// Runs a verb that must succeed.
    @discardableResult
    func done(_ arguments: String..., environment: [String: String] = [:]) throws -> Program.Answer {
        let answer = try Program.run(arguments + ["--app", path], environment: environment)
        guard answer.status == 0 else { throw Program.UnexpectedAnswer(answer: answer) }
        return answer
    }

    /// Runs a tool that must succeed, `%` standing for the app's path.
    @discardableResult
    func shell(_ script: String) throws -> String {
        let result = try ToolRun.run("sh", ["-euc", script, "sh"], in: path)
        guard result.status == 0 else {
            throw TemporaryTree.ToolFailed(text: "\(script): \(String(decoding: result.errors, as: UTF8.self))")
        }
        return String(decoding: result.output, as: UTF8.self)
    }

    /// A file system in memory, mounted at `path` until the app goes.
    func mount(at path: String, size: String = "16m") throws {
        try tree.makeDirectory(entry(path))
        let place = "\(self.path)/\(path)"
        let result = try ToolRun.run("mount", ["-t", "tmpfs", "-o", "size=\(size),mode=755", "tmpfs", place])
        guard result.status == 0 else {
            throw TemporaryTree.ToolFailed(text: String(decoding: result.errors, as: UTF8.self))
        }
        mounted.withLock { $0.append(place) }
    }

    /// Everything but what is ours. `ignoring`: more that is left out.
    func snapshot(ignoring: [String] = []) throws -> TreeSnapshot {
        var ignored = Self.ours.union(ignoring.map { entry($0) })
        for place in mounted.withLock({ $0 }) {
            for name in try FileManager.default.contentsOfDirectory(atPath: place)
            where name.hasPrefix(".chastipi-mount-") {
                ignored.insert(entry(String(place.dropFirst(path.count + 1)) + "/" + name))
            }
        }
        return try TreeSnapshot(of: tree.directory, ignoring: ignored)
    }

    /// The app is as it was, but for lines of the comparison that begin with one of `exceptions`.
    func expect(
        _ before: TreeSnapshot, but exceptions: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let differences = before.differences(from: try snapshot())
            .filter { line in !exceptions.contains { line.hasPrefix($0) } }
        #expect(differences.isEmpty, "\(differences)", sourceLocation: sourceLocation)
    }

    /// The names in `backups/`, hidden ones too, but for the files that lie beside backups.
    func backups(in folder: String? = nil) throws -> [String] {
        let beside: Set<String> = [".state", ".chastipi-backups", "RESTORE-BY-HAND.txt", "backup.yaml", "backup.sh"]
        return try FileManager.default.contentsOfDirectory(atPath: folder ?? path + "/backups")
            .filter { !beside.contains($0) }.sorted()
    }

    /// Every byte of every backup is right, no half-made one is there, and these are all of them.
    func expectIntact(_ names: [String], sourceLocation: SourceLocation = #_sourceLocation) throws {
        #expect(try backups() == names.sorted(), sourceLocation: sourceLocation)
        guard !names.isEmpty else { return }
        let verified = try run("verify", "--all")
        #expect(verified.status == 0, "\(verified)", sourceLocation: sourceLocation)
    }
}

extension Program.Answer {
    /// The run ended with `status` and one line that says why, holding all of `words`.
    func expectError(
        _ status: Int32, _ words: String..., sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(self.status == status, "\(self)", sourceLocation: sourceLocation)
        let lines = errors.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let told = lines.filter { $0.hasPrefix("error: ") }
        #expect(told.count == 1 && lines.dropLast().last == told.first, "\(self)", sourceLocation: sourceLocation)
        for word in words {
            #expect(told.first?.contains(word) == true, "'\(word)' in \(self)", sourceLocation: sourceLocation)
        }
        // A type's description would show.
        for odd in ["Error(", "BackupError", "DiskError", "Optional(", "Fatal", "nil"] {
            #expect(!errors.contains(odd), "\(self)", sourceLocation: sourceLocation)
        }
    }
}

/// What a test needs and not every computer has. Where CI runs, everything must be there: the tests run, and fail.
enum Needs {
    static let isRoot = isCI || geteuid() == 0
    static let isRootText: Comment = "only root can mount, give files away and set flags"

    static let isCI = ProcessInfo.processInfo.environment["CI"] == "true"

    /// Whether all these programs are here.
    static func tools(_ names: String...) -> Bool {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        return isCI
            || names.allSatisfy { name in
                folders.contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(name)") }
            }
    }

    /// A file system on a loop device, or nil (and a line that says so) where there is none and this is not CI.
    static func system(
        _ kind: String, megabytes: Int, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> LoopFileSystem? {
        if let system = try LoopFileSystem(kind, megabytes: megabytes) { return system }
        if isCI { Issue.record("no \(kind) on a loop device", sourceLocation: sourceLocation) }
        print("skipped: no \(kind) on a loop device (needs root, mkfs.\(kind), /dev/loop*)")
        return nil
    }
}
