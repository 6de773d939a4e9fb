import Foundation
import TestKit
import Testing

/// The program while it runs: it can be watched, held, and sent signals.
final class RunningProgram {
    private let process = Process()
    private let scratch: URL

    init(_ arguments: [String], app: String) throws {
        scratch = FileManager.default.temporaryDirectory.appending(path: "chastipi-running-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: false)
        for name in ["output", "errors"] { try Data().write(to: scratch.appending(path: name)) }
        process.executableURL = URL(filePath: Program.path)
        process.arguments = arguments + ["--app", app]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: scratch.appending(path: "output"))
        process.standardError = try FileHandle(forWritingTo: scratch.appending(path: "errors"))
        try process.run()
    }

    deinit {
        do {
            try FileManager.default.removeItem(at: scratch)
        } catch {
            print("warning: \(scratch.path) was not removed: \(error)")
        }
    }

    func send(_ signal: Int32) {
        guard process.isRunning else { return }
        kill(process.processIdentifier, signal)
    }

    /// Waits until something is so; false if the run ended before, or after a minute.
    func wait(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<60_000 {
            if try condition() { return process.isRunning }
            if !process.isRunning { return false }
            usleep(1000)
        }
        return false
    }

    /// The run stands still until ``goOn()``, with its locks held.
    func hold() { send(SIGSTOP) }

    func goOn() { send(SIGCONT) }

    func end() throws -> Program.Answer {
        process.waitUntilExit()
        return Program.Answer(
            status: process.terminationStatus + (process.terminationReason == .uncaughtSignal ? 128 : 0),
            output: try String(contentsOf: scratch.appending(path: "output"), encoding: .utf8),
            errors: try String(contentsOf: scratch.appending(path: "errors"), encoding: .utf8))
    }
}

extension TestApp {
    func start(_ arguments: String...) throws -> RunningProgram {
        try RunningProgram(arguments, app: path)
    }

    /// A `create` that stands still in the middle, its locks held.
    func startHeldCreate(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> RunningProgram {
        let create = try start("create", "--full", "--name", name)
        let isHeld = try create.wait {
            try FileManager.default.contentsOfDirectory(atPath: path + "/backups").contains {
                $0.hasPrefix(".partial-")
            }
        }
        create.hold()
        if !isHeld { Issue.record("the create is over already: \(try create.end())", sourceLocation: sourceLocation) }
        return create
    }

    /// A restore that stands still while it stages, its locks held.
    func startHeldRestore(_ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws -> RunningProgram {
        let restore = try start("restore", name, "--skip-safety-backup")
        let isHeld = try restore.wait { try isStaging() }
        restore.hold()
        if !isHeld { Issue.record("the restore is over already: \(try restore.end())", sourceLocation: sourceLocation) }
        return restore
    }

    private func isStaging() throws -> Bool {
        let folder = path + "/.chastipi/restores"
        guard FileManager.default.fileExists(atPath: folder) else { return false }
        return try FileManager.default.contentsOfDirectory(atPath: folder).contains {
            FileManager.default.fileExists(atPath: "\(folder)/\($0)/new/data/large")
        }
    }
}
