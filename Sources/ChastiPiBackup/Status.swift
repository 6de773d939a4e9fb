import Containers
import Disk
import Model
import Workers

/// How an app stands with its backups: what `status` tells.
public struct Status: Sendable {
    /// What a dead run left, or what a run that goes on is making.
    public struct Leftover: Sendable {
        /// Safe to print.
        public let name: String
        public let bytes: UInt64
    }

    /// What `undo` keeps.
    public struct Kept: Sendable {
        public let bytes: UInt64
        /// When the last restore or undo of it began.
        public let since: LocalTime
    }

    /// The newest complete, undamaged backup that is no safety backup (promise 12).
    public let newest: Backup?
    /// Of ``newest``; negative if that is from the future.
    public let age: Age?
    /// Whether ``newest`` is older than what was asked for, or missing, or from the future; false if nothing was asked.
    public let isTooOld: Bool
    /// Newest first.
    public let backups: [Backup]
    public let foreign: [String]
    /// Bytes that all backups occupy together.
    public let bytesTogether: UInt64
    /// Bytes that each of the last backups added, on average, and how many of them were counted; nil without any.
    public let growth: (bytes: UInt64, backups: Int)?
    /// Bytes and files for which the backup directory has room; nil files where there is no such limit.
    public let freeBytes: UInt64
    public let freeEntries: UInt64?
    /// The newest full verification that found no damage, and of which backup; nil if none is known.
    public let verified: (backup: BackupName, time: LocalTime)?
    public let leftovers: [Leftover]
    /// What `undo` keeps; nil if it keeps nothing, or if that cannot be read.
    public let kept: Kept?
    /// The most backups that one stored copy of a file can serve: damage to it is damage to all of them.
    public let mostSharing: Int
    /// Whether the backups lie on the same disk as the app; nil without a backup directory.
    public let isSameDisk: Bool?
    public let coverage: Coverage
    /// Whether a restore was interrupted and waits for `recover`.
    public let isRecoveryPending: Bool

    /// How many more backups like the last ones there is room for; nil where none tells.
    public var backupsThatFit: UInt64? { growth.map { freeBytes / max($0.bytes, 1) } }
}

/// `status`. Takes no lock and works on a read-only medium.
struct StatusRun {
    let places: AppPlaces
    let choice: Configuration.Choice
    let pool: ThreadPool
    let run: RunContext

    func status(maxAge: Age?) throws -> Status {
        let directory = try places.existingStore()
        let list = try Looking(places: places, pool: pool, run: run).list()
        let newest = try places.existing(pool: pool, in: run).flatMap {
            $0.newestComplete(of: try $0.own(list.backups))
        }
        let age = newest.map { Age(seconds: run.now().moment.seconds &- $0.time.moment.seconds) }
        let traits = try FileSystemTraits(of: directory ?? places.app)
        let chains = Self.chains(list.backups)
        return Status(
            newest: newest, age: age, isTooOld: maxAge.map { Self.isTooOld(age, $0) } ?? false, backups: list.backups,
            foreign: list.foreign.map { "\($0.name): \($0.reason)" }, bytesTogether: list.bytesTogether,
            growth: Self.growth(
                of: list.backups, chains, block: traits.blockSize, together: list.bytesTogether),
            freeBytes: traits.freeBytes,
            freeEntries: traits.freeEntries, verified: Self.verified(list.backups),
            leftovers: try directory.map(Self.leftovers) ?? [], kept: try kept(list.isRecoveryPending),
            mostSharing: chains.values.max() ?? 0, isSameDisk: try directory.map { try places.isOnDisk(of: $0) },
            coverage: try Coverage(of: places, choice, newest: newest), isRecoveryPending: list.isRecoveryPending)
    }

    /// The age of one from the future is not known.
    private static func isTooOld(_ age: Age?, _ most: Age) -> Bool {
        guard let age, age.seconds >= -86_400 else { return true }
        return age > most
    }

