import Codec
import Model
import TestKit
import Testing

@testable import ResticFormat

@Suite struct TreeTests {
    private static let vector =
        #"{"nodes":[{"name":"a\\\"b","type":"file","mode":420,"mtime":"2024-05-06T07:08:09.12+02:00","atime":"2024-05-06T07:08:09.12+02:00","ctime":"#
        + #""2024-05-06T07:08:09.12+02:00","uid":1000,"gid":100,"user":"fd","group":"users","inode":42,"device_id":7,"size":12,"links":1,"#
        + #""content":["a948904f2f0f479b8f8197694b30184b0d2ed1c1cd2a1ec0fb85d299a192a447"]},{"name":"d\u003c\\xff","type":"dir","#
        + #""mode":2147484141,"mtime":"2024-05-06T07:08:09.12+02:00","atime":"2024-05-06T07:08:09.12+02:00","#
        + #""ctime":"2024-05-06T07:08:09.12+02:00","uid":0,"gid":0,"content":null,"#
        + #""subtree":"ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8"}]}"# + "\n"

    @Test func vector() throws {
        let bytes = Array(Self.vector.utf8)
        #expect(bytes.count == 625)
        #expect(
            SHA256.digest(of: bytes).hex == "0491f2c9e7b4c21afb2d8640f80350076d5d4f0def9f2992f21bb87fa9b8f414")
        let nodes = try TreeReader.nodes(of: bytes)
        #expect(nodes.map(\.name) == [Array("a\"b".utf8), [0x64, 0x3c, 0xff]])
        #expect(nodes[0].permissions == 0o644 && nodes[0].size == 12 && nodes[0].content?.count == 1)
        #expect(nodes[1].mode == TreeNode.mode(.directory, permissions: 0o755) && nodes[1].content == nil)
        #expect(nodes[0].modified.moment == Timestamp(seconds: 1_714_972_089, nanoseconds: 120_000_000))
        #expect(try encoded(nodes) == bytes)
    }

    @Test func anEmptyTree() throws {
        let empty = try encoded([])
        #expect(SHA256.digest(of: empty).hex == "ac08ce34ba4f8123618661bef2425f7028ffb9ac740578a3ee88684d2523fee8")
        #expect(try TreeReader.nodes(of: empty).isEmpty)
    }

    @Test(
        arguments: [
            (Array("quote\"name".utf8), #""quote\\\"name""#),
            (Array("back\\slash".utf8), #""back\\\\slash""#),
            (Array("new\nline".utf8), #""new\\nline""#),
            ([7, 8, 0x0b, 0x0c, 0x0d], #""\\a\\b\\v\\f\\r""#),
            ([0x1b, 0x01, 0x7f], #""\\x1b\\x01\\x7f""#),
            ([0xff, 0xfe], #""\\xff\\xfe""#),
            ([0xe2, 0x82], #""\\xe2\\x82""#),
            ([0xed, 0xa0, 0x80], #""\\xed\\xa0\\x80""#),
            ([0xc0, 0x80, 0xf4, 0x90, 0x80, 0x80], #""\\xc0\\x80\\xf4\\x90\\x80\\x80""#),
            (Array("lt<gt>amp&".utf8), #""lt\u003cgt\u003eamp\u0026""#),
            (Array("\u{a0}\u{200b}\u{feff}\u{e000}\u{2028}".utf8), #""\\u00a0\\u200b\\ufeff\\ue000\\u2028""#),
            (Array("\u{e0001}".utf8), #""\\U000e0001""#),
            (Array("ä日本😀e\u{301}'\u{fffd}".utf8), "\"ä日本😀e\u{301}'\u{fffd}\""),
        ] as [([UInt8], String)])
    func names(name: [UInt8], text: String) throws {
        let node = try #require(TreeNode(name: name, kind: .fifo))
        let bytes = try encoded([node])
        #expect(String(decoding: bytes, as: UTF8.self).hasPrefix("{\"nodes\":[{\"name\":\(text),"))
        #expect(try TreeReader.nodes(of: bytes) == [node])
    }

    @Test func strings() throws {
        var node = try #require(TreeNode(name: [0x61], kind: .link))
        node.target = [0x08, 0x0c, 0x1f, 0x7f, 0xff] + Array("<>&\u{2028}\u{2029}\u{fffd}/é\"\\\t\r\n".utf8)
        let bytes = try encoded([node])
        let text = String(decoding: bytes, as: UTF8.self)
        let expected =
            #"\b\f\u001f"# + "\u{7f}" + #"\ufffd\u003c\u003e\u0026\u2028\u2029"# + "\u{fffd}" + #"/é\"\\\t\r\n"#
        #expect(text.contains("\"linktarget\":\"\(expected)\",\"linktarget_raw\":\""))
        var read = try TreeReader.nodes(of: bytes)[0]
        #expect(read.target == node.target)
        #expect(try encoded([read]) == bytes)
        // An older encoder wrote the two controls otherwise, and that is kept.
        let old = text.replacing("\\b\\f", with: "\\u0008\\u000c")
        read = try TreeReader.nodes(of: Array(old.utf8))[0]
        #expect(read.target == node.target)
        let again = String(decoding: try encoded([read]), as: UTF8.self)
        #expect(again.contains("\\u0008\\u000c") && !again.contains("\\b"))
    }

    @Test(arguments: [
        (TreeNode.Kind.file, 0o644, 420), (.directory, 0o755, 2_147_484_141), (.directory, 0o1777, 2_148_532_735),
        (.link, 0o777, 134_218_239), (.file, 0o4755, 8_389_101), (.file, 0o2755, 4_194_797), (.fifo, 0o640, 33_554_848),
        (.blockDevice, 0o600, 67_109_248), (.characterDevice, 0o600, 69_206_400),
    ])
    func modes(kind: TreeNode.Kind, permissions: UInt16, mode: UInt32) throws {
        #expect(TreeNode.mode(kind, permissions: permissions) == mode)
        var node = try #require(TreeNode(name: [0x61], kind: kind))
        node.mode = mode
        #expect(node.permissions == permissions)
    }

    @Test(arguments: [
        "2024-05-06T07:08:09Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z",
        "1969-12-31T23:59:59.5-00:30", "2024-02-29T23:00:00.000000001+14:00", "1899-12-31T00:00:00.1-11:59",
    ])
    func times(text: String) throws {
        let time = try #require(Array(text.utf8).withUnsafeBytes { LocalTime(goText: $0) })
        var writer = CanonicalWriter()
        writer.time(time)
        let written = String(decoding: writer.bytes, as: UTF8.self)
        #expect(written == "\"\(text)\"")
    }

    @Test(arguments: [
        "", "2024-05-06", "2024-05-06T07:08:09", "2024-05-06 07:08:09Z", "2023-02-29T00:00:00Z", "2024-00-01T00:00:00Z",
        "2024-01-01T24:00:00Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+1:00", "2024-01-01T00:00:00Zx",
        "2024-01-01T00:00:00+24:00", "x024-01-01T00:00:00Z",
    ])
    func wrongTimes(text: String) {
        #expect(Array(text.utf8).withUnsafeBytes { LocalTime(goText: $0) } == nil)
    }

    @Test func yearsAreClamped() {
        var writer = CanonicalWriter()
        writer.time(LocalTime(moment: Timestamp(seconds: 300_000_000_000), offset: 0))
        writer.time(LocalTime(moment: Timestamp(seconds: -100_000_000_000), offset: 0))
        let text = String(decoding: writer.bytes, as: UTF8.self)
        #expect(text.hasPrefix("\"9999-") && text.contains("\"\"0000-"))
    }

    /// What readers of restic accept, and what they refuse.
    @Test func leniency() throws {
        let node = #"{"name":"a","type":"fifo","mtime":"2024-05-06T07:08:09Z","content":null}"#
        for text in [
            "{\"nodes\":[\(node)]}", " { \"x\" : [1, {\"y\":null}], \"nodes\" : [ \(node) ] , \"z\":-1.5e3 } \n",
            "{\"nodes\":[{\"zz\":{},\"content\":null,\"type\":\"fifo\",\"name\":\"\\u0061\"}]}",
            #"{"nodes":[{"name":"\\141","type":"fifo"}]}"#,
        ] {
            #expect(try TreeReader.nodes(of: Array(text.utf8)).map(\.name) == [[0x61]])
        }
        for text in [
            "", "[]", "{}", "{\"nodes\":null}", "{\"nodes\":[\(node)", "{\"nodes\":[\(node),]}",
            "{\"nodes\":[\(node) \(node)]}", "{\"nodes\":[\(node),\(node)]}", "{\"nodes\":[\(node)]}x",
            "{\"nodes\":[\(node)],\"nodes\":[]}", "{\"nodes\":[{\"type\":\"fifo\"}]}", "{\"nodes\":[{\"name\":\"a\"}]}",
            "{\"nodes\":[1]}",
        ]
            + [
                #""name":"","type":"fifo""#, #""name":".","type":"fifo""#, #""name":"..","type":"fifo""#,
                #""name":"a/b","type":"fifo""#, #""name":"\\x2f","type":"fifo""#, #""name":"\\x00","type":"fifo""#,
                #""name":"\\q","type":"fifo""#, #""name":"a\"","type":"fifo""#, #""name":"\\ud800","type":"fifo""#,
                #""name":"\\400","type":"fifo""#, #""name":"\\x+1","type":"fifo""#, #""name":"\\","type":"fifo""#,
                #""name":"a","type":"other""#, #""name":"a","type":"file""#,
                #""name":"a","type":"file","content":null"#,
                #""name":"a","type":"dir""#, #""name":"a","type":"fifo","mode":420.0"#,
                #""name":"a","type":"fifo","mode":-1"#,
                #""name":"a","type":"fifo","mode":4294967296"#,
                #""name":"a","type":"fifo","inode":18446744073709551616"#,
                #""name":"a","type":"fifo","mtime":"now""#, #""name":"a","type":"file","content":["ab"]"#,
            ].map({ "{\"nodes\":[{\($0)}]}" })
        {
            #expect(throws: FormatError.self, "\(text)") { try TreeReader.nodes(of: Array(text.utf8)) }
        }
    }

    @Test func treesThatMakeSenseRoundTrip() throws {
        var random = SeededRandom.printed(for: "treesThatMakeSenseRoundTrip")
        for _ in 0..<50 {
            let nodes = Self.randomNodes(&random)
            let bytes = try encoded(nodes)
            #expect(try TreeReader.nodes(of: bytes) == nodes)
        }
    }

    @Test func damageNeverCrashes() throws {
        var random = SeededRandom.printed(for: "tree damageNeverCrashes")
        for _ in 0..<3000 {
            var bytes = Array(Self.vector.utf8)
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes.remove(at: index)
                case 1: bytes.insert(random.pick(Array("\"\\[]{},:0u\n".utf8)), at: index)
                default: bytes[index] = UInt8.random(in: 0...255, using: &random)
                }
            }
            if let nodes = try? TreeReader.nodes(of: bytes) { _ = try encoded(nodes) }
        }
        let deep = Array("{\"x\":".utf8) + [UInt8](repeating: UInt8(ascii: "["), count: 1_000_000)
        #expect(throws: FormatError.self) { try TreeReader.nodes(of: deep) }
    }

    static func randomNodes(_ random: inout SeededRandom) -> [TreeNode] {
        var nodes: [TreeNode] = []
        for _ in 0..<Int.random(in: 0..<20, using: &random) {
            let name = random.bytes(Int.random(in: 1...12, using: &random))
            guard var node = TreeNode(name: name, kind: random.pick(TreeNode.Kind.allCases)) else { continue }
            node.mode = UInt32.random(in: 0...UInt32.max, using: &random)
            node.modified = LocalTime(
                moment: Timestamp(
                    seconds: Int64.random(in: -3_000_000_000...9_000_000_000, using: &random),
                    nanoseconds: UInt32.random(in: 0..<1_000_000_000, using: &random)),
                offset: Int.random(in: -720...840, using: &random) * 60)
            (node.inode, node.device, node.size) = (random.next(), random.next(), random.next())
            (node.links, node.represented) = (random.next(), random.next())
            node.user = UInt32.random(in: 0...UInt32.max, using: &random)
            node.userName = Array("us\u{8}er<é".utf8)
            node.target = node.kind == .link ? random.bytes(10) : []
            if random.once(in: 3) {
                node.extended = [ExtendedAttribute(name: Array("user.x".utf8), value: random.bytes(9))]
            }
            if random.once(in: 5) { node.generic = Array(#"{"windows.file_attributes":32}"#.utf8) }
            let ids = (0..<3).map { _ in SHA256Digest(random.bytes(32)) ?? SHA256Digest() }
            if node.kind == .file { node.content = random.once(in: 4) ? [] : ids }
            if node.kind == .directory { node.subtree = ids[0] }
            // A target that is not UTF-8 is written twice, once with replacements.
            if node.kind == .link, String(validating: node.target, as: UTF8.self) == nil { node.forms = [.replacement] }
            nodes.append(node)
        }
        nodes.sort { $0.name.lexicographicallyPrecedes($1.name) }
        return nodes.enumerated().filter { $0.offset == 0 || nodes[$0.offset - 1].name != $0.element.name }.map(
            \.element)
    }
}

/// The tree of `nodes`.
func encoded(_ nodes: [TreeNode]) throws -> [UInt8] {
    var writer = TreeWriter()
    for node in nodes { try writer.add(node) }
    return writer.finish { Array($0) }
}
