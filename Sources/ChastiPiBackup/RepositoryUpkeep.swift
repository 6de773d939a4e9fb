import Model
import ResticFormat
import Workers

/// Which packs of a repository are read back.
public enum RepositoryReading: Sendable, Equatable {
    /// None: only whether all is there that must be.
    case structure
    case everything
    /// One of several parts, all of which together are everything; the first is 1.
    case part(Int, of: Int)
    /// About so many of a hundred, chosen anew each time.
    case percent(Double)

    /// Reads restic's `2/5` and `10%`.
    public init(subset text: String) throws(BackupError) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        if parts.count == 2, let part = parts[0], let count = parts[1], 1...256 ~= count, 1...count ~= part {
            self = .part(part, of: count)
        } else if text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0, percent <= 100 {
            self = .percent(percent)
        } else {
            throw BackupError(
                .usage, "'\(printable(text.utf8.prefix(60)))' is no part of a repository",
                advice: "Parts are such as 2/5, of 256 at most, and 10%")
        }
    }

    var reading: RepositoryCheck.Reading {
        switch self {
        case .structure: .nothing
        case .everything: .everything
        case .part(let part, let count): .part(part, of: count)
        case .percent(let percent): .percent(percent)
        }
    }
}

/// What ``RepositoryManager/check(_:)`` found.
public struct RepositoryCheckResult: Sendable {
    public let findings: [Finding]
    public let snapshots: Int
    public let packs: Int
    public let blobs: Int
    /// Packs that were read back, and their bytes.
    public let packsRead: Int
    public let bytesRead: UInt64
    /// Packs that nothing needs: a run was cut off, or goes on.
    public let unindexedPacks: Int

    public var isDamaged: Bool { findings.contains { $0.severity == .damage } }
}

/// How large a repository is, and how it grew.
public struct RepositorySizes: Sendable {
    /// What one backup added to the older ones.
    public struct Growth: Sendable {
        /// 64 hexadecimal digits.
        public let snapshot: String
        public let time: LocalTime
        /// Of the backup, where it has one of ours.
        public let tags: [String]
        public let host: String
        public let files: Int
        /// What restoring it takes.
        public let bytes: UInt64
        /// What it needs in the repository and no older one does.
        public let bytesAdded: UInt64
    }

    /// The oldest first.
    public let snapshots: [Growth]
    /// All bytes of the repository.
    public let bytes: UInt64
    /// Bytes that `prune` could free, more or less.
    public let bytesUnused: UInt64
    /// Bytes of content, each part once, and what they take.
    public let bytesOfContent: UInt64
    public let bytesStored: UInt64
    /// What restoring all backups would take.
    public let bytesOfAll: UInt64
    public let packs: Int
    public let dataBlobs: Int
    public let treeBlobs: Int
    /// Damage that was met: numbers are too small then.
    public let findings: [Finding]
}

extension RepositoryManager {
    /// Whether the repository holds what its backups need. Damage is a finding, not an error.
    public func check(_ part: RepositoryReading) throws -> RepositoryCheckResult {
        try reading(for: "check") { repository in
            let outcome = try RepositoryCheck(repository, on: pool, in: run).perform(reading: part.reading)
            return RepositoryCheckResult(
                findings: outcome.findings, snapshots: outcome.snapshots, packs: outcome.packs, blobs: outcome.blobs,
                packsRead: outcome.packsRead, bytesRead: outcome.bytesRead, unindexedPacks: outcome.unindexedPacks)
        }
    }

    /// How large it is, what for, and how it grew.
    public func sizes() throws -> RepositorySizes {
        try reading(for: "stats") { repository in
            let statistics = try repository.statistics(on: pool, in: run)
            let growth = statistics.snapshots.map { growth in
                let snapshot = growth.snapshot.snapshot
                return RepositorySizes.Growth(
                    snapshot: growth.snapshot.id.hex, time: snapshot.time, tags: snapshot.tags,
                    host: snapshot.hostName, files: growth.files, bytes: growth.restored, bytesAdded: growth.stored)
            }
            return RepositorySizes(
                snapshots: growth, bytes: statistics.total, bytesUnused: statistics.unused,
                bytesOfContent: statistics.content, bytesStored: statistics.stored, bytesOfAll: statistics.restored,
                packs: statistics.packs, dataBlobs: statistics.dataBlobs, treeBlobs: statistics.treeBlobs,
                findings: statistics.findings)
        }
    }
}
