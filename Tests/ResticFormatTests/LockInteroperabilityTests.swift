import Foundation
import Model
import Storage
import TestKit
import Testing

@testable import ResticFormat

/// Locks of ours and of the real restic.
@Suite struct LockInteroperabilityTests {
    @Test func theirs() throws {
        let place = try ResticRepository(version: 2)
        let (repository, run) = (try place.open(), TestRun())
        let restic = try RunningRestic(place)
        let locks = try repository.locks()
        #expect(locks.findings.isEmpty)
        let lock = try #require(locks.locks.first?.lock)
        #expect(locks.locks.count == 1 && lock.kind == .shared && lock.process == restic.number && lock.stamp == nil)
        #expect(!lock.isStale(at: run.context().clock.wall(), seenBy: .own(.shared, verb: "", at: run.context().now())))
        let shared = try repository.lock(.shared, for: "backup", in: run.context())
        try shared.confirm()
        #expect(try repository.unlock(.stale, in: run.context()).removed.isEmpty)
        try shared.release()
        let refused = LockTests.refusal { _ = try repository.lock(.exclusive, for: "prune", in: run.context()) }
        #expect(refused?.code == .locked && refused?.message.contains("(process \(restic.number))") == true)
        #expect(try restic.end() == 0)
        #expect(try repository.locks().locks.isEmpty)
        try repository.lock(.exclusive, for: "prune", in: run.context()).release()
    }

    @Test func theirsLeftBehind() throws {
        let place = try ResticRepository(version: 1)
        let (repository, run) = (try place.open(), TestRun())
        let restic = try RunningRestic(place)
        restic.kill()
        let refused = LockTests.refusal { _ = try repository.lock(.exclusive, for: "prune", in: run.context()) }
        #expect(refused?.advice.contains("'repository unlock'") == true)
        #expect(try repository.unlock(.stale, in: run.context()).removed.map(\.lock.process) == [restic.number])
        try repository.lock(.exclusive, for: "prune", in: run.context()).release()
    }

    @Test(arguments: [1, 2]) func ours(_ version: Int) throws {
        let place = try ResticRepository(version: version)
        let source = try TemporaryTree()
        try source.write("a", "b")
        let (repository, run) = (try place.open(), TestRun())
        let shared = try repository.lock(.shared, for: "backup", in: run.context(ahead: 0))
        try shared.confirm()
        let id = try #require(try repository.locks().locks.first?.id)
        let listed = try place.restic(["list", "locks", "--no-lock"])
        #expect(String(decoding: listed.output, as: UTF8.self).contains(id.hex))
        let shown = try place.restic(["cat", "lock", id.hex, "--no-lock"])
        let text = String(decoding: shown.output, as: UTF8.self)
        #expect(text.contains("\"exclusive\": false") && text.contains("\"pid\": \(getpid())"), "\(text)")
        try place.restic(["backup", "."], in: source.path)
        let refused = Self.failure { try place.restic(["prune"]) }
        #expect(refused?.contains("repository is already locked by PID \(getpid())") == true, "\(refused ?? "")")
        #expect(Self.failure { try place.restic(["forget", "--keep-last", "1", "--prune"]) } != nil)
        try shared.release()
        try place.restic(["prune"])

        try repository.withLock(.exclusive, for: "prune", in: run.context(ahead: 0)) { _ in
            #expect(
                Self.failure { try place.restic(["backup", "."], in: source.path) }?.contains("already locked") == true)
            try place.restic(["snapshots", "--no-lock"])
        }
        try place.restic(["backup", "."], in: source.path)
        #expect(try repository.locks().locks.isEmpty)
    }

    /// restic asks whether the process lives by a signal that would end it.
    @Test func theirUnlock() throws {
        let place = try ResticRepository(version: 2)
        let (repository, run) = (try place.open(), TestRun())
        let lock = try repository.lock(.shared, for: "backup", in: run.context(ahead: 0))
        try lock.confirm()
        try place.restic(["unlock"])
        #expect(try repository.locks().locks.count == 1)
        try lock.check()
        try place.restic(["unlock", "--remove-all"])
        #expect(try repository.locks().locks.isEmpty)
        try lock.release()
        // One that a program of ours left behind is for them what one of theirs is.
        var dead = LockFile.own(.shared, verb: "backup", at: run.context(ahead: 0).now())
        dead.process = try LockTests.endedProcess()
        let (key, bytes) = repository.sealed(dead)
        try repository.backend.create(key, bytes)
        try place.restic(["unlock"])
        #expect(try repository.locks().locks.isEmpty)
    }

    private static func failure(_ body: () throws -> Void) -> String? {
        do { try body() } catch { return "\(error)" }
        return nil
    }
}
