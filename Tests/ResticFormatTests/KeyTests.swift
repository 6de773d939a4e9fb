import Codec
import Foundation
import Model
import Storage
import TestKit
import Testing

@testable import ResticFormat

/// Several passwords of one repository.
@Suite struct KeyTests {
    private static func newKey() throws -> NewKey {
        var key = NewKey()
        key.parameters = try TestRepository.parameters()
        (key.userName, key.hostName) = ("us<er", "host")
        return key
    }

    private static func opens(_ backend: any Backend, _ password: String) throws -> Bool {
        do {
            _ = try Repository(backend, try TestRepository.password(password))
            return true
        } catch let error as BackupError where error.code == .wrongPassword {
            return false
        }
    }

    private static let old = ResticRepository.password

    // MARK: What they do

    @Test func addListRemove() throws {
        let backend = MemoryBackend()
        let repository = try TestRepository.create(backend)
        let later = LocalTime(moment: TestRepository.now.moment.adding(seconds: 9), offset: -3600)
        let id = try repository.addKey(try TestRepository.password("second"), try Self.newKey(), now: later)
        let (keys, findings) = try repository.storedKeys()
        #expect(findings.isEmpty)
        let second = StoredKey(id: id, created: later, userName: "us<er", hostName: "host", isInUse: false)
        #expect(keys.count == 2 && keys[0].isInUse && keys[0].id == repository.keyID && keys[1] == second)
        #expect(try Self.opens(backend, Self.old) && Self.opens(backend, "second"))
        let other = try Repository(backend, try TestRepository.password("second"))
        #expect(other.keyID == id && other.configuration.id == repository.configuration.id)

        #expect(LockTests.refusal { _ = try repository.removeKey(repository.keyID.shortHex) }?.code == .refused)
        #expect(LockTests.refusal { _ = try repository.removeKey("") }?.code == .notFound)
        #expect(LockTests.refusal { _ = try repository.removeKey("xyz\n") }?.code == .notFound)
        #expect(try repository.removeKey(String(id.hex.prefix(9)).uppercased()) == id)
        #expect(try Self.opens(backend, Self.old) && !Self.opens(backend, "second"))
        // Opened by a key that is there no more, it removes none: it might be the last.
        #expect(LockTests.refusal { _ = try other.removeKey(repository.keyID.hex) }?.code == .refused)
        #expect(try Self.opens(backend, Self.old))
    }

