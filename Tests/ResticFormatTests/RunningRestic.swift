import Foundation
import TestKit

/// A `restic backup` that waits for its input, and holds its lock.
final class RunningRestic {
    private let process = Process()
    private let input = Pipe()
    let number: Int32

    init(_ repository: ResticRepository) throws {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["restic", "--repo", repository.path, "--no-cache", "backup", "--stdin", "--quiet"]
        process.environment = ProcessInfo.processInfo.environment.merging(
            ["RESTIC_PASSWORD": ResticRepository.password]) { $1 }
        process.standardInput = input
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        number = process.processIdentifier
        // It writes its lock and then looks again.
        var tries = 3000
        while tries > 0, try repository.backend().list(.lock).isEmpty {
            usleep(10_000)
            tries -= 1
        }
    }

    deinit { if process.isRunning { process.terminate() } }

    /// Gives it its input, and returns the exit status.
    func end() throws -> Int32 {
        try input.fileHandleForWriting.write(contentsOf: Data([1, 2, 3]))
        try input.fileHandleForWriting.close()
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// Ends it as a power cut does.
    func kill() {
        Foundation.kill(number, SIGKILL)
        process.waitUntilExit()
    }
}
