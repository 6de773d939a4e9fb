import Disk
import Model
import TestKit
import Testing

@testable import ChastiPiBackup

@Suite struct RepositoryPlaceTests {
    private func read(_ text: String) throws -> [RepositoryPlace] {
        var reader = ConfigurationReader(file: "backup.yaml")
        return try reader.read(text).repositories.value
    }

    private static let written = """
        repositories:
          usb: /mnt/usb/repository
          offsite:
            location: local:/srv/repo
            password_file: /etc/offsite.password
          other:
            location: /srv/other/
            password_command: "pass show 'my backup'"
        """

    @Test func theConfigurationNamesThem() throws {
        let places = try read(Self.written)
        #expect(places.map(\.name) == ["usb", "offsite", "other"])
        #expect(places.map(\.path) == ["/mnt/usb/repository", "/srv/repo", "/srv/other/"])
        #expect(places.map(\.origin) == ["backup.yaml:2", "backup.yaml:3", "backup.yaml:6"])
        #expect(places[0].password == nil)
        guard case .file("/etc/offsite.password") = places[1].password,
            case .command(["pass", "show", "my backup"]) = places[2].password
        else {
            Issue.record("\(places)")
            return
        }
    }

    @Test(arguments: [
        ("repositories: /x", "backup.yaml:1:15: 'repositories' consists of lines"),
        ("repositories:\n  usb: x", "backup.yaml:2:8: this must be a path that begins with '/'"),
        ("repositories:\n  usb: s3:bucket", "backup.yaml:2:8: repositories at 's3:' cannot be used yet"),
        ("repositories:\n  a/b: /x", "backup.yaml:2:3: a repository's name"),
        ("repositories:\n  usb: /x\n  usb: /y", "backup.yaml"),
        (
            "repositories:\n  usb:\n    loction: /x",
            "backup.yaml:3:5: there is no key 'loction'; did you mean 'location'?"
        ),
        ("repositories:\n  usb:\n    password: x", "backup.yaml:3:5: there is no key 'password'"),
        ("repositories:\n  usb:\n    password_file: /x", "backup.yaml:3:5: the repository 'usb' has no 'location'"),
        (
            "repositories:\n  usb:\n    location: /x\n    password_file: y",
            "backup.yaml:4:20: this must be a path that begins with '/'"
        ),
        (
            "repositories:\n  usb:\n    location: /x\n    password_file: /y\n    password_command: z",
            "backup.yaml:5:23: 'password_file' and 'password_command' do not go together"
        ),
        (
            "repositories:\n  usb:\n    location: /x\n    password_command: \"a 'b\"",
            "backup.yaml:4:23: the command has a quote that is not closed"
        ),
    ])
    func whatIsNotUnderstoodIsAnErrorWithItsPlace(text: String, begin: String) {
        let error = #expect(throws: BackupError.self) { try read(text) }
        #expect(error?.code == .configuration && error?.message.hasPrefix(begin) == true, "\(error?.message ?? "")")
    }

    @Test func oneIsFoundByItsNameAndByItsPath() throws {
        var reader = ConfigurationReader(file: "backup.yaml")
        let configuration = try reader.read(Self.written)
        #expect(try RepositoryPlace.named("offsite", in: configuration).path == "/srv/repo")
        #expect(try RepositoryPlace.named("/srv//./other", in: configuration).name == "other")
        #expect(try RepositoryPlace.named("./offsite", in: configuration).name == nil)
        #expect(try RepositoryPlace.named("usb", in: nil).path == "usb")
        let error = #expect(throws: BackupError.self) { try RepositoryPlace.usual(in: configuration) }
        #expect(error?.code == .usage && error?.advice.contains("usb, offsite, other") == true)
        let one = try reader.read("repositories:\n  usb: /x")
        #expect(try RepositoryPlace.usual(in: one).path == "/x")
    }

    @Test(arguments: [
        ("/a:b", "/a:b"), ("./a:b", "./a:b"), ("local:a:b", "a:b"), ("a", "a"), ("../a", "../a"),
    ])
    func aPathIsAPath(location: String, path: String) throws {
        #expect(try RepositoryPlace(location: location).path == path)
    }