    @Test func ambiguousAndMany() throws {
        let backend = MemoryBackend()
        let repository = try TestRepository.create(backend)
        for number in 1..<20 {
            _ = try repository.addKey(
                try TestRepository.password("\(number)"), try Self.newKey(), now: TestRepository.now)
        }
        let keys = try repository.storedKeys().keys
        #expect(keys.count == 20)
        // Of 20 hexadecimal digits some are the same.
        let digits = Dictionary(grouping: keys, by: { $0.id.hex.prefix(1) }).first { $0.value.count > 1 }
        let digit = String(try #require(digits).key)
        #expect(LockTests.refusal { _ = try repository.removeKey(digit) }?.code == .usage)
        let refused = LockTests.refusal {
            _ = try repository.addKey(try TestRepository.password("20"), try Self.newKey(), now: TestRepository.now)
        }
        #expect(refused?.code == .refused)
        for number in 1..<20 { #expect(try Self.opens(backend, "\(number)")) }
        #expect(try backend.list(.key).count == 20)
        _ = try repository.changePassword(
            to: try TestRepository.password("x"), try Self.newKey(), now: TestRepository.now)
        #expect(try Self.opens(backend, "x") && !Self.opens(backend, Self.old))
    }

    @Test func brokenFiles() throws {
        let backend = MemoryBackend()
        let repository = try TestRepository.create(backend)
        let bytes: [[UInt8]] = [[], Array("{}".utf8), [UInt8](repeating: 32, count: 100_000)]
        for bytes in bytes { try backend.create(.key(SHA256.digest(of: bytes)), bytes) }
        try backend.create(.key(SHA256Digest()), [1])
        let listed = try repository.storedKeys()
        #expect(listed.keys.map(\.id) == [repository.keyID] && listed.findings.count == 4)
        #expect(try Self.opens(backend, Self.old) && !Self.opens(backend, "x"))
        for bytes in bytes { _ = try repository.removeKey(SHA256.digest(of: bytes).hex) }
        #expect(try repository.storedKeys().findings.count == 1)
    }

    // MARK: Crashes

    enum Change: CaseIterable {
        case add, change, remove
    }

    static let allFaults: [StorageFault] = [
        .kill, .killDone, .fail(.unavailable), .failDone(.unavailable), .fail(.noSpace), .short, .flip,
    ]

    /// Whatever call goes wrong and however: a password opens the repository, and what was said is so.
    @Test(arguments: Change.allCases, KeyTests.allFaults.indices) func faults(_ change: Change, _ fault: Int) throws {
        for number in 0..<100 {
            let base = MemoryBackend()
            let faulty = FaultyBackend(base, counting: .all)
            let repository = try TestRepository.create(faulty)
            let third = try repository.addKey(
                try TestRepository.password("third"), try Self.newKey(), now: TestRepository.now)
            faulty.inject(Self.allFaults[fault], at: number)
            var isDone = true
            do {
                switch change {
                case .add:
                    _ = try repository.addKey(
                        try TestRepository.password("new"), try Self.newKey(), now: TestRepository.now)
                case .change:
                    _ = try repository.changePassword(
                        to: try TestRepository.password("new"), try Self.newKey(), now: TestRepository.now)
                case .remove: _ = try repository.removeKey(third.hex)
                }
            } catch {
                isDone = false
            }
            let (old, new) = (try Self.opens(base, Self.old), try Self.opens(base, "new"))
            #expect(old || new)
            switch change {
            case .add: #expect(old && (new || !isDone))
            case .change: #expect(!isDone || !old && new)
            case .remove:
                let opens = try Self.opens(base, "third")
                #expect(old && !(isDone && opens))
            }
            // Everything that is there can be read.
            let again = try Repository(base, try TestRepository.password(old ? Self.old : "new"))
            #expect(try again.storedKeys().findings == [])
            if faulty.calls <= number {
                #expect(isDone && number > 0)
                return
            }
        }
        Issue.record("too many calls")
    }

    // MARK: The real restic

    @Test(arguments: [1, 2]) func withRestic(_ version: Int) throws {
        let place = try ResticRepository(version: version)
        let source = try TemporaryTree()
        try source.write("a", "content")
        try place.restic(["backup", "."], in: source.path)
        let repository = try place.open()
        // Ours opens for them.
        let ours = try repository.addKey(
            try TestRepository.password("of ours"), try Self.newKey(), now: TestRepository.now)
        let listed = try place.restic(["key", "list"], password: "of ours")
        let text = String(decoding: listed.output, as: UTF8.self)
        #expect(text.contains("*\(ours.shortHex)") && text.contains("us<er"), "\(text)")
        try place.restic(["check", "--read-data"], password: "of ours")
        // Theirs opens for us.
        try source.write("new", "of theirs\n")
        try place.restic(["key", "add", "--new-password-file", source.path + "/new"], password: "of ours")
        let backend = try place.backend()
        #expect(try Self.opens(backend, "of theirs"))
        #expect(try repository.storedKeys().keys.count == 3 && repository.storedKeys().findings.isEmpty)
        // They remove ours, we remove theirs.
        try place.restic(["key", "remove", ours.shortHex])
        #expect(try !Self.opens(backend, "of ours"))
        let opened = try Repository(backend, try TestRepository.password("of theirs"))
        let old = repository.keyID
        #expect(try opened.removeKey(old.shortHex) == old)
        #expect(throws: ResticFailure.self) { try place.restic(["snapshots"]) }
        let changed = try opened.changePassword(
            to: try TestRepository.password("n\u{e4}w"), try Self.newKey(), now: TestRepository.now)
        #expect(try opened.backend.list(.key).map(\.key.id) == [changed])
        try place.restic(["check", "--read-data"], password: "n\u{e4}w")
        try source.write("new", "of theirs again")
        try place.restic(["key", "passwd", "--new-password-file", source.path + "/new"], password: "n\u{e4}w")
        #expect(try Self.opens(backend, "of theirs again") && !Self.opens(backend, "n\u{e4}w"))
    }
}
