import Containers
import Disk
import Model
import ResticFormat
import Workers

/// `copy`: writes what one backup holds as another, with its name, its time and all that is recorded of it.
struct CopyRun {
    let manager: BackupManager
    let request: CopyRequest
    /// Where the copies go, if not to the backup directory.
    var repository: NamedRepository?

    private var run: RunContext { manager.run }
    private var places: AppPlaces { manager.places }

    func preview() throws -> [CopiedBackup] {
        if request.encrypts { try request.format.checkEncryptable() }
        // Where there is no backup directory yet, every name is free.
        let target = try target(try places.existingBackups() ?? places.app)
        var taken: Set<BackupName> = []
        return try request.backups.map { text in
            let found = try open(text)
            let name = try freeName(for: found, in: target, besides: taken)
            taken.insert(name)
            let notHeld = notHeld(found.contents)
            let backup = Backup(
                name: name, format: request.format, origin: .ours, time: found.contents.metadata.time,
                entries: found.contents.table.count - 1 - notHeld.count)
            return CopiedBackup(source: text, backup: backup, bytesWritten: 0, notHeld: notHeld)
        }
    }

    func copy() throws -> [CopiedBackup] {
        // Before the lock makes anything: a name that does not exist must change nothing.
        _ = try preview()
        if request.encrypts { _ = try run.passwords.toWrite(true) }
        let target = try target(try places.backups())
        return try manager.session.holding(target, "copy") {
            var done: [CopiedBackup] = []
            for text in request.backups {
                do {
                    try run.stop.check()
                    done.append(try copy(text, to: target))
                } catch {
                    throw told(error, text, done)
                }
            }
            return done
        }
    }

    private func target(_ directory: Directory) throws -> AppBackups {
        guard request.name == nil || request.backups.count == 1 else {
            throw BackupError(.usage, "--name can only be given for one backup")
        }
        guard let repository else {
            return AppBackups(directory, isItem: places.isItem, pool: manager.pool, in: run)
        }
        let container = try repository.container(places, pool: manager.pool, in: run)
        return AppBackups(container, beside: directory, pool: manager.pool, in: run)
    }

    /// With `--backup-dir DIR` backups are carried to DIR: from the app's own place, unless it does not have them.
    private func open(_ text: String) throws -> FoundBackup {
        guard !places.isDefault else { return try places.open(text, pool: manager.pool, in: run) }
        var own = try AppPlaces(app: places.appPath, backupDirectory: nil)
        own.isItem = places.isItem
        (own.repository, own.isRepositoryNamed) = (places.repository, places.isRepositoryNamed)
        (own.configuredRepositories, own.otherRepositories) = (places.configuredRepositories, places.otherRepositories)
        do {
            return try own.open(text, pool: manager.pool, in: run)
        } catch let error as BackupError where error.code == .notFound {
            return try places.open(text, pool: manager.pool, in: run)
        }
    }

    private func freeName(
        for found: FoundBackup, in target: AppBackups, besides taken: Set<BackupName> = []
    ) throws -> BackupName {
        if let name = request.name {
            try target.checkFree(name)
            return name
        }
        let name: BackupName
        do throws(BackupNameError) {
            name = try BackupName(found.name)
        } catch {
            throw BackupError(.usage, "'\(found.name)' is no name for a backup: \(error)", advice: "Choose a --name")
        }
        return try name.firstFree { try taken.contains($0) || target.isTaken($0) }
    }

    private func copy(_ text: String, to target: AppBackups) throws -> CopiedBackup {
        let found = try open(text)
        if found.contents.isEncrypted, request.format == .folder {
            run.report(.warning("'\(found.name)' is encrypted, its copy is not"))
        }
        if found.contents is RepositoryContents, request.format == .zip, !request.encrypts {
            run.report(.warning("the zip is not encrypted; --encrypt does that"))
        }
        return try found.reading {
            let created = try write(found, to: target)
            try prove(created.backup, in: target)
            return CopiedBackup(
                source: text, backup: created.backup, bytesWritten: created.metadata.details?.bytesWritten ?? 0,
                notHeld: notHeld(found.contents))
        }
    }

    private func write(_ found: FoundBackup, to target: AppBackups) throws -> CreatedBackup {
        let new = try new(found, in: target)
        if let snapshot = found.contents as? RepositoryContents, let repository = target.repository {
            return try repository.copy(snapshot, as: new.name)
        }
        return try target.container(for: request.format).write(
            try plan(found, target), as: new, recording: recording(found.contents))
    }

    private func plan(_ found: FoundBackup, _ target: AppBackups) throws -> SourcePlan {
        let contents = found.contents
        var table = contents.table
        if !found.isTrusted && !request.trusts { try distrust(&table, contents) }
        let denied = denied(contents)
        let parent = request.format == .folder ? try newest(in: target.folders) : nil
        return SourcePlan(
            copying: contents, taking: table, leaving: Set(denied.map(\.index)),
            skipped: (contents.metadata.details?.skipped ?? []) + denied.map(\.skipped), parent: parent,
            reading: run.clock.wall())
    }