    @Test(arguments: ["sftp:user@host:/x", "rest:https://user:secret@host/", "s3:s3.example/secret", "odd:secret"])
    func whatIsElsewhereIsRefusedWithoutItsSecrets(location: String) {
        let error = #expect(throws: BackupError.self) { try RepositoryPlace(location: location) }
        #expect(error?.code == .usage && error?.description.contains("secret") == false)
        #expect(error?.description.contains("'\(location.prefix { $0 != ":" }):'") == true)
    }
}

@Suite struct RepositoryPasswordTests {
    private let tree: TemporaryTree
    private let told = TestRun()

    init() throws {
        tree = try TemporaryTree()
        try tree.write("named", "named\n")
        try tree.write("configured", "configured\n")
        try tree.write("empty", " \n\t")
        try tree.write(entry("long"), [UInt8](repeating: 0x61, count: 100_000))
    }

    private func search(
        _ configured: PasswordOrigin?, named: PasswordOrigin? = nil, usual: PasswordOrigin? = nil
    ) throws -> RepositoryPasswordSearch {
        let plain = told.context()
        let run = RunContext(
            clock: plain.clock, random: plain.random, stop: plain.stop, threads: 1,
            repositoryPasswords: RepositoryPasswords(named: named, usual: { usual }), report: plain.report)
        return RepositoryPasswordSearch(
            place: try RepositoryPlace(location: "/x", name: "x", password: configured), run: run)
    }

    private func text(_ search: RepositoryPasswordSearch) throws -> String? {
        try search.known().map { String(decoding: $0.bytes, as: UTF8.self) }
    }

    private func file(_ name: String) -> PasswordOrigin { .file("\(tree.path)/\(name)") }

    @Test func theFirstThatIsThereCounts() throws {
        let command = PasswordOrigin.command(["printf", " a b \\n"])
        #expect(try text(search(file("configured"), named: file("named"), usual: command)) == "named")
        #expect(try text(search(file("configured"), usual: command)) == "configured")
        #expect(try text(search(nil, usual: command)) == "a b")
        #expect(try text(search(command)) == "a b")
        #expect(try text(search(nil)) == nil)
    }

    @Test(arguments: ["empty", "long", "missing"])
    func aFileWithoutAPasswordIsAnError(name: String) throws {
        let error = #expect(throws: BackupError.self) { try text(search(file(name), usual: file("named"))) }
        #expect(error?.code == .usage && error?.message.contains(name) == true)
    }

    @Test func aCommandThatFailsIsNamedWithoutItsArguments() throws {
        for words in [["sh", "-c", "echo secret; exit 1"], ["sh", "-c", ": secret"], ["/no/such", "secret"]] {
            let error = #expect(throws: BackupError.self) { try text(search(.command(words))) }
            #expect(error?.code == .system && error?.message.contains("'\(words[0])' failed") == true)
            #expect(error?.message.contains("secret") == false)
        }
    }

    @Test func whoeverCanReadTheFileIsWarnedOf() throws {
        try tree.change(entry("named")) { $0.mode = 0o644 }
        _ = try text(search(file("named")))
        #expect(told.warnings.count == 1)
        try tree.change(entry("named")) { $0.mode = 0o600 }
        _ = try text(search(file("named")))
        #expect(told.warnings.count == 1)
    }

    @Test func textsAreReadAsResticReadsThem() {
        #expect(PasswordText.decoded([0xef, 0xbb, 0xbf, 0x61]) == [0x61])
        #expect(PasswordText.decoded([0xff, 0xfe, 0x61, 0, 0xe4, 0]) == Array("aä".utf8))
        #expect(PasswordText.decoded([0xfe, 0xff, 0, 0x61, 0, 0xe4]) == Array("aä".utf8))
        #expect(PasswordText.decoded([0xff, 0x61]) == [0xff, 0x61])
        #expect(PasswordText.trimmed(Array(" \u{a0}\t\u{2003}a b\u{85}\r\n".utf8)) == Array("a b".utf8))
        #expect(PasswordText.trimmed(Array(" \n".utf8)).isEmpty)
        #expect(PasswordText.trimmed([0x20, 0xff, 0xa0, 0x20]) == [0xff, 0xa0])
    }

    @Test func madePasswordsDiffer() throws {
        let made = Set(try (0..<100).map { _ in try PasswordText.random().text })
        #expect(made.count == 100)
        for text in made {
            #expect(text.split(separator: "-").map(\.count) == [4, 4, 4, 4, 4, 4, 4])
            #expect(text.allSatisfy { "0123456789abcdefghjkmnpqrstvwxyz-".contains($0) })
        }
    }
}
