import Containers
import Disk
import Model
import ResticFormat
import Storage
import Workers

/// The backups of one app: every verb of the command line, as a method.
///
/// A manager holds no lock and changes nothing until a verb is called; each verb takes the locks that it needs and gives
/// them back. All errors are ``BackupError``s with a message for people, or come from the closures that are passed in.
///
/// ```swift
/// let manager = try BackupManager(app: "/srv/chastipi", run: run)
/// let made = try manager.create(CreateRequest())
/// let result = try manager.restore(RestoreRequest(backup: made.backup.name.text)) { plan in plan.kept.isEmpty }
/// ```
public struct BackupManager: Sendable {
    /// What is in force, from `backup.yaml` and the defaults.
    public let configuration: Configuration
    private(set) var places: AppPlaces
    let run: RunContext
    let pool: ThreadPool
    let patience: Int
    var session: AppSession { AppSession(places: places, run: run) }

    /// - Parameters:
    ///   - app: path of the app's directory.
    ///   - backupDirectory: where its backups are; by default `backups` in the app.
    ///   - configurationFile: by default `backup.yaml` in the backup directory, if it is there.
    ///   - repository: the repository to work on instead of the backup directory: a path, or a name of the configuration. By
    ///     default none, or the usual one of the configuration where the configured format is `repository`.
    ///   - patience: for how many seconds a repository's lock that somebody else holds is tried for again.
    public init(
        app: String, backupDirectory: String? = nil, configurationFile: String? = nil, repository: String? = nil,
        patience: Int = 0, run: RunContext
    ) throws {
        var places = try AppPlaces(app: app, backupDirectory: backupDirectory)
        configuration = try Self.reporting { [places] in
            try ConfigurationFile(places: places, path: configurationFile).read()
        }
        let items = Selection(items: configuration.items.value, rules: Exclusions([]))
        places.isItem = { items.decision(on: $0, kind: .directory) != .leave }
        places.configuredRepositories = configuration.repositories.value
        var place = try repository.map { [configuration] in try RepositoryPlace.named($0, in: configuration) }
        places.isRepositoryNamed = place != nil
        // Of several none is meant, until one is named.
        if place == nil, configuration.format.value == .repository { place = configuration.usual }
        let pool = ThreadPool(threads: run.threads)
        places.repository = place.map { NamedRepository($0, patience: patience, beside: pool, in: run) }
        places.nameOthers(in: run)
        self.patience = patience
        self.places = places
        self.run = run
        self.pool = pool
    }

    // MARK: Making

    /// Makes a backup. An incomplete one is made too: see ``CreateResult/skipped``.
    public func create(_ request: CreateRequest) throws -> CreateResult {
        try Self.reporting { try going(to: request.format).make(request) }
    }

    /// The manager of the repository that a backup of `format` goes to, or of the backup directory.
    private func going(to format: BackupFormat?) throws -> BackupManager {
        var manager = self
        if format == .repository, places.repository == nil {
            manager.places.repository = NamedRepository(
                try .usual(in: configuration), patience: patience, beside: pool, in: run)
        } else if let format, format != .repository, !places.isRepositoryNamed {
            manager.places.repository = nil
        }
        return manager
    }

    private func make(_ request: CreateRequest) throws -> CreateResult {
        var request = request
        // A repository is encrypted whatever is asked for; the password opens it.
        if places.repository != nil { request.encrypts = false }
        do {
            if request.encrypts, let format = request.format ?? configuration.format.value {
                // Asked for before anything is locked.
                try format.checkEncryptable()
                _ = try run.passwords.toWrite(true)
            }
            return try session.sharing("create") {
                let backups = try places.chosen(beside: try places.backups(), pool: pool, in: run)
                return try session.holding(backups, "create") {
                    try locking(.writing, "create") { try Creating(manager: self, backups: backups).make(request) }
                }
            }
        }
    }

