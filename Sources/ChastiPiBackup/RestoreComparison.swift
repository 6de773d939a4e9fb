import Disk
import Model

/// Compares the app with the backup and decides what is exchanged: the table of spec section 3.
///
/// Two passes: ``walk()`` goes through both trees at once and leaves open only whether files of equal size have equal content;
/// ``resolve(_:)`` takes the answers.
struct RestoreComparison {
    /// A file that stands in both trees and differs in nothing that can be seen without reading it.
    struct Candidate: Sendable {
        let live: Int
        let backup: Int
    }

    /// What reading a candidate told.
    enum Answer: Sendable {
        case same, different
    }

    private let scope: RestoreScope
    fileprivate let live: EntryTable
    private let attributes: WantedAttributes
    /// Whether something that must stay lies below, by index of the live table.
    private let holdsProtected: [Bool]
    private(set) var candidates: [Candidate] = []
    fileprivate(set) var steps: [(step: ExchangePlan.Step, live: Int?, backup: Int?)] = []
    private(set) var directories: [(live: Int, backup: Int)] = []
    fileprivate(set) var kept: [Int] = []
    private(set) var unchanged = 0
    /// Directories that stand in both trees and whose children are still to be compared: trees can be deeper than a stack.
    private var pending: [(live: Int, backup: Int)] = []
    private var refusals: [String] = []

    init(_ scope: RestoreScope, live: EntryTable, attributes: WantedAttributes) {
        self.scope = scope
        self.live = live
        self.attributes = attributes
        var holds = [Bool](repeating: false, count: live.count)
        for index in (1..<max(1, live.count)).reversed() {
            let isProtected = !Self.isRemovable(live[index]) && scope.backup.index(of: live.path(of: index)) == nil
            if holds[index] || isProtected || live[index].flags.contains(.mountRoot) {
                holds[Int(live[index].parent)] = true
            }
        }
        holdsProtected = holds
    }

    /// Whether an entry that the backup does not hold may go. The walk has left alone what must stay.
    private static func isRemovable(_ record: EntryRecord) -> Bool {
        record.kind.isOrdinary && record.flags.isDisjoint(with: [.outside, .container, .mountRoot])
    }

    mutating func walk(stop: StopFlag) throws {
        if scope.roles[0] == .selected { directories.append((0, 0)) }
        pending = [(0, 0)]
        while let next = pending.popLast() {
            try stop.check()
            compareChildren(live: next.live, backup: next.backup)
        }
        kept.sort()
        try refuse()
    }

    fileprivate func refuse() throws {
        guard !refusals.isEmpty else { return }
        throw BackupError(
            .refused, "the restore cannot be done: \(refusals.joined(separator: "; "))",
            advice: "Nothing was changed. Move these away, or leave the place out with --only")
    }

    // MARK: Going through both trees

    private mutating func compareChildren(live liveParent: Int, backup backupParent: Int) {
        var left = Array(live.children(of: liveParent))[...]
        var right = scope.backup.children(of: backupParent).filter { scope.roles[$0] != .none }[...]
        while !left.isEmpty || !right.isEmpty {
            switch (left.first, right.first) {
            case (let l?, let r?) where hasSameName(l, r):
                compare(live: l, backup: r)
                left = left.dropFirst()
                right = right.dropFirst()
            case (let l?, let r?) where nameOfLive(l, precedesBackup: r):
                liveOnly(l)
                left = left.dropFirst()
            case (let l?, nil):
                liveOnly(l)
                left = left.dropFirst()
            case (_, let r?):
                step(live: nil, backup: r, parent: liveParent)
                right = right.dropFirst()
            case (nil, nil): return
            }
        }
    }

    private func hasSameName(_ l: Int, _ r: Int) -> Bool {
        live.withName(of: l) { a in scope.backup.withName(of: r) { a.elementsEqual($0) } }
    }

    private func nameOfLive(_ l: Int, precedesBackup r: Int) -> Bool {
        live.withName(of: l) { a in scope.backup.withName(of: r) { a.lexicographicallyPrecedes($0) } }
    }

    private mutating func compare(live l: Int, backup r: Int) {
        let (now, wanted) = (live[l], scope.backup[r])
        if now.flags.contains(.container), now.kind != .link || wanted.kind != .link {
            // P7: whatever the backup has there, other backups are never moved or written into.
            refusals.append("\(live.path(of: l)) holds backups, and the backup has an entry there")
            return
        }
        switch (now.kind, wanted.kind) {
        case (.directory, .directory):
            if scope.roles[r] == .selected { directories.append((l, r)) }
            pending.append((l, r))
        case (_, .directory) where scope.roles[r] == .ancestor:
            // P4
            refusals.append("\(live.path(of: l)) is a \(now.kind.name) and not a directory")
        case (.directory, _):
            if now.flags.contains(.mountRoot) {
                refusals.append(
                    "a file system is mounted at \(live.path(of: l)), where the backup has a \(wanted.kind.name)")
            } else if holdsProtected[l] {
                refuseProtected(below: l, insteadOf: wanted.kind)
            } else {
                step(live: l, backup: r, parent: Int(now.parent))
            }
        case (let a, let b) where a != b:
            step(live: l, backup: r, parent: Int(now.parent))
        case (let kind, _) where kind != .file:
            // Links, fifos and devices are what their names and targets say.
            let isSame = live.hasSameTarget(l, as: r, of: scope.backup) && attributes.match(now, of: r, extended: nil)
            if isSame { unchanged += 1 } else { step(live: l, backup: r, parent: Int(now.parent)) }
        default:
            if now.size == wanted.size && attributes.match(now, of: r, extended: nil) {
                candidates.append(Candidate(live: l, backup: r))
            } else {
                step(live: l, backup: r, parent: Int(now.parent))
            }
        }
    }

