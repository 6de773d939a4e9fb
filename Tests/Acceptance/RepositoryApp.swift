import Codec
import Disk
import Foundation
import Model
import ResticFormat
import Storage
import TestKit
import Testing

/// A small app whose backups go into a repository, which real restic made and works on as well.
final class RepositoryApp: Sendable {
    let app: TestApp
    /// Holds the repository and its password.
    let home: TemporaryTree

    static let password = "p\u{e4}ss word"

    var path: String { home.path + "/repository" }
    var environment: [String: String] { ["CHASTIPI_BACKUP_PASSWORD_FILE": home.path + "/password"] }

    /// `isCheap`: opened in no time, for tests that run the program hundreds of times. Real restic cannot make such a one.
    init(isCheap: Bool = false) throws {
        app = try TestApp()
        home = try TemporaryTree()
        try home.write(entry("password"), Array((Self.password + "\n").utf8), mode: 0o600)
        if isCheap {
            try CheapRepository.make(at: path, password: Self.password)
        } else {
            try restic("init")
        }
    }

    private init(app: TestApp, home: TemporaryTree) {
        self.app = app
        self.home = home
    }

    /// Works on a copy of the repository, for the same app.
    func copied() throws -> RepositoryApp { RepositoryApp(app: app, home: try home.copied()) }

    @discardableResult
    func run(_ arguments: String..., fault: String? = nil) throws -> Program.Answer { try run(arguments, fault) }

    /// Runs a verb that must succeed.
    @discardableResult
    func done(_ arguments: String...) throws -> Program.Answer {
        let answer = try run(arguments, nil)
        guard answer.status == 0 else { throw Program.UnexpectedAnswer(answer: answer) }
        return answer
    }

    private func run(_ arguments: [String], _ fault: String?) throws -> Program.Answer {
        var environment = environment
        environment["CHASTIPI_FAULT"] = fault
        return try Program.run(arguments + ["--repository", path, "--app", app.path], environment: environment)
    }

    /// Starts a backup that takes a while, and says nothing.
    func startCreate(named name: String) throws -> Process {
        try app.shell("for n in 1 2 3 4 5 6 7 8; do head -c 20000000 /dev/urandom > data/large$n; done")
        let process = Process()
        process.executableURL = URL(filePath: Program.path)
        process.arguments = ["create", "--name", name, "--repository", path, "--app", app.path]
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    /// How many locks there are; those in the making have other names.
    func locks() throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: path + "/locks").count { $0.utf8.count == 64 }
    }

    /// How many calls that change something a run makes. The run is done.
    func countCalls(_ arguments: String...) throws -> Int {
        var environment = environment
        environment["CHASTIPI_FAULT_COUNT"] = home.path + "/count"
        let answer = try Program.run(
            arguments + ["--repository", path, "--app", app.path], environment: environment)
        guard answer.status == 0, let count = Int(try home.read("count").filter(\.isNumber)) else {
            throw Program.UnexpectedAnswer(answer: answer)
        }
        return count
    }

    /// Runs restic, which must succeed.
    @discardableResult
    func restic(_ arguments: String...) throws -> String {
        let run = try ToolRun.run(
            "restic", ["--repo", path, "--no-cache"] + arguments, in: app.path,
            environment: ["RESTIC_PASSWORD": Self.password, "GOGC": "50"])
        guard run.status == 0 else {
            throw TemporaryTree.ToolFailed(
                text: "restic \(arguments): \(String(decoding: run.errors + run.output, as: UTF8.self))")
        }
        return String(decoding: run.output, as: UTF8.self)
    }

    /// All bytes of all backups are right, says restic.
    func expectSound() throws { try restic("check", "--read-data") }

    /// The names of the backups, the oldest first.
    func names() throws -> [String] {
        try done("list", "--json").output.split(separator: "\n").reversed().compactMap { line in
            guard let start = line.range(of: #""name": ""#) else { return nil }
            return String(line[start.upperBound...].prefix { $0 != "\"" })
        }
    }
}

/// A repository whose key is derived in no time.
enum CheapRepository {
    static func make(at path: String, password: String) throws {
        var new = NewRepository()
        new.parameters = try #require(ScryptParameters(cost: 1024, blockSize: 1, parallelism: 1))
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        let backend = try LocalBackend(path: path)
        _ = try Repository.create(
            new, at: backend, try #require(Password(password.utf8)),
            now: LocalTime(moment: .init(seconds: 1_700_000_000), offset: 0))
    }
}
