import Containers
import Model
import TestKit
import Testing

/// Manifests with a right seal, written by someone who means harm.
@Suite struct HostileManifestTests {
    private static let directory = " type=dir mode=0755 uid=0 gid=0 time=0.000000000\n"
    private static let file =
        " type=file mode=0644 uid=0 gid=0 size=1 time=0.000000000 sha256=" + String(repeating: "a", count: 64) + "\n"

    @Test func aWellMeantOneIsRead() {
        let bytes = ManifestFixture.sealed("./a\(Self.directory)./a/b\(Self.file)./a-b\(Self.file)")
        #expect(ManifestFixture.refusal(of: bytes) == nil)
    }

    @Test(
        arguments: [
            "../../etc/passwd", "./../etc/passwd", "./a/../../b", "/etc/passwd", ".//etc", "./a//b", "./.", "./..",
            "./a/.", "./a/", "./", "a", "", "./a\\000b", "./\\056\\056/x", "./a\\057b/..", "./a\\", "./a\\9",
            "./a\\400",
            "./a\\12",
        ])
    func pathsOutsideAreRefused(path: String) throws {
        let message = try #require(
            ManifestFixture.refusal(of: ManifestFixture.sealed("./a\(Self.directory)\(path)\(Self.file)")))
        #expect(message.hasPrefix("line "))
    }

    @Test func orderAndParentsAreChecked() throws {
        let (directory, file) = (Self.directory, Self.file)
        for lines in [
            "./a\(file)./a\(file)", "./a\(directory)./a\(directory)", "./b\(file)./a\(file)", "./a/b\(file)",
            "./a\(file)./a/b\(file)", "./a\(directory)./a-b\(file)./a/b\(file)",
            "./l type=link mode=0777 uid=0 gid=0 time=0.000000000 link=/etc\n./l/passwd\(file)",
            "./a\(file). type=dir\n", ". type=dir\n",
        ] {
            let message = try #require(ManifestFixture.refusal(of: ManifestFixture.sealed(lines)), "\(lines)")
            #expect(message.hasPrefix("line "), "\(message)")
        }
    }

    @Test(
        arguments: [
            "type=device", "type=file", "mode=10000", "mode=0888", "mode=", "uid=-1", "uid=4294967296", "uid=x",
            "uid=4294967295", "gid=4294967295",
            "size=-1", "size=9223372036854775808",
            "size=18446744073709551616", "size=", "time=1", "time=1.5", "time=.000000000", "time=1.0000000000",
            "time=99999999999999999999.000000000", "sha256=12", "sha256=", "mode=0644", "evil=1", "nonsense", "=1",
        ])
    func fieldsAreChecked(field: String) throws {
        // Beside right fields: a second one, or one that cannot be.
        let line = "./x\(Self.file.dropLast()) \(field)\n"
        let message = try #require(ManifestFixture.refusal(of: ManifestFixture.sealed(line)))
        #expect(message.hasPrefix("line 2: "), "\(message)")
    }

    /// Beside a second field of its kind the value would not be looked at.
    @Test(arguments: [
        ("size=1", "size=9223372036854775808"), ("uid=0", "uid=4294967295"), ("gid=0", "gid=4294967295"),
    ])
    func numbersThatNoKernelKnowsAreRefused(field: String, replacement: String) throws {
        let line = "./x" + Self.file.replacing(field, with: replacement)
        let message = try #require(ManifestFixture.refusal(of: ManifestFixture.sealed(line)))
        #expect(message.contains("'\(replacement)' is no keyword, or has no such value"), "\(message)")
    }

    @Test(arguments: ["mode=0600", "uid=1", "gid=1", "size=2", "time=1.000000000", "sha256=bbbb"])
    func namesOfOneFileMustAgree(field: String) throws {
        let same = "#: group=1\n./a\(Self.file)#: group=1\n./b"
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(same + Self.file)) == nil)
        let key = field.prefix { $0 != "=" } + "="
        let value = key == "sha256=" ? "sha256=" + String(repeating: "b", count: 64) : field
        let other = Self.file.dropLast().split(separator: " ").map { $0.hasPrefix(key) ? value : String($0) }
        let message = try #require(
            ManifestFixture.refusal(of: ManifestFixture.sealed(same + " " + other.joined(separator: " ") + "\n")))
        #expect(message.contains("b: not as a, the same file"), "\(message)")
    }

    @Test(arguments: ["mode=0644", "uid=0", "gid=0", "size=1", "time=0.000000000", "type=file", "sha256="])
    func noFieldMayBeMissing(field: String) throws {
        let fields = Self.file.dropLast().split(separator: " ").filter { !$0.hasPrefix(field) }
        let line = "./x \(fields.joined(separator: " "))\n"
        #expect(try #require(ManifestFixture.refusal(of: ManifestFixture.sealed(line))).hasPrefix("line 2: "))
    }

    @Test(
        arguments: [
            "group=0", "group=4294967296", "sparse=no", "ancestor=1", "xattr.=", "xattr.user.a=*", "xattr.user.a=YQ",
            "xattr.a\\000b=YQ==", "ancestor=yes", "xattr.user.b=YQ== xattr.user.a=YQ==",
            "xattr.user.a=YQ== xattr.user.a=YQ==", "lacks=sense", "evil=1", "sparse",
        ])
    func linesBeforeAnEntryAreChecked(extra: String) throws {
        let message = ManifestFixture.refusal(of: ManifestFixture.sealed("#: \(extra)\n./x\(Self.file)"))
        #expect(try #require(message).hasPrefix("line "))
        let link = "./l type=link mode=0777 uid=0 gid=0 time=0.000000000 link=x\n"
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed("#: group=1\n" + link)) != nil)
    }

    @Test func linesThatBelongToNoEntryAreRefused() {
        for lines in ["#: sparse=yes\n#: sparse=yes\n./x\(Self.file)", "#: sparse=yes\n"] {
            #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(lines)) != nil)
        }
        let trailing = Array(("#mtree\n" + ManifestFixture.metadataLine + "#: sparse=yes\n").utf8)
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(trailing)) != nil)
    }

    @Test func theRootStandsFirst() {
        for lines in ["", ". type=file\n", "./x\(Self.file). type=dir\n", "./x\(Self.file)"] {
            let bytes = ManifestFixture.sealed(Array((lines + ManifestFixture.metadataLine).utf8))
            #expect(ManifestFixture.refusal(of: bytes) != nil, "\(lines)")
        }
    }

    @Test func theMetadataMustBeListedOnce() {
        let line = ManifestFixture.metadataLine
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed("", metadataLine: "")) != nil)
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(line)) != nil)
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed("", metadataLine: line + "./x\(Self.file)")) != nil)
    }

    @Test func withoutSealNothingIsRead() throws {
        let content = Array("#mtree\n. type=dir\n\(ManifestFixture.metadataLine)".utf8)
        #expect(ManifestFixture.refusal(of: content) == "the seal that ends it is missing")
        let wrong = content + Array("# sha256 \(String(repeating: "0", count: 64))\n".utf8)
        #expect(ManifestFixture.refusal(of: wrong) == "it does not match its seal")
        #expect(ManifestFixture.refusal(of: []) != nil)
    }

    /// A target with a NUL or an impossible length never reaches the kernel.
    @Test func linkTargetsAreChecked() {
        let link = "./l type=link mode=0777 uid=0 gid=0 time=0.000000000 link="
        for target in ["", "a\\000b", String(repeating: "x", count: 4096)] {
            #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(link + target + "\n")) != nil)
        }
        #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(link + "../../etc/passwd\n")) == nil)
    }

    @Test func garbageIsRefusedInTimeLinearToItsSize() {
        var random = SeededRandom.printed(for: "garbageIsRefusedInTimeLinearToItsSize")
        for _ in 0..<200 {
            #expect(ManifestFixture.refusal(of: ManifestFixture.sealed(random.bytes(500))) != nil)
        }
        let clock = ContinuousClock()
        let time = clock.measure {
            _ = ManifestFixture.refusal(of: ManifestFixture.sealed(String(repeating: "./a ", count: 500_000) + "\n"))
            _ = ManifestFixture.refusal(
                of: ManifestFixture.sealed("./a" + String(repeating: "/a", count: 500_000) + Self.file))
            _ = ManifestFixture.refusal(of: ManifestFixture.sealed(String(repeating: "#\n", count: 500_000)))
        }
        #expect(time < .seconds(10))
    }
}
