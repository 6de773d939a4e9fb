import Model
import TestKit
import Testing

/// What is kept beyond restic's rules, and what holds for any policy.
@Suite struct RetentionPolicyTests {
    static let now = time("2026-03-31T12:00:00+02:00")

    static func time(_ text: String) -> LocalTime {
        LocalTime(rfc3339: text) ?? LocalTime(moment: Timestamp(seconds: 0), offset: 0)
    }

    /// A backup with a name that we choose, or `name`.
    private func backup(_ text: String, _ name: String? = nil, change: (inout Backup) -> Void = { _ in }) throws
        -> Backup
    {
        let time = Self.time(text)
        let name = try name.map { try BackupName($0) } ?? .timestamped(prefix: .chastipi, at: time)
        var backup = Backup(name: name, format: .folder, origin: .ours, time: time)
        change(&backup)
        return backup
    }

    private func days(_ days: ClosedRange<Int>, change: (inout Backup) -> Void = { _ in }) throws -> [Backup] {
        try days.map { try backup("2026-03-\(padded($0))T03:30:00+01:00", change: change) }
    }

    private func padded(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }

    private func policy(_ rules: String) throws -> RetentionPolicy {
        var policy = RetentionPolicy()
        for rule in rules.split(separator: ",") {
            let words = rule.split(separator: " ").map(String.init)
            if words[0] == "tag" {
                policy.keep(tags: words[1].replacing("+", with: ","))
            } else {
                try policy.set(words[0], to: words[1])
            }
        }
        return policy
    }

    private func kept(_ decisions: [RetentionDecision]) -> [String] {
        decisions.filter(\.isKept).map { String($0.backup.time.readable.dropFirst(5).dropLast(9)) }
    }

    private func reasons(_ decisions: [RetentionDecision], _ name: String) throws -> [String] {
        try #require(decisions.first { $0.backup.name.text == name }).reasons.map(\.description)
    }

    // MARK: Tables, by hand

    @Test(arguments: [
        ("last 3", ["03-31", "03-30", "03-29"]),
        ("daily 2", ["03-31", "03-30"]),
        // 29 March 2026 was a Sunday: the newest of a week is its last.
        ("weekly 3", ["03-31", "03-29", "03-22"]),
        // As long as there are slots the oldest stays, so that the history is as long as it can be.
        ("monthly 4", ["03-31", "03-05"]),
        ("monthly 1", ["03-31"]),
        ("yearly unlimited", ["03-31", "03-05"]),
        ("within 3d", ["03-31", "03-30", "03-29"]),
        ("within_weekly 10d", ["03-31", "03-29", "03-22"]),
        ("last 1,weekly 2", ["03-31", "03-29"]),
        ("hourly 2,last 0", ["03-31", "03-30"]),
    ])
    func aRuleKeeps(rules: String, expected: [String]) throws {
        let decisions = try policy(rules).decide(on: days(5...31).shuffled(), now: Self.now)
        #expect(kept(decisions) == expected)
        #expect(decisions.map(\.backup.time.moment) == decisions.map(\.backup.time.moment).sorted(by: >))
    }