    /// What ``create(_:)`` would save. Nothing changes.
    public func previewCreate(_ request: CreateRequest) throws -> CreateResult {
        try Self.reporting {
            try tellPending()
            let manager = try going(to: request.format)
            let directory = try places.existingBackups() ?? places.app
            let backups = try manager.places.chosen(beside: directory, pool: pool, in: run)
            return try Creating(manager: manager, backups: backups).preview(request)
        }
    }

    // MARK: Looking

    /// All backups, newest first: those that verbs work on, and beside them those in other places of the app, unless a
    /// repository was named. Takes no lock.
    public func list() throws -> BackupList {
        try Self.reporting { try Looking(places: places, pool: pool, run: run).list(with: places.others()) }
    }

    /// One backup with all that is known of it: `backup` is a name, `latest`, or a path.
    public func show(_ backup: String, withEntries: Bool) throws -> BackupDetails {
        try Self.reporting {
            try tellPending()
            let today = try selection(for: CreateRequest())
            return try Looking(places: places, pool: pool, run: run).show(
                backup, withEntries: withEntries, today: today)
        }
    }

    /// Reads backups back and compares every byte.
    public func verify(_ request: VerifyRequest) throws -> [Verification] {
        try Self.reporting {
            try tellPending()
            return try locking(.reading, "verify") {
                try Looking(places: places, pool: pool, run: run).verify(request)
            }
        }
    }

    /// What ``copy(_:)`` would make. Nothing changes.
    public func previewCopy(_ request: CopyRequest) throws -> [CopiedBackup] {
        try Self.reporting {
            try CopyRun(manager: self, request: request, repository: try target(of: request)).preview()
        }
    }

    /// Turns backups into another format, or carries them to another directory; each copy is read back.
    public func copy(_ request: CopyRequest) throws -> [CopiedBackup] {
        try Self.reporting {
            let target = try target(of: request)
            // Into the repository that is read, too.
            let isSame = target != nil && target?.state === places.repository?.state
            return try locking(isSame ? .writing : .reading, "copy") {
                let copying = CopyRun(manager: self, request: request, repository: target)
                guard let target else { return try copying.copy() }
                return try target.state.locking(.writing, for: "copy") { try copying.copy() }
            }
        }
    }

    /// The repository that copies go to; nil if they go to the backup directory.
    private func target(of request: CopyRequest) throws -> NamedRepository? {
        guard request.format == .repository else { return nil }
        let place = try request.repository.map { try RepositoryPlace.named($0, in: configuration) }
        let wanted = try place ?? .usual(in: configuration)
        if let own = places.repository, own.opening.place.isSame(as: wanted) { return own }
        return NamedRepository(wanted, patience: patience, in: run)
    }

    /// What differs between two backups, or between a backup and the app as it is.
    public func compare(_ backup: String, with other: String?) throws -> BackupDifference {
        try Self.reporting {
            try locking(.reading, "diff") {
                try BackupComparison(
                    places: places, today: try selection(for: CreateRequest()), pool: pool, run: run
                ).compare(backup, with: other)
            }
        }
    }

    // MARK: Restoring

    /// What ``restore(_:confirm:)`` would do. Nothing changes.
    public func previewRestore(_ request: RestoreRequest) throws -> RestorePlan {
        try Self.reporting {
            try tellPending()
            return try planning(request).plan()
        }
    }

    /// What ``restore(_:to:)`` would do. Nothing changes.
    public func previewRestore(_ request: RestoreRequest, to directory: String) throws -> RestorePlan {
        try Self.reporting { try RestoreToDirectory(planning: planning(request), path: directory).plan() }
    }

    /// Puts a backup back into the app, all or nothing. `confirm` sees the plan; if it says no, nothing changes.
    public func restore(
        _ request: RestoreRequest, confirm: (RestorePlan) throws -> Bool
    ) throws -> RestoreResult {
        try Self.reporting { try locking(.reading, "restore") { try restoreLocked(request, confirm: confirm) } }
    }

