import Foundation

/// The built program, run as a user runs it.
package struct Program: Sendable {
    /// What a run told.
    package struct Answer: Sendable, CustomStringConvertible {
        /// The exit status, or 128 and the signal's number.
        package let status: Int32
        package let output: String
        package let errors: String

        package init(status: Int32, output: String, errors: String) {
            self.status = status
            self.output = output
            self.errors = errors
        }

        package var description: String { "status \(status)\n\(output)\(errors)" }
    }

    /// The debug program lies beside the tests: it is built with fault injection.
    package static let path: String = {
        var folder = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()
        while folder.path != "/", !FileManager.default.isExecutableFile(atPath: folder.appending(path: name).path) {
            folder = folder.deletingLastPathComponent()
        }
        return folder.appending(path: name).path
    }()

    private static let name = "chastipi-backup"

    private let app: String
    /// Kept, so that it is not gone while the program runs.
    private let tree: TemporaryTree?

    package init(app: String) {
        self.app = app
        tree = nil
    }

    package init(in tree: TemporaryTree) {
        app = tree.path
        self.tree = tree
    }

    /// Runs a verb for the app. `fault` is the value of CHASTIPI_FAULT.
    @discardableResult
    package func run(_ verb: String..., fault: String? = nil) throws -> Answer {
        try Self.run(verb + ["--app", app], environment: fault.map { ["CHASTIPI_FAULT": $0] } ?? [:])
    }

    /// How many calls that change something a run makes. The run is done.
    package func countCalls(_ verb: String, _ arguments: [String] = []) throws -> Int {
        let file = FileManager.default.temporaryDirectory.appending(path: "chastipi-count-\(UUID().uuidString)").path
        defer { unlink(file) }
        let answer = try Self.run([verb] + arguments + ["--app", app], environment: ["CHASTIPI_FAULT_COUNT": file])
        guard answer.status == 0, let text = try? String(contentsOfFile: file, encoding: .utf8),
            let count = Int(text.filter(\.isNumber))
        else { throw UnexpectedAnswer(answer: answer) }
        return count
    }

    package static func run(
        _ arguments: [String], environment: [String: String] = [:], in directory: String? = nil, input: [UInt8] = []
    ) throws -> Answer {
        let run = try ToolRun.run(path, arguments, input: input, in: directory, environment: environment)
        return Answer(
            status: run.status, output: String(decoding: run.output, as: UTF8.self),
            errors: String(decoding: run.errors, as: UTF8.self))
    }

    package struct UnexpectedAnswer: Error, CustomStringConvertible {
        package let answer: Answer

        package init(answer: Answer) {
            self.answer = answer
        }

        package var description: String { "unexpected: \(answer)" }
    }
}

extension TemporaryTree {
    /// A copy with all attributes, made by `cp`.
    package func copied() throws -> TemporaryTree {
        let copy = try TemporaryTree()
        let result = try ToolRun.run("cp", ["-a", path + "/.", copy.path])
        guard result.status == 0 else { throw ToolFailed(text: String(decoding: result.errors, as: UTF8.self)) }
        return copy
    }

    package struct ToolFailed: Error {
        package let text: String

        package init(text: String) {
            self.text = text
        }
    }
}

/// Long tests run where CHASTIPI_TEST_LONG is set: `make test-long`.
package let runsLongTests = ProcessInfo.processInfo.environment["CHASTIPI_TEST_LONG"] != nil