    @Test func everyReasonIsTold() throws {
        var backups = try days(20...31)
        backups[10].tags = ["nightly", "home"]
        let decisions = try policy("last 2,daily 3,weekly 2,within 36h,within_daily 2d,tag home,tag home,tag away")
            .decide(on: backups, now: Self.now)
        #expect(
            decisions.prefix(4).map { $0.reasons.map(\.description).joined(separator: "; ") } == [
                "within 36h; last 1 of 2; daily 1 of 3; weekly 1 of 2; daily within 2d; newest complete, not verified yet",
                "tagged home; tagged home; within 36h; last 2 of 2; daily 2 of 3; daily within 2d",
                "daily 3 of 3; weekly 2 of 2",
                "no rule keeps it",
            ])
    }

    @Test(arguments: [
        ("2026-03-31T03:30:00Z", "1m", "2026-03-03T03:30:00Z"), ("2024-03-31T03:30:00Z", "1m", "2024-03-02T03:30:00Z"),
        ("2024-02-29T03:30:00Z", "1y", "2023-03-01T03:30:00Z"),
        ("2026-01-15T00:00:00Z", "1y2m", "2024-11-15T00:00:00Z"),
        ("2026-03-31T03:30:00+05:45", "7d2h", "2026-03-24T01:30:00+05:45"),
        ("2026-03-01T01:00:00Z", "2h", "2026-02-28T23:00:00Z"),
    ])
    func aSpanIsCountedOnTheCalendar(newest: String, span: String, edge: String) throws {
        var one = try backup(newest)
        one.tags = []
        let edgeTime = Self.time(edge)
        var after = edgeTime
        after.moment.nanoseconds = 1
        let at = Backup(
            name: try BackupName("auto_backup_20200101_000000"), format: .folder, origin: .ours, time: edgeTime)
        let behind = Backup(
            name: try BackupName("auto_backup_20200101_000001"), format: .folder, origin: .ours, time: after)
        let decisions = try policy("within \(span)").decide(on: [one, at, behind], now: one.time)
        // What is exactly as old is not within, as in restic.
        #expect(decisions.map(\.isKept) == [true, true, false])
    }

    @Test(arguments: ["", "d", "5", "5x", "5d3d", "-5d", "0d", "5 d", "5d ", "9999999d", "1w", "٣d", "\u{1b}[1m"])
    func whatIsNoSpanIsRefused(text: String) {
        let error = #expect(throws: RetentionError.self) { try RetentionSpan(text) }
        #expect(error?.description.contains("\u{1b}") == false)
    }

    @Test(arguments: ["", "-2", "x", "1.5", "+1", "99999999999999999999", " 1"])
    func whatIsNoCountIsRefused(text: String) {
        var policy = RetentionPolicy()
        #expect(throws: RetentionError.self) { try policy.set("last", to: text) }
        #expect(throws: RetentionError.self) { try policy.set("nonsense", to: "1") }
        #expect(policy.isEmpty)
    }

    @Test func aPolicySaysWhatItIs() throws {
        var policy = try policy("last 3,weekly unlimited,daily 7,within 1y5m7d2h,within_hourly 2d,tag a+b")
        #expect(
            policy.description == "last 3, daily 7, weekly unlimited, within 1y5m7d2h, hourly within 2d, tagged a,b")
        policy.includesNamed = true
        #expect(policy.description.hasSuffix(", also of those named by hand"))
        #expect(RetentionPolicy().isEmpty && !policy.isEmpty)
        #expect(RetentionPolicy.keys.count == 12)
    }

    // MARK: What is kept beyond the rules (promise 12)

    @Test func whatSomebodyNamedStaysAndFillsNoSlot() throws {
        let named = [
            "before-the-move", "chastipi_backup_20260331", "chastipi_backup_20260331_03300",
            "chastipi_backup_20260331_033000_",
            "chastipi_backup_20260331_033000_x", "xauto_backup_20260331_033000", "chastipi_backup_20260331_033000_2_3",
        ]
        let chosen = ["auto_backup_20260331_033000", "chastipi_backup_20260331_033000_12"]
        let all = try (named + chosen).map { try backup("2026-03-01T00:00:00Z", $0) } + days(30...31)
        let decisions = try policy("last 1").decide(on: all, now: Self.now)
        for name in named { #expect(try reasons(decisions, name) == ["named by hand"]) }
        for name in chosen { #expect(try reasons(decisions, name) == ["no rule keeps it"]) }
        var under = try policy("last 1")
        under.includesNamed = true
        #expect(under.decide(on: all, now: Self.now).filter(\.isKept).count == 1)
        // It is the newest complete one all the same.
        let newer = try backup("2026-03-31T11:00:00+02:00", "mine")
        #expect(
            try reasons(policy("last 1").decide(on: all + [newer], now: Self.now), "mine")
                == ["named by hand", "newest complete, not verified yet"])
    }

    @Test func aBackupFromTheFutureStaysAndFillsNoSlot() throws {
        let future = try backup("2099-12-31T23:59:59Z")
        let decisions = try policy("last 2,within 1d").decide(on: days(25...31) + [future], now: Self.now)
        #expect(try reasons(decisions, future.name.text) == ["from the future"])
        #expect(kept(decisions) == ["12-31", "03-31", "03-30"])
        // A clock that was never set must not cost a backup.
        let asleep = Self.time("1970-01-01T00:10:00Z")
        #expect(try policy("last 1").decide(on: days(1...31), now: asleep).allSatisfy(\.isKept))
    }

    @Test func safetyBackupsHaveARuleOfTheirOwn() throws {
        let safety = try ["03-31T10", "03-26T10", "03-25T03", "03-24T03", "02-01T03"].enumerated().map { number, text in
            try backup("2026-\(text):30:00+01:00", number == 1 ? "taken-by-hand" : nil) { $0.trigger = .preRestore }
        }
        let decisions = try policy("last 2,within 1y,tag x").decide(on: days(28...31) + safety, now: Self.now)
        #expect(
            try safety.map { try reasons(decisions, $0.name.text).joined(separator: "; ") } == [
                "safety: within 7d; safety: last 1 of 2",
                "safety: within 7d; safety: last 2 of 2",
                "safety: within 7d", "a safety backup of long ago", "a safety backup of long ago",
            ])
        #expect(try reasons(decisions, "chastipi_backup_20260331_033000").contains("last 1 of 2"))
        #expect(try reasons(decisions, "chastipi_backup_20260330_033000").contains("last 2 of 2"))
        // By its name too: the original tool recorded nothing.
        let original = try (1...3).map {
            try backup("2025-01-0\($0)T00:00:00Z", "pre_restore_backup_2025010\($0)_000000")
        }
        let of = try policy("last 1").decide(on: original + days(31...31), now: Self.now)
        #expect(of.filter(\.isKept).count == 3)
    }

    @Test func theNewestCompleteOneStays() throws {
        var backups = try days(28...31)
        backups[3].isIncomplete = true
        backups[2].state = .damaged("rotten")
        backups[1].state = .verified(Timestamp(seconds: 1))
        let decisions = try policy("tag nothing").decide(on: backups, now: Self.now)
        #expect(kept(decisions) == ["03-29"])
        #expect(decisions[2].reasons.map(\.description) == ["newest complete, verified"])
        #expect(decisions[0].reasons.map(\.description) == ["incomplete, no rule keeps it"])
        #expect(decisions[1].reasons.map(\.description) == ["damaged, no rule keeps it"])
        let incomplete = try days(30...31) { $0.isIncomplete = true }
        #expect(
            try reasons(policy("tag x").decide(on: incomplete, now: Self.now), "chastipi_backup_20260331_033000")
                == ["newest, as none is complete, not verified yet"])
    }

    @Test func aDamagedBackupFillsNoSlotOfAGoodOne() throws {
        var backups = try days(20...31)
        for index in [11, 10, 5] { backups[index].state = .damaged("rotten") }
        let decisions = try policy("last 3").decide(on: backups, now: Self.now)
        #expect(kept(decisions) == ["03-31", "03-30", "03-29", "03-28", "03-27"])
        #expect(decisions[0].reasons.map(\.description) == ["last 1 of 3 damaged"])
        // What the good ones have left behind it leaves as well.
        #expect(decisions[6].reasons.map(\.description) == ["damaged, no rule keeps it"])
    }

    @Test func anIncompleteBackupIsOfUseUnlessACompleteOneOfThatDayIsNewer() throws {
        func kept(incomplete: [Int], _ rules: String) throws -> [Bool] {
            var backups = try ["30T03", "30T09", "31T03"].map { try backup("2026-03-\($0):00:00Z") }
            for number in incomplete { backups[number].isIncomplete = true }
            return try policy(rules).decide(on: backups, now: Self.now).map(\.isKept).reversed()
        }
        #expect(try kept(incomplete: [0], "daily 5") == [false, true, true])
        #expect(try kept(incomplete: [1], "daily 5") == [true, true, true])
        #expect(try kept(incomplete: [2], "daily 1") == [false, true, true])
        #expect(try kept(incomplete: [1, 2], "daily 2") == [true, true, true])
        #expect(try kept(incomplete: [0, 1, 2], "daily 1") == [false, false, true])
    }

    /// Who cannot read one file has nothing but incomplete backups, and his disk fills up all the same.
    @Test(arguments: [true, false])
    func whereNothingIsCompleteTheRulesAreTheSame(isIncomplete: Bool) throws {
        let backups = try days(1...31) {
            if isIncomplete { $0.isIncomplete = true } else { $0.state = .damaged("rotten") }
        }
        for rules in ["last 3", "daily 4,weekly 3", "within 5d,monthly 2", "within_weekly 1m"] {
            let policy = try policy(rules)
            let expected = try policy.decide(on: days(1...31), now: Self.now).map(\.isKept)
            #expect(policy.decide(on: backups, now: Self.now).map(\.isKept) == expected, "\(rules)")
        }
    }

    /// Metadata that cannot be read leaves the folder's own time, which may be that of the damage.
    @Test func aDamagedBackupDoesNotDecideWhatIsRecent() throws {
        let rotten = try backup("2026-03-31T11:00:00+02:00") { $0.state = .damaged("rotten") }
        let decisions = try policy("within 10d").decide(on: days(1...14) + [rotten], now: Self.now)
        #expect(kept(decisions) == ["03-31"] + (5...14).reversed().map { "03-\(padded($0))" })
    }

    // MARK: Properties

    private struct Sample {
        var backups: [Backup] = []
        var policy = RetentionPolicy()
    }

    private func sample(_ random: inout SeededRandom) throws -> Sample {
        var sample = Sample()
        for number in 0..<Int.random(in: 1...40, using: &random) {
            let seconds =
                Self.now.moment.seconds
                - Int64.random(in: -90_000...random.pick([90_000, 4_000_000, 90_000_000]), using: &random)
            let time = LocalTime(
                moment: Timestamp(seconds: seconds, nanoseconds: UInt32(number)),
                offset: random.pick([0, 3600, 20_700, -34_200, 50_400]))
            let prefix = random.pick(["chastipi", "chastipi", "chastipi", "auto", "pre_restore"])
            let name = random.once(in: 8) ? "named-\(number)" : "\(prefix)_backup_20260101_000000_\(number)"
            var backup = Backup(name: try BackupName(name), format: .folder, origin: .ours, time: time)
            backup.isIncomplete = random.once(in: 6)
            if random.once(in: 6) { backup.state = .damaged("rotten") }
            if random.once(in: 3) { backup.tags = [random.pick(["a", "b"])] }
            sample.backups.append(backup)
        }
        for _ in 0..<Int.random(in: 1...4, using: &random) { try add(to: &sample.policy, &random) }
        sample.policy.includesNamed = random.once(in: 3)
        return sample
    }

    /// Makes a policy keep more, or the same.
    private func add(to policy: inout RetentionPolicy, _ random: inout SeededRandom) throws {
        let key = random.pick(RetentionPolicy.keys + ["tag"])
        if key == "tag" { return policy.keep(tags: random.pick(["a", "b", "a,b", ""])) }
        let count = Int.random(in: 1...9, using: &random)
        var other = RetentionPolicy()
        try other.set(
            key, to: key.hasPrefix("within") ? "\(count * 20)d" : random.once(in: 6) ? "unlimited" : "\(count)")
        if Self.keepsMore(other, policy, key) {
            try policy.set(key, to: key.hasPrefix("within") ? "\(count * 20)d" : Self.text(other, key))
        }
    }

    private static func text(_ policy: RetentionPolicy, _ key: String) -> String {
        "\(key == "last" ? policy.last ?? .unlimited : policy.counts[RetentionPeriod(rawValue: key) ?? .daily] ?? .unlimited)"
    }

    private static func keepsMore(_ a: RetentionPolicy, _ b: RetentionPolicy, _ key: String) -> Bool {
        func number(_ count: RetentionCount?) -> Int {
            switch count {
            case nil: 0
            case .most(let count): count
            case .unlimited: .max
            }
        }
        func days(_ policy: RetentionPolicy) -> Int {
            key == "within"
                ? policy.within?.days ?? 0
                : policy.periodsWithin.first { key == "within_\($0.key)" }?.value.days ?? 0
        }
        if key.hasPrefix("within") { return days(a) > days(b) }
        if key == "last" { return number(a.last) > number(b.last) }
        return RetentionPeriod(rawValue: key).map { number(a.counts[$0]) > number(b.counts[$0]) } ?? false
    }

    @Test func forAnyPolicyAndAnyBackups() throws {
        var random = SeededRandom.printed(for: "forAnyPolicyAndAnyBackups")
        for _ in 0..<2000 {
            let sample = try sample(&random)
            let decisions = sample.policy.decide(on: sample.backups, now: Self.now)
            let kept = Set(decisions.filter(\.isKept).map(\.backup.name))
            #expect(decisions.count == sample.backups.count && decisions.allSatisfy { !$0.reasons.isEmpty })
            // The order in which they are listed says nothing.
            let again = sample.policy.decide(on: sample.backups.shuffled(using: &random), now: Self.now)
            #expect(again.map(\.reasons) == decisions.map(\.reasons))
            // Keeping more never removes more.
            var more = sample.policy
            try add(to: &more, &random)
            let keptByMore = Set(more.decide(on: sample.backups, now: Self.now).filter(\.isKept).map(\.backup.name))
            #expect(kept.isSubset(of: keptByMore), "\(sample.policy) and \(more)")
            // Of those that are whole one always stays, and the newest that is not from the future and no safety backup.
            let whole = sample.backups.filter { $0.standing == .whole }
            #expect(whole.isEmpty || whole.contains { kept.contains($0.name) })
            let newest = whole.filter { $0.time.moment <= Self.now.moment && $0.name.defaultPrefix != .preRestore }
                .max { $0.time.moment < $1.time.moment }
            if let newest { #expect(kept.contains(newest.name)) }
            // A second run has nothing left to do.
            let rest = sample.backups.filter { kept.contains($0.name) }
            let second = sample.policy.decide(on: rest, now: Self.now)
            let left = second.filter { !$0.isKept }
            #expect(left.isEmpty, "\(sample.policy): \(left)")
        }
    }

    /// Damage and holes among other backups never cost a whole one its place.
    @Test func whatIsNotWholeCostsNoWholeOneItsPlace() throws {
        var random = SeededRandom.printed(for: "whatIsNotWholeCostsNoWholeOneItsPlace")
        for _ in 0..<1000 {
            let sample = try sample(&random)
            let whole = sample.backups.filter { $0.standing == .whole }
            let alone = sample.policy.decide(on: whole, now: Self.now)
            let among = sample.policy.decide(on: sample.backups, now: Self.now)
            #expect(among.filter { $0.backup.standing == .whole }.map(\.reasons) == alone.map(\.reasons))
        }
    }
}