    private func restoreLocked(
        _ request: RestoreRequest, confirm: (RestorePlan) throws -> Bool
    ) throws -> RestoreResult {
        do {
            // Not even our own folder is made in an app to which the backup cannot be restored.
            if try places.app.status(of: RestoreFolders.name.utf8) == nil { _ = try planning(request).plan() }
            let folders = try session.exclusive("restore")
            let recovery = try RestoreTransaction.recover(folders)
            let planning = try planning(request)
            let plan = try planning.found.reading { try planning.plan() }
            var result: RestoreResult
            if plan.isEmpty {
                result = RestoreResult(ending: .nothingToDo, notKept: plan.notKept)
            } else if try !confirm(plan) {
                result = RestoreResult(ending: .declined)
            } else {
                let safety: (([EntryPath]) throws -> CreateRun.Outcome)? =
                    request.skipsSafetyBackup
                    ? nil : { try safetyBackup(touching: $0, isEncrypted: planning.found.contents.isEncrypted) }
                result = try planning.found.reading {
                    try RestoreRun(planning: planning, folders: folders, makeSafetyBackup: safety).apply(plan)
                }
            }
            if recovery.direction != .none { result.warnings.append(AppSession.told(recovery)) }
            result.take(recovery.report)
            return result
        }
    }

    /// Restores into a directory of its own, which must be missing or empty.
    public func restore(_ request: RestoreRequest, to directory: String) throws -> RestoreResult {
        try Self.reporting {
            try RestoreToDirectory.clear(directory)
            return try locking(.reading, "restore") {
                let planning = try planning(request)
                return try planning.found.reading {
                    try RestoreToDirectory(planning: planning, path: directory).apply()
                }
            }
        }
    }

    /// What ``undo(confirm:)`` would exchange. Nothing changes.
    public func previewUndo() throws -> UndoPreview {
        try Self.reporting { try UndoRun(places: places, session: session, run: run).preview() }
    }

    /// Takes the last restore back; called again, brings it again. `isLive`: also while processes have open what is replaced.
    public func undo(isLive: Bool = false, confirm: (UndoPreview) throws -> Bool) throws -> RestoreResult {
        try Self.reporting {
            try UndoRun(places: places, session: session, run: run).undo(isLive: isLive, confirm: confirm)
        }
    }

    /// What ``discardUndo(confirm:)`` would give up. Nothing changes.
    public func previewDiscard() throws -> DiscardPreview {
        try Self.reporting { try UndoRun(places: places, session: session, run: run).previewDiscard() }
    }

    /// Gives up what is kept for an undo, and the conflicts.
    public func discardUndo(confirm: (DiscardPreview) throws -> Bool) throws -> RestoreResult {
        try Self.reporting { try UndoRun(places: places, session: session, run: run).discard(confirm: confirm) }
    }

    /// Finishes or takes back what a crash interrupted.
    public func recover() throws -> RestoreResult {
        try Self.reporting { try UndoRun(places: places, session: session, run: run).recover() }
    }

    // MARK: Deleting

    /// What ``delete(_:confirm:)`` would remove. Nothing changes.
    public func previewDelete(_ backups: [String]) throws -> DeletePreview {
        try Self.reporting { try Deleting(places: places, pool: pool, run: run).preview(backups, measuring: true) }
    }

    /// Removes backups, each whole. All names are checked before the first is removed.
    public func delete(_ backups: [String], confirm: (DeletePreview) throws -> Bool) throws -> DeleteResult {
        try Self.reporting {
            try Deleting(places: places, pool: pool, run: run).delete(backups, session: session, confirm: confirm)
        }
    }

    /// What ``prune(_:confirm:)`` would remove, and why. Nothing changes.
    public func previewPrune(_ request: PruneRequest) throws -> RetentionPlan {
        try Self.reporting { try retention(request).preview() }
    }

