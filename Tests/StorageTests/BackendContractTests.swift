import Model
import Storage
import TestKit
import Testing
import Workers

/// What every backend promises, held against all of them.
@Suite struct BackendContractTests {
    /// A backend that is empty, and what must live as long as it does.
    struct Subject: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let make: @Sendable () throws -> (any Backend, (any Sendable)?)
    }

    static let subjects = [
        Subject(testDescription: "memory") { (MemoryBackend(), nil) },
        Subject(testDescription: "memory, small pages") { (MemoryBackend(pageSize: 3), nil) },
        Subject(testDescription: "local") {
            let tree = try TemporaryTree()
            let backend = try LocalBackend(path: tree.path)
            try backend.prepare()
            return (backend, tree)
        },
        Subject(testDescription: "local, nothing prepared") {
            let tree = try TemporaryTree()
            return (try LocalBackend(path: tree.path), tree)
        },
        Subject(testDescription: "without a fault") {
            (FaultyBackend(MemoryBackend(pageSize: 7), counting: .all), nil)
        },
    ]

    static let kinds = ObjectKind.allCases.filter { $0 != .configuration }

    @Test(arguments: subjects) func anEmptyPlace(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        for kind in ObjectKind.allCases {
            #expect(try backend.list(kind).isEmpty)
            let key = Self.key(kind, 1)
            #expect(Self.code { _ = try backend.info(key) } == .notFound)
            #expect(Self.code { _ = try backend.read(key, limit: 10) } == .notFound)
            #expect(Self.code { _ = try backend.read(key, at: 0, count: 1) } == .notFound)
            #expect(backend.remove([key]).isEmpty)
        }
        #expect(!backend.place.isEmpty)
        try backend.prepare()
        try backend.prepare()
        for kind in ObjectKind.allCases { #expect(try backend.list(kind).isEmpty) }
    }

    @Test(arguments: subjects) func whatIsCreatedIsThere(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        var random = SeededRandom.printed(for: "whatIsCreatedIsThere")
        for kind in ObjectKind.allCases {
            for (number, size) in [0, 1, 5000, 300_000].enumerated() where kind != .configuration || number == 2 {
                let key = Self.key(kind, number)
                let bytes = random.bytes(size)
                try backend.create(key, bytes)
                #expect(try backend.info(key) == ObjectInfo(key: key, size: UInt64(size)))
                #expect(try backend.read(key, limit: size) == bytes)
                if size > 0 {
                    #expect(Self.code { _ = try backend.read(key, limit: size - 1) } == .invalid)
                }
                #expect(try backend.list(kind).contains(ObjectInfo(key: key, size: UInt64(size))))
            }
        }
        for kind in Self.kinds { #expect(try backend.list(kind).count == 4) }
        #expect(try backend.list(.configuration).map(\.key) == [.configuration])
    }

    @Test(arguments: subjects) func createNeverReplaces(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        for kind in ObjectKind.allCases {
            let key = Self.key(kind, 7)
            try backend.create(key, [1, 2, 3])
            #expect(Self.code { try backend.create(key, [4]) } == .exists)
            #expect(Self.code { try backend.create(key, [1, 2, 3]) } == .exists)
            #expect(try backend.read(key, limit: 10) == [1, 2, 3])
            #expect(try backend.list(kind).count == 1)
        }
    }

    @Test(arguments: subjects) func partsOfObjects(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        let key = Self.key(.pack, 3)
        let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
        try backend.create(key, bytes)
        for (offset, count) in [(0, 0), (0, 1000), (1, 999), (999, 1), (1000, 0), (500, 20)] {
            #expect(try backend.read(key, at: UInt64(offset), count: count) == Array(bytes[offset..<offset + count]))
        }
        let beyond: [(UInt64, Int)] = [(0, 1001), (999, 2), (1000, 1), (5000, 1), (1 << 62, 1), (UInt64.max, 1)]
        for (offset, count) in beyond {
            #expect(Self.code { _ = try backend.read(key, at: offset, count: count) } == .tooShort, "\(offset)")
        }
    }

    @Test(arguments: subjects) func pages(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        for kind in Self.kinds {
            let keys = Set((0..<40).map { Self.key(kind, $0 * 37) })
            for key in keys { try backend.create(key, [1]) }
            var seen: [ObjectKey] = []
            var start: PageStart?
            var isFirst = true
            repeat {
                let page = try backend.list(kind, from: start)
                seen += page.objects.map(\.key)
                start = page.next
                if isFirst {
                    // What comes or goes meanwhile hides nothing else.
                    try backend.create(Self.key(kind, 5000), [2])
                    try backend.remove(Self.key(kind, 5000))
                    isFirst = false
                }
            } while start != nil
            #expect(seen.count == keys.count && Set(seen) == keys)
        }
        #expect(try backend.list(.configuration).isEmpty)
    }

    @Test(arguments: subjects) func removing(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        let keys = Self.kinds.flatMap { kind in (0..<5).map { Self.key(kind, $0) } } + [.configuration]
        for key in keys { try backend.create(key, [1]) }
        let some = keys.enumerated().filter { $0.offset % 2 == 0 }.map(\.element)
        #expect(backend.remove(some + [Self.key(.pack, 99)]).isEmpty)
        for key in keys {
            let expected: StorageError.Code? = some.contains(key) ? .notFound : nil
            #expect(Self.code { _ = try backend.info(key) } == expected)
        }
        try backend.create(some[0], [2, 2])
        #expect(try backend.read(some[0], limit: 5) == [2, 2])
    }

    /// Of several that create one object at the same time exactly one succeeds.
    @Test(arguments: subjects) func races(_ subject: Subject) throws {
        let (backend, owner) = try subject.make()
        defer { withExtendedLifetime(owner) {} }
        guard backend.abilities.contains(.exclusiveCreate) else { return }
        let pool = ThreadPool(threads: 4)
        for round in 0..<20 {
            let key = Self.key(.lock, round)
            let codes = try pool.map(4) { _, index in
                Self.code { try backend.create(key, [UInt8](repeating: UInt8(index), count: 2000)) }
            }
            #expect(codes.count { $0 == nil } == 1 && codes.count { $0 == .exists } == 3)
            #expect(Set(try backend.read(key, limit: 2000)).count == 1)
        }
        #expect(try backend.list(.lock).count == 20)
    }

    // MARK: Aids

    static func key(_ kind: ObjectKind, _ number: Int) -> ObjectKey {
        var id = SHA256Digest()
        id.withMutableBytes { $0.storeBytes(of: UInt64(number).bigEndian, toByteOffset: 0, as: UInt64.self) }
        id.withMutableBytes { $0[0] = UInt8(truncatingIfNeeded: number) }
        let name = kind == .configuration ? kind.rawValue : id.hex
        return ObjectKey(kind, fileName: Array(name.utf8)) ?? .configuration
    }

    static func code(_ body: () throws -> Void) -> StorageError.Code? {
        do {
            try body()
            return nil
        } catch {
            return (error as? StorageError)?.code ?? .other
        }
    }
}
