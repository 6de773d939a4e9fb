import Foundation

/// What another program (`git`, `sha256sum`, …) answered: the oracle of a test.
package struct ToolRun: Sendable {
    /// The exit status, or 128 and the signal's number.
    package let status: Int32
    package let output: [UInt8]
    package let errors: [UInt8]

    /// Runs `tool`, looked up in PATH, to its end.
    package static func run(
        _ tool: String, _ arguments: [String], input: [UInt8] = [], in directory: String? = nil,
        environment: [String: String] = [:]
    ) throws -> ToolRun {
        // Files and not pipes: whatever their sizes, neither side can wait for the other.
        let scratch = FileManager.default.temporaryDirectory.appending(path: "chastipi-tool-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(at: scratch) }
        let streams = ["input", "output", "errors"].map { scratch.appending(path: $0) }
        try Data(input).write(to: streams[0])
        try Data().write(to: streams[1])
        try Data().write(to: streams[2])

        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [tool] + arguments
        if let directory { process.currentDirectoryURL = URL(filePath: directory) }
        process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
        process.standardInput = try FileHandle(forReadingFrom: streams[0])
        process.standardOutput = try FileHandle(forWritingTo: streams[1])
        process.standardError = try FileHandle(forWritingTo: streams[2])
        try process.run()
        process.waitUntilExit()
        return ToolRun(
            status: process.terminationStatus + (process.terminationReason == .uncaughtSignal ? 128 : 0),
            output: Array(try Data(contentsOf: streams[1])),
            errors: Array(try Data(contentsOf: streams[2])))
    }
}
