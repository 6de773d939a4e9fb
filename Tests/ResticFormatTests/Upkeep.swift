import Codec
import Model
import ResticFormat
import Storage
import TestKit
import Workers

/// All objects of a repository in memory, to be damaged, killed and compared.
struct StoredObjects: Equatable {
    var objects: [ObjectKey: [UInt8]] = [:]

    init(_ backend: any Backend) throws {
        for kind in ObjectKind.allCases {
            for info in try backend.list(kind) { objects[info.key] = try backend.read(info.key, limit: 1 << 30) }
        }
    }

    func backend() throws -> MemoryBackend {
        let backend = MemoryBackend()
        for (key, bytes) in objects { try backend.create(key, bytes) }
        return backend
    }

    var keys: [ObjectKey] { objects.keys.sorted { $0.path < $1.path } }

    func keys(_ kind: ObjectKind) -> [ObjectKey] { keys.filter { $0.kind == kind } }
}

/// Keys that cost nothing: tests need no strong ones.
enum WeakRepository {
    static let now = LocalTime(moment: Timestamp(seconds: 1_714_972_089, nanoseconds: 5), offset: 7200)

    static func create(
        _ backend: any Backend, _ version: RepositoryConfiguration.Version = .two
    ) throws -> Repository {
        var new = NewRepository()
        new.version = version
        if let parameters = ScryptParameters(cost: 1024, blockSize: 8, parallelism: 1) { new.parameters = parameters }
        return try Repository.create(new, at: backend, try password(), now: now)
    }

    static func open(_ backend: any Backend) throws -> Repository {
        try Repository(backend, try password())
    }

    private static func password() throws -> Password {
        guard let password = Password(ResticRepository.password.utf8) else {
            throw ResticFailure(text: "no password", arguments: [])
        }
        return password
    }
}

extension ResticRepository {
    /// A place with a repository of ours.
    convenience init(weak version: RepositoryConfiguration.Version) throws {
        try self.init(empty: ())
        _ = try WeakRepository.create(try backend(), version)
    }

    /// A place with these objects.
    convenience init(_ stored: StoredObjects) throws {
        try self.init(empty: ())
        try write(stored)
    }

    func write(_ stored: StoredObjects) throws {
        let backend = try backend()
        try backend.prepare()
        for (key, bytes) in stored.objects { try backend.create(key, bytes) }
    }

    /// IDs of all snapshots, as restic lists them.
    func snapshotIDs() throws -> [String] {
        try backend().list(.snapshot).map(\.key.fileName).sorted()
    }

    /// What restic brings back of a snapshot.
    func restored(_ snapshot: String) throws -> TreeSnapshot {
        let target = try TemporaryTree()
        try restic(["restore", snapshot, "--target", target.path])
        var found = try TreeSnapshot(of: target.directory)
        // The target itself is nobody's entry.
        found[.root] = nil
        return found
    }
}

extension Repository {
    /// The content of all files of all snapshots, by snapshot, as we read it.
    func everything() throws -> [SHA256Digest: [EntryPath: [UInt8]]] {
        let pool = ThreadPool(threads: 2)
        let snapshots = try snapshots(on: pool).snapshots
        var reader = Reader(self, try index(on: pool).index)
        var all: [SHA256Digest: [EntryPath: [UInt8]]] = [:]
        for stored in snapshots { all[stored.id] = try reader.entries(of: stored.snapshot.tree).content }
        return all
    }

    func check(_ reading: RepositoryCheck.Reading = .everything) throws -> RepositoryCheck.Outcome {
        let run = TestRun()
        return try RepositoryCheck(self, on: ThreadPool(threads: 2), in: run.context()).perform(reading: reading)
    }
}

/// A directory that changes from one backup to the next: some files stay, others come, go and change.
struct ChangingTree {
    let tree: TemporaryTree
    private var names: [EntryPath] = []

    init() throws {
        tree = try TemporaryTree()
    }

    mutating func change(_ random: inout SeededRandom, largest: Int = 60_000) throws {
        for _ in 0..<Int.random(in: 1..<8, using: &random) {
            let path = entry("d\(random.next() % 5)/e\(random.next() % 3)/f\(random.next() % 40)")
            try tree.makeDirectory(path.parent ?? .root)
            if random.once(in: 4), try tree.status(path) != nil {
                try tree.remove(path)
            } else {
                let part = random.bytes(Int.random(in: 0..<largest, using: &random))
                // Of all kinds: what compresses and what does not.
                try tree.write(path, random.once(in: 2) ? part : part.map { $0 & 3 })
            }
        }
        try tree.write(entry("always/the same"), Array("the same".utf8))
    }
}
