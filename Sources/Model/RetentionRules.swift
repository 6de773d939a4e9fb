/// The slots of one rule. Backups come newest first.
///
/// Incomplete and damaged backups have slots of their own, as many again, and only as far back as whole ones have not used
/// up theirs: where all is well they are let go with their time, and where nothing is whole they are kept like whole ones.
private struct RetentionSlots {
    let count: RetentionCount
    private var taken = [Int](repeating: 0, count: RetentionStanding.allCases.count)
    private var bucket = [Int64?](repeating: nil, count: RetentionStanding.allCases.count)

    init(_ count: RetentionCount) {
        self.count = count
    }

    private func isOpen(_ standing: RetentionStanding) -> Bool {
        guard case .most(let count) = count else { return true }
        return taken[standing.rawValue] < count
    }

    /// The place that a backup takes, and whether only as the oldest; nil if there is none for it.
    mutating func take(
        _ new: Int64, _ standing: RetentionStanding, isOldest: Bool
    ) -> (place: Int, isOldest: Bool)? {
        for better in RetentionStanding.allCases where better < standing {
            guard isOpen(better), bucket[better.rawValue] != new else { return nil }
        }
        let isNew = bucket[standing.rawValue] != new
        guard isOpen(standing), isNew || isOldest else { return nil }
        bucket[standing.rawValue] = new
        taken[standing.rawValue] += 1
        return (taken[standing.rawValue], !isNew)
    }
}

/// A policy at work on the backups that it governs.
private struct RetentionRules {
    let policy: RetentionPolicy
    let zone: ((Timestamp) -> Int)?
    private var last: RetentionSlots?
    private var counted: [(period: RetentionPeriod, slots: RetentionSlots)]
    private var spanned: [(period: RetentionPeriod, span: RetentionSpan, slots: RetentionSlots)]

    init(_ policy: RetentionPolicy, zone: ((Timestamp) -> Int)?) {
        self.policy = policy
        self.zone = zone
        last = policy.last.map { RetentionSlots($0) }
        counted = RetentionPeriod.allCases.compactMap { period in
            policy.counts[period].map { (period, RetentionSlots($0)) }
        }
        spanned = RetentionPeriod.allCases.compactMap { period in
            policy.periodsWithin[period].map { (period, $0, RetentionSlots(.unlimited)) }
        }
    }

    /// What speaks for each of `backups`, which come newest first. Spans count back from `newest`.
    mutating func reasons(_ backups: [Backup], newest: LocalTime) -> [[RetentionReason]] {
        var oldest: [RetentionStanding: Int] = [:]
        for (number, backup) in backups.enumerated() { oldest[backup.standing] = number }
        return backups.enumerated().map { number, backup in
            let isOldest = oldest[backup.standing] == number
            return reasons(backup, number, isOldest: isOldest, newest: newest)
        }
    }

    /// Every rule is asked: a slot is taken also by what another rule keeps.
    private mutating func reasons(
        _ backup: Backup, _ number: Int, isOldest: Bool, newest: LocalTime
    ) -> [RetentionReason] {
        let standing = backup.standing
        var reasons = policy.tags.filter { tags in
            tags.allSatisfy { $0.isEmpty ? backup.tags.isEmpty : backup.tags.contains($0) }
        }.map { RetentionReason.tagged($0) }
        if let span = policy.within, isWithin(span, backup, newest) { reasons.append(.within(span)) }
        if let slot = last?.take(Int64(number), standing, isOldest: false), let count = last?.count {
            reasons.append(.last(slot.place, of: count, standing))
        }
        for index in counted.indices {
            let period = counted[index].period
            let bucket = period.bucket(of: backup.time)
            if let slot = counted[index].slots.take(bucket, standing, isOldest: isOldest) {
                reasons.append(
                    .period(period, slot.place, of: counted[index].slots.count, standing, isOldest: slot.isOldest))
            }
        }
        for index in spanned.indices where isWithin(spanned[index].span, backup, newest) {
            let period = spanned[index].period
            let bucket = period.bucket(of: backup.time)
            if let slot = spanned[index].slots.take(bucket, standing, isOldest: isOldest) {
                reasons.append(.periodWithin(period, spanned[index].span, standing, isOldest: slot.isOldest))
            }
        }
        return reasons
    }

    private func isWithin(_ span: RetentionSpan, _ backup: Backup, _ newest: LocalTime) -> Bool {
        backup.time.moment > span.before(newest, zone: zone)
    }
}

extension RetentionPolicy {
    /// The rule of safety backups (promise 12).
    static let safety: RetentionPolicy = {
        var policy = RetentionPolicy()
        policy.last = .most(2)
        policy.within = RetentionSpan(days: 7)
        return policy
    }()

    /// What becomes of each backup: newest first.
    ///
    /// `zone` tells how many seconds local time is east of UTC at a moment, for spans of days across a change of the clock.
    public func decide(
        on backups: [Backup], now: LocalTime, zone: ((Timestamp) -> Int)? = nil
    ) -> [RetentionDecision] {
        let sorted = backups.sorted { ($1.time.moment, $1.name) < ($0.time.moment, $0.name) }
        var reasons = [[RetentionReason]](repeating: [], count: sorted.count)
        let past = sorted.indices.filter { sorted[$0].time.moment <= now.moment }
        let safety = past.filter { sorted[$0].isSafetyBackup }
        let governed = past.filter { !sorted[$0].isSafetyBackup && (includesNamed || !sorted[$0].isNamedByHand) }

        for (index, found) in zip(governed, apply(to: governed.map { sorted[$0] }, zone: zone)) {
            reasons[index] += found
        }
        let newest = Self.reference(past.map { sorted[$0] })
        for (index, found) in zip(safety, Self.safety.apply(to: safety.map { sorted[$0] }, newest: newest, zone: zone))
        {
            reasons[index] += found.map { .safety($0) }
        }
        for index in sorted.indices {
            if sorted[index].time.moment > now.moment {
                reasons[index].append(.future)
            } else if sorted[index].isNamedByHand && !includesNamed {
                reasons[index].append(.named)
            }
        }
        if let proof = Self.proof(among: past, of: sorted) {
            reasons[proof].append(.newest(isVerified: sorted[proof].isVerified, sorted[proof].standing))
        }
        return zip(sorted, reasons).map { backup, found in
            found.isEmpty
                ? RetentionDecision(
                    backup: backup, isKept: false, reasons: [.noRule(backup.standing, isSafety: backup.isSafetyBackup)])
                : RetentionDecision(backup: backup, isKept: true, reasons: found)
        }
    }

    /// What speaks for each of `backups`, which come newest first. Spans count back from `newest`, or else from theirs.
    private func apply(
        to backups: [Backup], newest: LocalTime? = nil, zone: ((Timestamp) -> Int)?
    ) -> [[RetentionReason]] {
        guard let newest = newest ?? Self.reference(backups) else { return [] }
        var rules = RetentionRules(self, zone: zone)
        return rules.reasons(backups, newest: newest)
    }

    /// The newest of the best standing, as what is damaged may not even know its own time.
    private static func reference(_ backups: [Backup]) -> LocalTime? {
        backups.min { $0.standing < $1.standing }?.time
    }

    /// What must be proven before anything is removed (promise 12): the newest complete backup, or if none is complete the
    /// newest that is not damaged.
    private static func proof(among past: [Int], of sorted: [Backup]) -> Int? {
        let candidates = past.filter { !sorted[$0].isSafetyBackup && sorted[$0].standing != .damaged }
        return candidates.first { sorted[$0].standing == .whole } ?? candidates.first
    }
}