    /// What the format of the copy does not hold.
    private func denied(_ contents: any BackupContents) -> [(index: Int, skipped: Skipped)] {
        let table = contents.table
        return (0..<table.count).compactMap { index in
            request.format.denial(of: index, in: table).map {
                (index, Skipped(path: table.path(of: index), reason: $0))
            }
        }
    }

    private func notHeld(_ contents: any BackupContents) -> [Skipped] { denied(contents).map(\.skipped) }

    /// A copy lies among our backups, and is trusted there: nothing that a restore would not take over may come into it.
    private func distrust(_ table: inout EntryTable, _ contents: any BackupContents) throws {
        if let objection = contents.objections.first {
            throw BackupError(
                .refused, "'\(contents.name)' is not copied: \(objection)",
                advice: "Nothing was changed. If you trust whoever made it: --trust")
        }
        let owner = try places.app.status().owner
        let wanted = WantedAttributes(table, owner: owner)
        var changed = 0
        for index in 0..<table.count {
            let attributes = wanted.attributes(of: index)
            let before = table.attributes(of: index)
            guard attributes != before else { continue }
            changed += 1
            (table[index].mode, table[index].user, table[index].group) = (
                attributes.mode, attributes.user, attributes.group
            )
            table.setExtended(attributes.extended, of: index)
        }
        if changed > 0, contents.isRecorded {
            run.report(
                .warning(
                    "owners and set-id bits of '\(contents.name)' are not taken over: it comes from elsewhere (--trust)"
                ))
        }
    }

    /// Copies of one app's backups share what has not changed between them, as the backups did.
    private func newest(in folders: AppBackups.Folders) throws -> SourcePlan.ParentReading? {
        let candidates = try folders.backups().backups.filter { backup in
            if case .damaged = backup.state { return false }
            return backup.origin == .ours
        }
        guard let newest = candidates.max(by: { $0.isOlder(than: $1) }) else { return nil }
        let folder = try folders.folder(newest.name)
        return folder.manifest.map { manifest in
            .init(
                name: newest.name, manifest.table, in: .folder(folder.directory, held: manifest.held), evidence: nil)
        }
    }

    private func new(_ found: FoundBackup, in target: AppBackups) throws -> NewBackup {
        let metadata = found.contents.metadata
        guard LocalTime(rfc3339: metadata.time.rfc3339) != nil else {
            throw BackupError(
                .refused, "'\(found.name)' has a time that no backup can have", advice: "Give it another with 'touch'")
        }
        var new = NewBackup(
            name: try freeName(for: found, in: target), time: metadata.time,
            trigger: metadata.details?.trigger ?? .manual, tags: metadata.details?.tags ?? [], isFull: true)
        // A password that was given for a repository is not one that was chosen for a zip.
        if request.format == .zip, request.encrypts || !(found.contents is RepositoryContents) {
            new.password = try run.passwords.toWrite(request.encrypts)
        }
        return new
    }

    /// What was recorded stays so; of a backup of the original tool there is little.
    private func recording(_ contents: any BackupContents) -> Recording {
        let metadata = contents.metadata
        var details = metadata.details ?? BackupMetadata.Details()
        details.isEncrypted = false
        if metadata.details == nil {
            details.host = HostName.current
            details.toolVersion = ToolVersion.text
            details.rules = metadata.excludedItems.compactMap { pattern in
                // A rule that we cannot read can only have protected more.
                do { return try ExclusionRule(pattern, origin: "the original backup") } catch { return nil }
            }.map { .init(pattern: $0.pattern, origin: $0.origin) }
        }
        return Recording(items: metadata.items, excludedItems: metadata.excludedItems, details: details)
    }

    /// A copy counts when every byte of it is right; until then it is none.
    private func prove(_ backup: Backup, in target: AppBackups) throws {
        do {
            try verify(backup, in: target)
        } catch {
            try target.remove(backup)
            throw error
        }
    }

    private func verify(_ backup: Backup, in target: AppBackups) throws {
        let contents = try target.container(for: backup.format).contents(of: backup.name)
        let verified = try contents.verify(percent: 100, choice: 0, pool: manager.pool, in: run)
        if let seal = contents.seal {
            target.place.remember(verified, of: backup.format.fileName(of: backup.name), seal: seal, percent: 100)
        }
        guard let damage = verified.findings.first(where: { $0.severity == .damage }) else { return }
        throw BackupError(
            .damaged,
            "the copy '\(backup.name)' was not what it should be, and is removed: \(damage.subject): \(damage.message)",
            advice: "The disk or the memory of this computer may be failing")
    }

    /// Which were done must be known also when one was not.
    private func told(_ error: any Error, _ text: String, _ done: [CopiedBackup]) -> any Error {
        guard !done.isEmpty else { return error }
        let names = done.map(\.source).joined(separator: ", ")
        if let stopped = error as? Stopped {
            return BackupError(.interrupted, "interrupted; copied so far: \(names)", signal: stopped.signal)
        }
        let code = (error as? BackupError)?.code ?? .system
        return BackupError(code, "'\(printable(text.utf8))' was not copied: \(error); copied before it: \(names)")
    }
}
