import Containers
import Disk
import Model

/// `create` and `auto`, and the safety backup before a restore: from a request to a finished backup.
struct Creating {
    let manager: BackupManager
    let backups: AppBackups

    private var run: RunContext { manager.run }
    private var createRun: CreateRun {
        CreateRun(places: manager.places, backups: backups, pool: manager.pool, run: run)
    }

    func make(_ request: CreateRequest) throws -> CreateResult {
        var order = try order(request)
        if order.format == .zip { order.password = try run.passwords.toWrite(request.encrypts) }
        let outcome = try createRun.make(order)
        var findings: [Finding] = []
        var backup = outcome.backup
        if request.verifies {
            findings = try readBack(backup)
            if !findings.contains(where: { $0.severity == .damage }) { backup.state = .verified(run.clock.wall()) }
        }
        return CreateResult(
            backup: backup, skipped: outcome.details.skipped, absentItems: outcome.absentItems,
            uncovered: outcome.uncovered, sharedFiles: outcome.details.sharedFiles,
            bytesWritten: outcome.details.bytesWritten, findings: findings)
    }

    private func readBack(_ backup: Backup) throws -> [Finding] {
        do {
            let contents = try backups.container(for: backup.format).contents(of: backup.name)
            let verified = try contents.verify(percent: 100, choice: 0, pool: manager.pool, in: run)
            if let seal = contents.seal {
                let file = backup.format.fileName(of: backup.name)
                backups.place.remember(verified, of: file, seal: seal, percent: 100)
            }
            return verified.findings
        } catch let error as Stopped {
            throw BackupError(
                .interrupted, "interrupted; '\(backup.name)' is made and on the disk, but was not read back",
                signal: error.signal)
        }
    }

    func preview(_ request: CreateRequest) throws -> CreateResult {
        let order = try order(request)
        let preview = try createRun.preview(order)
        var backup = Backup(
            name: preview.name, format: try format(request), origin: .ours, time: run.now(), trigger: request.trigger,
            entries: preview.plan.table.count - 1, bytes: 0)
        backup.items = preview.items
        backup.excludedItems = order.rules.map(\.description)
        let (plan, table) = (preview.plan, preview.plan.table)
        backup.bytes = (0..<table.count).lazy.map { table[$0].size }.saturatingSum()
        let read = (0..<table.count).lazy.filter { plan.content(of: $0) == .file }
        let toWrite = read.map { table[$0].size }.saturatingSum()
        return CreateResult(
            backup: backup, skipped: preview.plan.skipped, absentItems: preview.absent, uncovered: preview.uncovered,
            sharedFiles: preview.plan.sharedFiles, bytesWritten: toWrite, findings: [])
    }

    /// A place that today's selection does not cover is an item of its own: nothing that is displaced is missing.
    /// `isEncrypted`: what is restored is, and what it brought before must not lie readable beside it.
    func safetyBackup(touching places: [EntryPath], isEncrypted: Bool) throws -> CreateRun.Outcome {
        let choice = try Self.choice(manager.configuration, CreateRequest(), manager.places, run)
        var items = choice.items
        for place in places where choice.selection.decision(on: place, kind: .file) != .take {
            items.append(ItemPattern(place, origin: "restore"))
        }
        var order = CreateRun.Order(
            selection: Selection(items: items, rules: Exclusions(choice.rules)), items: items, rules: choice.rules,
            name: nil, format: isEncrypted ? .zip : try format(nil), prefix: .preRestore, trigger: .preRestore,
            tags: [], isFull: false)
        order.fullReadDays = manager.configuration.fullReadDays.value
        order.rawDatabases = manager.configuration.rawDatabases.value
        if order.format == .zip { order.password = try run.passwords.known() }
        return try createRun.make(order)
    }

    private func order(_ request: CreateRequest) throws -> CreateRun.Order {
        let choice = try Self.choice(manager.configuration, request, manager.places, run)
        let format = try format(request)
        if request.compression != nil, format != .repository {
            throw BackupError(.usage, "--compression is for repositories", advice: "Leave it out")
        }
        var order = CreateRun.Order(
            selection: choice.selection, items: choice.items, rules: choice.rules, name: request.name,
            format: format, prefix: request.trigger == .auto ? .auto : .chastipi, trigger: request.trigger,
            tags: choice.tags,
            isFull: request.isFull, fullReadDays: manager.configuration.fullReadDays.value,
            rawDatabases: manager.configuration.rawDatabases.value)
        order.compression = request.compression ?? .auto
        return order
    }

    /// What is asked for, else what is configured, else what the backup directory can hold. Throws if that cannot be
    /// encrypted and should be.
    private func format(_ request: CreateRequest?) throws -> BackupFormat {
        let format = try plainFormat(request)
        if let request, request.encrypts { try format.checkEncryptable() }
        return format
    }

    private func plainFormat(_ request: CreateRequest?) throws -> BackupFormat {
        if backups.repository != nil {
            guard let asked = request?.format, asked != .repository else { return .repository }
            throw BackupError(
                .usage, "a \(asked) does not go into a repository", advice: "Leave --format or --repository out")
        }
        if let asked = request?.format ?? manager.configuration.format.value {
            if asked != .repository { return asked }
            // A safety backup is made here, where it is at hand.
            if request != nil { throw BackupError(.usage, "which repository?", advice: "Name it with --repository R") }
        }
        guard let kind = try FileSystemTraits(of: backups.place.directory).withoutAttributes else { return .folder }
        run.report(.note("the backup directory is on \(kind), which keeps no owners, modes and links: a zip is made"))
        return .zip
    }

    /// What the configuration, the app's `.backupignore` and the request select together.
    static func choice(
        _ configuration: Configuration, _ request: CreateRequest, _ places: AppPlaces, _ run: RunContext
    ) throws -> Configuration.Choice {
        let ignored = try ignoreFile(of: places)
        for problem in ignored?.problems ?? [] { run.report(.warning("\(problem)")) }
        return try configuration.choice(for: request, ignoreFile: ignored)
    }

    /// The app's `.backupignore`; nil if there is none.
    static func ignoreFile(of places: AppPlaces) throws -> ExclusionFile? {
        let name = ".backupignore"
        guard try places.app.status(of: name.utf8)?.kind == .file else { return nil }
        return Exclusions.parse(file: try places.app.readFile(name.utf8, limit: 1 << 20), origin: name)
    }
}

extension BackupFormat {
    func checkEncryptable() throws(BackupError) {
        guard self == .zip else {
            throw BackupError(
                .usage, "a folder is not encrypted, only a zip can be", advice: "Leave the password out, or make a zip")
        }
    }
}
