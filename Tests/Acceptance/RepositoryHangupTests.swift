import Foundation
import Model
import TestKit
import Testing

/// restic's `unlock` asks whether the holder of a lock lives by sending it a hangup.
@Suite struct RepositoryHangupTests {
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
        let create = try kept.startCreate(named: "one")
        #expect(try hold(create) { try kept.locks() == 1 })
        // Ours runs and its lock is young: it stays.
        try kept.restic("unlock")
        #expect(try kept.locks() == 1)
        kill(create.processIdentifier, SIGCONT)
        create.waitUntilExit()
        #expect(create.terminationStatus == 0 && create.terminationReason == .exit)
        #expect(try kept.names() == ["one"] && kept.locks() == 0)
        try kept.expectSound()
    }

    /// The hangup that did nothing does not make an interrupt its echo.
    @Test func anInterruptCountsAllTheSame() throws {
        let kept = try RepositoryApp()
        let create = try kept.startCreate(named: "one")
        #expect(try hold(create) { try kept.locks() == 1 })
        kill(create.processIdentifier, SIGHUP)
        kill(create.processIdentifier, SIGCONT)
        usleep(1500)
        kill(create.processIdentifier, SIGTERM)
        create.waitUntilExit()
        #expect(create.terminationStatus == 143 && create.terminationReason == .exit)
        #expect(try kept.names() == [] && kept.locks() == 0)
    }
}
