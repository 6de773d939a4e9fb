import Codec
import Containers
import Disk
import Foundation
import Model
import TestKit
import Testing
import Workers

@testable import ZipFormat

/// A zip of ours, made by the container, and what is found when its bytes are changed.
final class ZipFixture {
    let tree: TemporaryTree
    let bytes: [UInt8]
    private let test = TestRun()
    private let pool = ThreadPool(threads: 1)
    /// What it is read with.
    var password: Password?

    init(password: String? = nil) throws {
        self.password = password.flatMap { Password($0.utf8) }
        tree = try TemporaryTree()
        try tree.write("app/app.py", "the app, the app, the app, the app, the app, the app")
        try tree.write(entry("app/data/e\u{301}\u{fc}"), [])
        try tree.write(entry("app/data/random"), [0x3c, 0xff, 0x00, 0x17])
        try tree.makeLink(entry("app/link"), to: Array("data/random".utf8))
        let folder = tree.path + "/app"
        var arguments = ["zip", "--name", "z", "--item", ".", "--app", folder]
        if let password {
            try tree.write("password", password)
            arguments += ["--password-file", tree.path + "/password"]
        }
        let made = try Program.run(arguments)
        guard made.status == 0 else { throw Program.UnexpectedAnswer(answer: made) }
        bytes = try tree.read(entry("app/backups/z.zip"))
        try tree.makeDirectory(entry("tried"))
    }

    /// What is wrong with these bytes; empty if nothing is.
    func problems(of bytes: [UInt8]) throws -> [String] {
        let directory = try tree.directory.directory(making: Array("tried".utf8)[...])
        if try directory.status(of: "x.zip".utf8) != nil { try directory.unlink("x.zip".utf8) }
        var file = try NewFile("x.zip".utf8, in: directory)
        try file.write(bytes)
        return try problems(in: directory)
    }

    private func problems(in directory: Directory) throws -> [String] {
        let contents: ZipContents
        var surroundings = ZipContents.Surroundings(offset: { _ in 0 }, isItem: { _ in true })
        surroundings.password = { [password] _ in password }
        do {
            contents = try ZipContents("x", try OpenFile("x.zip".utf8, in: directory), surroundings)
        } catch let error as BackupError {
            return [error.message]
        }
        let verified = try contents.verify(percent: 100, choice: 0, pool: pool, in: test.context(threads: 1))
        return verified.findings.map(\.message)
    }
}

@Suite struct ZipDamageTests {
    @Test func everyChangedByteIsFound() throws {
        let fixture = try ZipFixture()
        #expect(try fixture.problems(of: fixture.bytes).isEmpty)
        var random = SeededRandom.printed(for: "everyChangedByteIsFound")
        for index in fixture.bytes.indices {
            for mask in [UInt8(1) << UInt8.random(in: 0..<8, using: &random), 0xff] {
                var bytes = fixture.bytes
                bytes[index] ^= mask
                let problems = try fixture.problems(of: bytes)
                #expect(!problems.isEmpty, "byte \(index) of \(bytes.count), changed by \(mask), is not found")
            }
        }
    }

    @Test func everyTruncationIsFound() throws {
        let fixture = try ZipFixture()
        for count in fixture.bytes.indices {
            let problems = try fixture.problems(of: Array(fixture.bytes[..<count]))
            #expect(!problems.isEmpty, "\(count) of \(fixture.bytes.count) bytes pass")
        }
    }

    @Test func whatIsAddedIsFound() throws {
        let fixture = try ZipFixture()
        for place in fixture.bytes.indices {
            var bytes = fixture.bytes
            bytes.insert(0, at: place)
            #expect(try !fixture.problems(of: bytes).isEmpty, "a byte before \(place) is not found")
        }
        #expect(try !fixture.problems(of: fixture.bytes + [0]).isEmpty)
    }
}
