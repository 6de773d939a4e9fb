import Disk
import Model
import ResticFormat
import Storage
import TestKit

/// A repository on a file system that the real restic makes and changes.
final class ResticRepository: Sendable {
    static let password = "a p\u{e4}ssword"

    let tree: TemporaryTree
    var path: String { tree.path + "/repository" }

    init(version: Int) throws {
        tree = try TemporaryTree()
        try restic(["init", "--repository-version", "\(version)"])
    }

    /// A place for one that we make.
    init(empty: Void) throws {
        tree = try TemporaryTree()
        try tree.makeDirectory(entry("repository"))
    }

    func backend() throws -> LocalBackend { try LocalBackend(path: path) }

    /// Runs restic, which must succeed.
    @discardableResult
    func restic(
        _ arguments: [String], in directory: String? = nil, zone: String = "UTC", password: String = password
    ) throws -> ToolRun {
        let run = try ToolRun.run(
            "restic", ["--repo", path, "--no-cache"] + arguments, in: directory,
            environment: ["RESTIC_PASSWORD": password, "TZ": zone, "GOGC": "50"])
        guard run.status == 0 else {
            throw ResticFailure(text: String(decoding: run.errors + run.output, as: UTF8.self), arguments: arguments)
        }
        return run
    }

    func open() throws -> Repository {
        guard let password = Password(Self.password.utf8) else {
            throw ResticFailure(text: "no password", arguments: [])
        }
        return try Repository(try backend(), password)
    }
}

struct ResticFailure: Error, CustomStringConvertible {
    let text: String
    let arguments: [String]
    var description: String { "restic \(arguments.joined(separator: " ")): \(text)" }
}

/// A directory with everything that restic stores: odd names, all kinds of entries, odd content.
struct OddTree {
    let tree: TemporaryTree

    init(_ random: inout SeededRandom) throws {
        tree = try TemporaryTree()
        var generator = TreeGenerator(random)
        try generator.fill(tree, entries: 60)
        random = generator.random
        try addNames()
        try addContent(&random)
        try addSpecialEntries()
    }

    private func addNames() throws {
        let texts = [
            "quote\"name", "back\\slash", "lt<gt>amp&", "'single'", " space ", "ä日本😀e\u{301}", "\u{a0}\u{200b}",
            "\u{2028}\u{2029}",
            "\u{e000}", "\u{e0001}", "\u{fffd}", "\u{85}\u{ad}", "tab\tnew\nline\r",
            "\u{1}\u{7}\u{8}\u{b}\u{c}\u{1b}\u{7f}",
        ]
        let names =
            texts.map { Array($0.utf8) } + [
                [0xff, 0xfe], [0xe2, 0x82], [0xed, 0xa0, 0x80], [0xc0, 0x80], [0xf4, 0x90, 0x80, 0x80],
                [0x61, 0xff, 0x62],
                [0xf0, 0x9f, 0x98], Array(repeating: 0xc3, count: 255),
            ]
        for name in names { try tree.write(EntryPath.root.appending(Array("names".utf8)).appending(name), [1]) }
        for (number, target) in names.enumerated() {
            try tree.makeLink(entry("links/l\(number)"), to: target)
        }
    }

    private func addContent(_ random: inout SeededRandom) throws {
        try tree.write("content/empty", "")
        // One blob, several blobs, and one that is cut at the limit.
        try tree.write(entry("content/small"), random.bytes(100_000))
        try tree.write(entry("content/text"), Array(repeatElement(Array("some text\n".utf8), count: 9_000).joined()))
        let part = random.bytes(1 << 20)
        try tree.write(entry("content/large"), part + part.reversed() + random.bytes(1 << 20) + part)
        try tree.write(entry("content/ones"), [UInt8](repeating: 0xff, count: 9 << 20))
        try tree.writeSparse(entry("content/sparse"), head: [1], hole: 3 << 20, tail: [2])
        try tree.makeHardLink(entry("content/second name"), to: entry("content/small"))
        try tree.makeDirectory(entry("content/empty directory"))
        for path in ["content/small", "content/empty directory"] {
            try tree.change(entry(path)) {
                $0.extended = [
                    ExtendedAttribute(name: Array("user.<b>&\u{e9}".utf8), value: [0, 255, 10]),
                    ExtendedAttribute(name: Array("user.a".utf8), value: []),
                    ExtendedAttribute(name: Array("user.\u{ff}".utf8) + [0xff], value: [1]),
                ]
            }
        }
    }

    private func addSpecialEntries() throws {
        try tree.makeFifo(entry("special/fifo"))
        for (number, mode) in ([0, 0o4755, 0o2755, 0o1644, 0o7777] as [UInt16]).enumerated() {
            try tree.write("special/mode\(number)", "x")
            try tree.change(entry("special/mode\(number)")) { $0.mode = mode }
        }
        for (number, seconds) in [-1, 0, 1, 4_000_000_000, -5_000_000_000, 1_700_000_000].enumerated() {
            try tree.write("special/time\(number)", "x")
            try tree.change(entry("special/time\(number)")) {
                $0.modified = Timestamp(seconds: Int64(seconds), nanoseconds: UInt32(number) * 100_000_010)
            }
        }
        let special = try tree.directory.directory(at: entry("special"))
        // Only root may, and not in every container.
        guard ProcessIdentity.mayMakeDevices else { return }
        try special.makeDevice("character".utf8, isBlock: false, DeviceNumber(major: 1, minor: 3))
        try special.makeDevice("block".utf8, isBlock: true, DeviceNumber(major: 7, minor: 300))
    }
}

extension BlobIndex {
    /// Each blob once.
    var blobKeys: [BlobKey] {
        var keys: Set<BlobKey> = []
        forEach { key, _ in keys.insert(key) }
        return Array(keys)
    }
}
