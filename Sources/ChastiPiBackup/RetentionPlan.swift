import Model

/// What `prune` is asked for.
public struct PruneRequest: Sendable {
    /// Instead of the configured policy; nil for that one.
    public var policy: RetentionPolicy?
    /// Puts backups that somebody named under the policy too, whatever it says.
    public var includesNamed = false
    /// Removes also more than half of all backups.
    public var removesMany = false

    public init() {}
}

/// What `prune` would keep and remove, and why.
public struct RetentionPlan: Sendable {
    public let policy: RetentionPolicy
    /// Of every backup, newest first; what deleting it alone would free stands in the backup.
    public let decisions: [RetentionDecision]
    /// Bytes that all backups occupy together.
    public let bytesTogether: UInt64

    /// Newest first.
    public var removed: [Backup] { decisions.filter { !$0.isKept }.map(\.backup) }

    /// Bytes that are freed at least: what only removed backups share with each other comes on top. Nil for a repository, where only
    /// a preview finds it out.
    public internal(set) var bytesFreed: UInt64?

    /// Whether more than half of all backups would go: that must be asked for (promise 12).
    public var removesMany: Bool { removed.count * 2 > decisions.count }

    /// The backup that must be proven before anything is removed (promise 12); nil if there is none that could be.
    public var proof: Backup? {
        decisions.first { decision in
            decision.reasons.contains { if case .newest = $0 { true } else { false } }
        }?.backup
    }

    /// Whether backups stand under the policy, and not one of its rules keeps any.
    var isPolicyIdle: Bool {
        var isGoverning = false
        for reason in decisions.flatMap(\.reasons) {
            switch reason {
            case .last, .period, .within, .periodWithin, .tagged: return false
            case .noRule(_, let isSafety): if !isSafety { isGoverning = true }
            case .safety, .newest, .future, .named: break
            }
        }
        return isGoverning
    }
}

/// What `prune` did.
public struct PruneResult: Sendable {
    public let plan: RetentionPlan
    public let removed: [BackupName]
    /// Bytes that all backups occupy less than before.
    public let bytesFreed: UInt64
    public let wasDeclined: Bool
}
