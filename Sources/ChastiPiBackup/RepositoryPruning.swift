import Model
import ResticFormat

/// What a prune of a repository may leave, and how much it may do.
public struct RepositoryPruneRequest: Sendable {
    var options = PruneOptions()

    public init() {}

    /// How much of no use may stay, as freeing it costs more than it is worth: `5%` of all, a size such as `500M`, or `unlimited`.
    public mutating func tolerate(_ text: String) throws(BackupError) {
        if text == "unlimited" {
            options.maxUnused = .unlimited
        } else if text.hasSuffix("%"), let percent = Double(text.dropLast()), percent >= 0, percent < 100 {
            options.maxUnused = .percent(percent)
        } else {
            options.maxUnused = .bytes(try Self.bytes(text, or: "5%, 500M, or unlimited"))
        }
    }

    /// How many bytes may be stored anew: a size such as `500M`.
    public mutating func limitRepacking(_ text: String) throws(BackupError) {
        options.maxRepackSize = try Self.bytes(text, or: "500M")
    }

    /// Restic's sizes: powers of 1024.
    private static func bytes(_ text: String, or examples: String) throws(BackupError) -> UInt64 {
        var digits = text.lowercased()
        if digits.hasSuffix("b") { digits.removeLast() }
        let shift = ["k": 10, "m": 20, "g": 30, "t": 40][digits.last.map { String($0) } ?? ""]
        if shift != nil { digits.removeLast() }
        let isNumber = !digits.isEmpty && digits.utf8.allSatisfy { UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 }
        guard isNumber, let number = UInt64(digits), number <= UInt64(Int64.max) >> (shift ?? 0) else {
            throw BackupError(
                .usage, "'\(printable(text.utf8.prefix(60)))' is no size", advice: "Write it such as \(examples)")
        }
        return number << (shift ?? 0)
    }
}

/// What a prune of a repository is going to do, or did.
public struct RepositoryPrunePreview: Sendable {
    public struct Amount: Sendable {
        public let count: Int
        public let bytes: UInt64

        init(_ amount: PrunePlan.Amount) {
            count = amount.count
            bytes = amount.bytes
        }
    }

    /// Snapshots that count.
    public let snapshots: Int
    /// Blobs that they need, each once; those that none needs; and further copies.
    public let used: Amount
    public let unused: Amount
    public let duplicates: Amount
    /// Packs that stay, that are stored anew without what is of no use, that go, and that no index names and go.
    public let kept: Amount
    public let repacked: Amount
    public let removed: Amount
    public let unindexed: Amount
    /// More or less.
    public let bytesFreed: UInt64
    /// Bytes of no use that stay.
    public let bytesRemaining: UInt64
    public let isEmpty: Bool

    init(_ plan: PrunePlan) {
        snapshots = plan.snapshots
        (used, unused, duplicates) = (Amount(plan.used), Amount(plan.unused), Amount(plan.duplicates))
        (kept, repacked) = (Amount(plan.kept), Amount(plan.repacked))
        (removed, unindexed) = (Amount(plan.removed), Amount(plan.unindexed))
        bytesFreed = plan.freed
        bytesRemaining = plan.remaining
        isEmpty = plan.isEmpty
    }
}

extension RepositoryManager {
    /// What ``prune(_:)`` would do. Nothing changes but the lock.
    public func previewPrune(_ request: RepositoryPruneRequest) throws -> RepositoryPrunePreview {
        try locked(.exclusive, for: "prune") { repository in
            RepositoryPrunePreview(try RepositoryPrune(repository, on: pool, in: run).plan(request.options))
        }
    }

    /// Frees what no backup needs. Returns what was done, and what could not be removed.
    public func prune(
        _ request: RepositoryPruneRequest
    ) throws -> (done: RepositoryPrunePreview, failures: [Finding]) {
        try locked(.exclusive, for: "prune") { repository in
            let prune = RepositoryPrune(repository, on: pool, in: run)
            let plan = try prune.plan(request.options)
            return (RepositoryPrunePreview(plan), try prune.apply(plan))
        }
    }
}
