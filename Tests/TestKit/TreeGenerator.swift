import Disk
import Model

/// Makes trees of everything that a file system can hold, the odd things more often than life does.
package struct TreeGenerator {
    package var random: SeededRandom
    private var directories: [EntryPath] = [.root]
    private var files: [EntryPath] = []
    private var others: [EntryPath] = []

    package init(_ random: SeededRandom) {
        self.random = random
    }

    /// Adds about `entries` entries to `tree`, and gives all of them attributes.
    package mutating func fill(_ tree: TemporaryTree, entries: Int) throws {
        for _ in 0..<entries { try addOne(to: tree) }
        for path in files + others { try tree.set(attributes(at: path, in: tree), of: path) }
        for path in directories.sorted().reversed() { try tree.set(attributes(at: path, in: tree), of: path) }
    }

    /// A chain of directories whose path is longer than the 4,096 bytes that the kernel takes at once.
    package mutating func addDeepPath(to tree: TemporaryTree) throws {
        var path = EntryPath.root
        for level in 0..<18 {
            path = path.appending(Array(repeating: UInt8(ascii: "a") + UInt8(level), count: 255))
            directories.append(path)
        }
        try tree.write(path.appending(Array("file".utf8)), random.bytes(10))
        files.append(path.appending(Array("file".utf8)))
    }

    /// Changes, adds or removes something.
    package mutating func disturb(_ tree: TemporaryTree) throws {
        switch Int.random(in: 0..<4, using: &random) {
        case 0: try addOne(to: tree)
        case 1 where !files.isEmpty:
            let path = random.pick(files)
            try tree.set(attributes(at: path, in: tree), of: path)
        case 2 where !files.isEmpty:
            let path = files.remove(at: Int.random(in: files.indices, using: &random))
            try tree.remove(path)
        case 3 where !files.isEmpty:
            try tree.write(random.pick(files), content())
        default: break
        }
    }

    private mutating func addOne(to tree: TemporaryTree) throws {
        let path = random.pick(directories).appending(name())
        guard try tree.status(path) == nil else { return }
        switch Int.random(in: 0..<20, using: &random) {
        case 0..<4:
            try tree.makeDirectory(path)
            directories.append(path)
        case 4..<6:
            try tree.makeLink(path, to: random.pick([Array("nowhere".utf8), Array("/etc".utf8), [0xff, 0x20, 0x0a]]))
            others.append(path)
        case 6 where !files.isEmpty:
            try tree.makeHardLink(path, to: random.pick(files))
            files.append(path)
        case 7:
            let hole = UInt64(Int.random(in: 1...40, using: &random)) * 65_536
            try tree.writeSparse(path, head: content(), hole: hole, tail: random.once(in: 2) ? [] : content())
            files.append(path)
        default:
            try tree.write(path, content())
            files.append(path)
        }
    }

    private mutating func content() -> [UInt8] {
        switch Int.random(in: 0..<8, using: &random) {
        case 0: []
        case 1: random.bytes(4096)
        case 2: random.bytes(70_000)
        default: random.bytes(Int.random(in: 1..<300, using: &random))
        }
    }

    private mutating func name() -> [UInt8] {
        let plain = Array("n\(UInt16.random(in: 0...999, using: &random))".utf8)
        switch Int.random(in: 0..<12, using: &random) {
        case 0: return Array("line\nend ".utf8) + plain
        case 1: return [0xff, 0xc0, 0x80] + plain
        case 2: return Array(repeating: UInt8(ascii: "x"), count: 255 - plain.count) + plain
        case 3: return Array("# not=a comment\\041 ".utf8) + plain
        case 4: return Array("-é😀*?[".utf8) + plain
        case 5: return plain + Array("-".utf8)
        case 6: return Array(".".utf8) + plain
        default: return plain
        }
    }

    private mutating func attributes(at path: EntryPath, in tree: TemporaryTree) throws -> Attributes {
        guard let status = try tree.status(path) else {
            return Attributes(mode: 0o600, user: 0, group: 0, modified: .init(seconds: 0))
        }
        var attributes = status.attributes(with: [])
        let modes: [UInt16] =
            status.kind == .directory ? [0o755, 0o700, 0o1777, 0o2750] : [0o644, 0o600, 0o4755, 0o444, 0o7]
        attributes.mode = random.pick(modes)
        if status.user == 0 {
            attributes.user = random.pick([0, 1, 4_000_000_000])
            attributes.group = random.pick([0, 65_534])
        }
        attributes.modified = Timestamp(
            seconds: Int64.random(in: -1000...2_000_000_000, using: &random),
            nanoseconds: random.once(in: 4) ? 0 : UInt32.random(in: 0..<1_000_000_000, using: &random))
        if status.kind != .link, random.once(in: 5) {
            attributes.extended = [
                ExtendedAttribute(name: Array("user.a b=\(random.pick(["x", "é"]))".utf8), value: random.bytes(20)),
                ExtendedAttribute(name: Array("user.empty".utf8), value: []),
            ]
        }
        return attributes
    }
}
