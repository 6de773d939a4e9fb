import Disk
import Foundation
import Model
import TestKit
import Testing

/// Of a large file that has changed, the parent's chunks are looked for where they were. What is stored is the same as if all were cut.
@Suite struct KnownChunksTests {
    private static let megabyte = 1 << 20

    /// What happens to a file between two backups.
    private static func change(_ kind: String, _ content: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var content = content
        let middle = Int.random(in: 0..<content.count, using: &random)
        switch kind {
        case "bytes":
            for _ in 0..<3 { content[Int.random(in: content.indices, using: &random)] ^= 1 }
        case "first and last":
            (content[0], content[content.count - 1]) = (content[0] ^ 1, content[content.count - 1] ^ 1)
        case "a stretch":
            let length = min(3 * megabyte, content.count - middle)
            content.replaceSubrange(middle..<middle + length, with: random.bytes(length))
        case "appended": content += random.bytes(Int.random(in: 1...10 * megabyte, using: &random))
        case "cut off": content.removeLast(Int.random(in: 1...2 * megabyte, using: &random))
        case "inserted": content.insert(contentsOf: random.bytes(5), at: middle)
        case "taken out": content.removeSubrange(middle..<min(content.count, middle + 100_000))
        case "zeros": content.replaceSubrange(..<(9 * megabyte), with: [UInt8](repeating: 0, count: 9 * megabyte))
        default: content = random.bytes(content.count)
        }
        return content
    }

    @Test func chunksAreThoseOfAFullBackup() throws {
        let kept = try RepositoryApp(isCheap: true)
        var random = SeededRandom.printed(for: "chunksAreThoseOfAFullBackup")
        var content = random.bytes(13 * Self.megabyte + 17)
        try kept.app.tree.write(entry("data/large"), content)
        try kept.done("create", "--name", "first")
        let kinds = [
            "bytes", "first and last", "a stretch", "appended", "bytes", "cut off", "inserted", "bytes", "taken out",
            "zeros",
            "appended", "all",
        ]
        for (number, kind) in kinds.enumerated() {
            content = Self.change(kind, content, &random)
            try kept.app.tree.write(entry("data/large"), content)
            try kept.done("create", "--name", "b\(number)")
            // Whatever is cut another way would be new. Directories above the app may have changed.
            let full = try kept.done("create", "--name", "full\(number)", "--full")
            #expect(full.output.contains(" B written)"), "\(number), \(kind): \(full)")
            // It shortens the next round: the parent is then as small as the app.
            try kept.done("delete", "full\(number)", "--yes")
            let target = kept.app.path + "-restored\(number)"
            try kept.done("restore", "b\(number)", "--to", target)
            #expect(FileManager.default.contents(atPath: target + "/data/large") == Data(content), "\(number), \(kind)")
            try FileManager.default.removeItem(atPath: target)
        }
        try kept.expectSound()
    }
}