    /// Removes what the retention policy does not keep, each backup whole. If nothing is to be removed, `confirm` is not asked.
    public func prune(_ request: PruneRequest, confirm: (RetentionPlan) throws -> Bool) throws -> PruneResult {
        try Self.reporting { try retention(request).prune(session: session, confirm: confirm) }
    }

    private func retention(_ request: PruneRequest) throws -> RetentionRun {
        try RetentionRun(
            places: places, pool: pool, run: run, request: request, configured: configuration.retention.value)
    }
}

extension BackupManager {
    /// Calls `body` with the lock of the repository that is worked on, and with those for reading of others in which a backup may be
    /// looked for. Each is taken when its repository is needed.
    private func locking<R>(_ use: RepositoryState.Use, _ verb: String, _ body: () throws -> R) throws -> R {
        guard let repository = places.repository else { return try reading(places.otherRepositories[...], verb, body) }
        return try repository.state.locking(use, for: verb) {
            try reading(places.otherRepositories[...], verb, body)
        }
    }

    private func reading<R>(
        _ repositories: ArraySlice<NamedRepository>, _ verb: String, _ body: () throws -> R
    ) throws -> R {
        guard let first = repositories.first else { return try body() }
        return try first.state.locking(.reading, for: verb) { try reading(repositories.dropFirst(), verb, body) }
    }

    /// Who only looks does not recover, but says that it is due (promise 7).
    private func tellPending() throws {
        if try RestoreFolders.isRecoveryPending(in: places.app) {
            run.report(.warning("a restore was interrupted: run 'recover'"))
        }
    }

    private func planning(_ request: RestoreRequest) throws -> RestorePlanning {
        RestorePlanning(
            places: places, found: try places.open(request.backup, pool: pool, in: run), request: request,
            today: try selection(for: CreateRequest()), pool: pool, run: run)
    }

    private func selection(for request: CreateRequest) throws -> Selection {
        try Creating.choice(configuration, request, places, run).selection
    }

    /// Promise 9: the configured items, and everything that the plan touches.
    private func safetyBackup(touching places: [EntryPath], isEncrypted: Bool) throws -> CreateRun.Outcome {
        let backups = AppBackups(try self.places.backups(), isItem: self.places.isItem, pool: pool, in: run)
        do {
            return try session.holding(backups, "restore") {
                try Creating(manager: self, backups: backups).safetyBackup(touching: places, isEncrypted: isEncrypted)
            }
        } catch let error as BackupError where error.code != .interrupted {
            throw BackupError(
                error.code, "the safety backup failed: \(error.message)",
                advice: "Nothing was restored. Mend that, or use --skip-safety-backup")
        }
    }

    private static func told(_ error: DiskError) -> BackupError {
        switch error.code {
        case .noSpace: BackupError(.noSpace, "\(error)", advice: "Free space and try again")
        case .locked: BackupError(.locked, "\(error)", advice: "Wait until that run has ended")
        case .io: BackupError(.system, "\(error)", advice: "The disk may be failing: 'dmesg' tells more")
        case .denied: BackupError(.system, "\(error)", advice: "Run as the owner or as root")
        case .readOnly: BackupError(.system, "\(error)", advice: "Remount it for writing")
        default: BackupError(.system, "\(error)")
        }
    }

    /// Turns errors of lower floors into ``BackupError``s; here only their codes and texts leave the library.
    ///
    /// `interrupted`: what is true when a run was stopped.
    static func reporting<R>(
        interrupted: String = "what was begun has been taken back", _ body: () throws -> R
    ) throws -> R {
        do {
            return try body()
        } catch let error as Stopped {
            throw BackupError(.interrupted, "interrupted; \(interrupted)", signal: error.signal)
        } catch let error as DiskError {
            throw told(error)
        } catch let error as StorageError {
            throw BackupError(error)
        } catch let error as FormatError {
            throw BackupError(error)
        } catch let error as EntryTableError {
            throw BackupError(.system, error == .full ? "there are too many entries" : "the walk came out of order")
        }
    }
}