    /// How many backups share files with each other, by when all was last read anew.
    static func chains(_ backups: [Backup]) -> [Timestamp: Int] {
        var chains: [Timestamp: Int] = [:]
        for backup in backups where backup.format == .folder {
            if let full = backup.lastFull { chains[full.moment, default: 0] += 1 }
        }
        return chains
    }

    /// Of the last five, without safety backups. `block`: what each file takes up at least; `together`: what all take up, which
    /// is less than was written where files have holes.
    static func growth(
        of backups: [Backup], _ chains: [Timestamp: Int], block: UInt64, together: UInt64
    ) -> (bytes: UInt64, backups: Int)? {
        func written(_ backup: Backup) -> UInt64? {
            guard var bytes = backup.bytesWritten else { return backup.bytesAlone }
            // Numbers of a damaged backup must not overflow.
            let (blocks, overflow) = UInt64(backup.filesWritten ?? 0).multipliedReportingOverflow(by: block)
            bytes.add(saturating: overflow ? .max : blocks)
            return bytes
        }
        let last = backups.filter { $0.trigger != .preRestore && written($0) != nil }.prefix(5)
        guard let newest = last.first else { return nil }
        var mean = last.compactMap { written($0) }.saturatingSum() / UInt64(last.count)
        // What a backup that shares has beside content: directories and its manifest. Where none of those that it shares
        // with is left, what is its alone has their content too.
        if let full = newest.lastFull, chains[full.moment, default: 0] > 1, let alone = newest.bytesAlone,
            let own = written(newest), alone > own
        {
            mean.add(saturating: alone - own)
        }
        return (max(min(mean, together), block), last.count)
    }

    private static func verified(_ backups: [Backup]) -> (backup: BackupName, time: LocalTime)? {
        let all = backups.compactMap { backup in
            if case .verified(let time) = backup.state {
                (backup: backup.name, time: LocalTime(moment: time, offset: backup.time.offset))
            } else {
                nil
            }
        }
        return all.max { $0.time.moment < $1.time.moment }
    }

    static func leftovers(in directory: Directory) throws -> [Status.Leftover] {
        var found: [Status.Leftover] = []
        for item in try directory.items() where item.name.starts(with: PartialDirectory.prefix.utf8) {
            guard let status = try directory.status(of: item.name) else { continue }
            var bytes = status.allocated
            if status.kind == .directory {
                do throws(DiskError) {
                    bytes = try directory.directory(item.name).bytesBelow()
                } catch {
                    // Gone meanwhile, or not ours to read: that it is there is what counts.
                    guard [.notFound, .denied].contains(error.code) else { throw error }
                }
            }
            found.append(Status.Leftover(name: printable(item.name), bytes: bytes))
        }
        return found.sorted { $0.name < $1.name }
    }

    private func kept(_ isRecoveryPending: Bool) throws -> Status.Kept? {
        if isRecoveryPending { return nil }
        do {
            guard let entries = try RestoreFolders.peek(in: places.app)?.keptEntries(),
                let since = entries.map(\.since).max()
            else { return nil }
            return Status.Kept(
                bytes: entries.map(\.bytes).saturatingSum(),
                since: LocalTime(moment: since, offset: run.clock.offset(since)))
        } catch let error as DiskError where [.denied, .notFound].contains(error.code) {
            run.report(.note("what 'undo' keeps cannot be read: \(error.reason)"))
            return nil
        }
    }
}

extension AppPlaces {
    /// Whether the app lies on the disk that holds `directory`.
    func isOnDisk(of directory: Directory) throws -> Bool {
        if try directory.status().device == (try app.status().device) { return true }
        guard let disk = try Mounts.disk(holding: directory) else { return false }
        return try Mounts.disk(holding: app) == disk
    }
}

extension BackupManager {
    /// How the app stands with its backups. Takes no lock; nothing changes. `maxAge`: see ``Status/isTooOld``.
    public func status(maxAge: Age? = nil) throws -> Status {
        try Self.reporting {
            let choice = try Creating.choice(configuration, CreateRequest(), places, run)
            return try StatusRun(places: places, choice: choice, pool: pool, run: run).status(maxAge: maxAge)
        }
    }
}
