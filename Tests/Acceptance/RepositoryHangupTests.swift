import Foundation
import Model
import TestKit
import Testing

/// restic's `unlock` asks whether the holder of a lock lives by sending it a hangup.
@Suite struct RepositoryHangupTests {
    private func start(_ kept: RepositoryApp) throws -> Process {
        try kept.app.shell("for n in 1 2 3 4 5 6 7 8; do head -c 20000000 /dev/urandom > data/large$n; done")
        let process = Process()
        process.executableURL = URL(filePath: Program.path)
        process.arguments = ["create", "--name", "one", "--repository", kept.path, "--app", kept.app.path]
        process.environment = ProcessInfo.processInfo.environment.merging(kept.environment) { $1 }
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        return process
    }

    private func locks(_ kept: RepositoryApp) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: kept.path + "/locks").count { $0.utf8.count == 64 }
    }

    /// Stops the process when `isSo`; false if it ended before.
    private func hold(_ process: Process, when isSo: () throws -> Bool) throws -> Bool {
        var tries = 60_000
        while tries > 0, process.isRunning, try !isSo() {
            usleep(1000)
            tries -= 1
        }
        kill(process.processIdentifier, SIGSTOP)
        return try isSo() && process.isRunning
    }

    @Test func unlockOfResticEndsNoBackup() throws {
        let kept = try RepositoryApp()
        let create = try start(kept)
        #expect(try hold(create) { try locks(kept) == 1 })
        // Ours runs and its lock is young: it stays.
        try kept.restic("unlock")
        #expect(try locks(kept) == 1)
        kill(create.processIdentifier, SIGCONT)
        create.waitUntilExit()
        #expect(create.terminationStatus == 0 && create.terminationReason == .exit)
        #expect(try kept.names() == ["one"] && locks(kept) == 0)
        try kept.expectSound()
    }

    /// The hangup that did nothing does not make an interrupt its echo.
    @Test func anInterruptCountsAllTheSame() throws {
        let kept = try RepositoryApp()
        let create = try start(kept)
        #expect(try hold(create) { try locks(kept) == 1 })
        kill(create.processIdentifier, SIGHUP)
        kill(create.processIdentifier, SIGCONT)
        usleep(1500)
        kill(create.processIdentifier, SIGTERM)
        create.waitUntilExit()
        #expect(create.terminationStatus == 143 && create.terminationReason == .exit)
        #expect(try kept.names() == [] && locks(kept) == 0)
    }
}