    /// P3: displacing it whole would take things from their place that are not ours to move.
    private mutating func refuseProtected(below l: Int, insteadOf kind: EntryKind) {
        var named: [String] = []
        for index in l + 1..<live.endOfSubtree(at: l) where !Self.isRemovable(live[index]) {
            named.append(live.path(of: index).description)
        }
        refusals.append(
            "\(live.path(of: l)) is a directory where the backup has a \(kind.name), and holds what must stay: "
                + named.joined(separator: ", "))
    }

    /// The backup holds nothing of this: each part goes as whole as it may.
    private mutating func liveOnly(_ top: Int) {
        var l = top
        let end = live.endOfSubtree(at: top)
        while l < end {
            let record = live[l]
            if record.kind == .directory && holdsProtected[l] && Self.isRemovable(record) {
                l += 1
                continue
            }
            if Self.isRemovable(record) {
                step(live: l, backup: nil, parent: Int(record.parent))
            } else {
                kept.append(l)
            }
            l = live.endOfSubtree(at: l)
        }
    }

    fileprivate mutating func step(live l: Int?, backup r: Int?, parent: Int) {
        let place: EntryPath
        if let l { place = live.path(of: l) } else if let r { place = scope.backup.path(of: r) } else { return }
        for index in [l, parent].compactMap({ $0 }) where live[index].flags.contains(.immutable) {
            refusals.append("\(live.path(of: index)) is immutable (see lsattr)")
        }
        if let l, live[l].flags.contains(.mountRoot) {
            refusals.append("a file system is mounted at \(live.path(of: l))")
        }
        steps.append((.init(place: place, removes: l != nil, brings: r != nil), l, r))
    }

    // MARK: The answers

    /// Takes what reading the candidates told, one answer each. Hard links that are not as they were make steps too (P5).
    mutating func resolve(_ answers: [Answer]) throws {
        var isSame = zip(candidates, answers).map { $1 == .same }
        let wrong = HardLinkGroups(scope, live).wrongMembers(among: candidates, isSame)
        for position in candidates.indices where wrong.contains(candidates[position].backup) {
            isSame[position] = false
        }
        for (candidate, same) in zip(candidates, isSame) {
            if same {
                unchanged += 1
            } else {
                step(live: candidate.live, backup: candidate.backup, parent: Int(live[candidate.live].parent))
            }
        }
        try refuse()
        steps.sort { $0.step.place < $1.step.place }
    }
}

extension RestoreComparison {
    /// Entries of the app that go although nothing else would make them.
    mutating func displace(_ entries: [Int]) throws {
        guard !entries.isEmpty else { return }
        for index in entries { step(live: index, backup: nil, parent: Int(live[index].parent)) }
        kept.removeAll { entries.contains($0) }
        try refuse()
        steps.sort { $0.step.place < $1.step.place }
    }
}

/// P5: the members of a group are one unit, right only together.
private struct HardLinkGroups {
    private let scope: RestoreScope
    private let live: EntryTable

    init(_ scope: RestoreScope, _ live: EntryTable) {
        self.scope = scope
        self.live = live
    }

    /// Indices of the backup's table that must be staged although their content is right.
    func wrongMembers(among candidates: [RestoreComparison.Candidate], _ isSame: [Bool]) -> Set<Int> {
        var liveOf: [Int: Int] = [:]
        for (candidate, same) in zip(candidates, isSame) where same { liveOf[candidate.backup] = candidate.live }
        var members: [UInt32: [Int]] = [:]
        for index in 0..<scope.backup.count
        where scope.roles[index] == .selected && scope.backup[index].linkGroup != 0 {
            members[scope.backup[index].linkGroup, default: []].append(index)
        }
        var wrong: Set<Int> = []
        for group in members.values {
            let inodes = Set(group.map { liveOf[$0].map { live[$0].inode } })
            if inodes.count != 1 || inodes.contains(nil) { wrong.formUnion(group) }
        }
        // One live file under paths that belong to different groups, or to none.
        var sharers: [FileIdentity: [Int]] = [:]
        for (backup, index) in liveOf where live[index].links > 1 {
            sharers[FileIdentity(device: live[index].device, inode: live[index].inode), default: []].append(backup)
        }
        for paths in sharers.values where paths.count > 1 {
            let groups = Set(paths.map { scope.backup[$0].linkGroup })
            if groups.count > 1 || groups.contains(0) {
                wrong.formUnion(paths)
                for group in groups where group != 0 { wrong.formUnion(members[group] ?? []) }
            }
        }
        return wrong
    }
}
