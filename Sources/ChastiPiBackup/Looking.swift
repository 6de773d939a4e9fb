import Containers
import Disk
import LiveSQLite
import Model
import Workers

/// The verbs that only read: list, show, verify. They take no lock and work on a read-only medium.
struct Looking {
    let places: AppPlaces
    let pool: ThreadPool
    let run: RunContext

    /// `others`: more places whose backups are listed. One that cannot be reached is told, and does not hide the rest.
    func list(with others: [AppPlaces] = []) throws -> BackupList {
        var (listing, together) = try list(places)
        for other in others {
            do {
                let (more, bytes) = try list(other)
                listing.backups += more.backups
                listing.foreign += more.foreign
                together.add(saturating: bytes)
            } catch let error as BackupError where error.code != .interrupted {
                run.report(.warning("the backups in \(other.shown) are not listed: \(error.message)"))
            }
        }
        return BackupList(
            backups: listing.backups.sorted { $1.isOlder(than: $0) },
            foreign: listing.foreign.sorted { $0.name < $1.name }, bytesTogether: together,
            isRecoveryPending: try RestoreFolders.isRecoveryPending(in: places.app))
    }

    private func list(_ places: AppPlaces) throws -> (BackupListing, bytes: UInt64) {
        guard let backups = try places.existing(pool: pool, in: run) else { return (BackupListing(), 0) }
        var listing = try backups.backups()
        let bytes = try backups.measure(&listing.backups)
        listing.backups += try backups.repository?.unreadable().map(\.backup) ?? []
        if let place = places.repository?.opening.place {
            for index in listing.backups.indices { listing.backups[index].repository = place.name ?? place.shownPath }
        }
        return (listing, bytes)
    }

    func show(_ text: String, withEntries: Bool, today: Selection) throws -> BackupDetails {
        let found = try places.open(text, pool: pool, in: run)
        let contents = found.contents
        let table = contents.table
        var tops: [(path: EntryPath, entries: Int, bytes: UInt64)] = []
        for top in table.children(of: 0) {
            let end = table.endOfSubtree(at: top)
            tops.append((table.path(of: top), end - top, (top..<end).lazy.map { table[$0].size }.saturatingSum()))
        }
        let entries = (1..<max(1, table.count)).map { index in
            BackupDetails.Entry(
                path: table.path(of: index), kind: table[index].kind, bytes: table[index].size,
                modified: table[index].modified, mode: table[index].mode)
        }
        return BackupDetails(
            backup: try summary(of: found), metadata: contents.metadata.readable,
            skipped: contents.metadata.details?.skipped ?? [], contents: tops, entries: withEntries ? entries : [],
            uncovered: try uncovered(today),
            databases: (contents.metadata.details?.databases ?? []).map { stored in
                .init(
                    path: stored.path, pages: stored.pages, pageSize: stored.pageSize,
                    journalMode: printable(stored.journalMode.utf8), copied: stored.way.rawValue)
            })
    }

    private func uncovered(_ today: Selection) throws -> [Uncovered] {
        try UncoveredSearch(Coverage.table(of: places, today), today, app: places.app).run()
    }

    /// What a listing knows of the backup, or what its content tells where it lies elsewhere.
    private func summary(of found: FoundBackup) throws -> Backup {
        if let listed = try places.existing(pool: pool, in: run)?.backups().backups
            .first(where: {
                $0.name.text == found.name && $0.format == found.contents.format && $0.seal == found.contents.seal
            })
        {
            var listed = listed
            // The listing knows no names of what is encrypted.
            if found.contents.isEncrypted { listed.take(found.contents.metadata) }
            return listed
        }
        let metadata = found.contents.metadata
        let table = found.contents.table
        let name: BackupName
        do throws(BackupNameError) { name = try BackupName(found.name) } catch { name = .unnamed }
        var backup = Backup(
            name: name, format: found.contents.format, origin: metadata.isOfOriginal ? .original : .ours,
            time: metadata.time, seal: found.contents.seal)
        backup.take(metadata)
        backup.entries = table.count - 1
        backup.bytes = (0..<table.count).lazy.map { table[$0].size }.saturatingSum()
        return backup
    }

    // MARK: Verify

    func verify(_ request: VerifyRequest) throws -> [Verification] {
        guard request.percent > 0, request.percent <= 100 else {
            throw BackupError(.usage, "--sample takes more than 0 and at most 100 percent")
        }
        if request.all {
            let unreadable = try verificationsOfUnreadable()
            let others = try list().backups.filter { backup in
                !unreadable.contains { $0.backup.seal == backup.seal && backup.seal != nil }
            }
            return try others.compactMap { try verify($0, request) } + unreadable
        }
        let names = request.backups.isEmpty ? ["latest"] : request.backups
        // One that does not exist is told before others are read, which takes long.
        for name in names where !name.contains("/") { try checkThere(name) }
        let verifications = try names.map { name in
            guard names.count > 1 else { return try verify(name, request) }
            return try unlessItCannotBeRead(try listed(name)) { try verify(name, request) }
        }
        // One of them may be the latest.
        return names.contains("latest") ? verifications + (try verificationsOfUnreadable()) : verifications
    }

    /// Backups of the repository of which nothing can be read.
    private func verificationsOfUnreadable() throws -> [Verification] {
        try (places.existing(pool: pool, in: run)?.repository?.unreadable() ?? []).map { backup, finding in
            Verification(backup: backup, findings: [finding], files: 0, bytes: 0)
        }
    }

    private func checkThere(_ name: String) throws {
        if try places.placeOf(name, pool: pool, in: run) == nil { throw BackupError.noBackup(name) }
    }

    /// Nil if it was deleted since it was listed.
    private func verify(_ backup: Backup, _ request: VerifyRequest) throws -> Verification? {
        let verification = try unlessItCannotBeRead(backup) {
            // A folder and a zip may share a name.
            try verify("\(backup.format.rawValue):\(backup.name)", request)
        }
        return verification.failure?.code == .notFound ? nil : verification
    }

    /// The others are verified all the same.
    private func unlessItCannotBeRead(_ backup: Backup, _ body: () throws -> Verification) throws -> Verification {
        do {
            return try body()
        } catch let error as BackupError where [.wrongPassword, .notFound, .refused].contains(error.code) {
            return Verification(backup: backup, findings: [], files: 0, bytes: 0, failure: (error.code, error.message))
        }
    }

    private func verify(_ text: String, _ request: VerifyRequest) throws -> Verification {
        let percent = request.percent
        let found: FoundBackup
        do {
            found = try places.open(text, pool: pool, in: run)
        } catch let error as BackupError where error.code == .damaged {
            // That it cannot be opened is what the verification found.
            return Verification(
                backup: try listed(text), findings: [Finding(.damage, printable(text.utf8), error.whatIsDamaged)],
                files: 0,
                bytes: 0)
        }
        let choice = run.random(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        let verified = try found.reading {
            try found.contents.verify(percent: percent, choice: choice, pool: pool, in: run)
        }
        if verified.findings.contains(where: { $0.severity == .damage }) { try found.checkThere() }
        let backup = try summary(of: found)
        if found.isTrusted, let seal = backup.seal, let directory = try places.existingBackups() {
            let file = backup.format.fileName(of: backup.name)
            BackupDirectory(directory, in: run).remember(verified, of: file, seal: seal, percent: percent)
        }
        var findings = verified.findings
        if let scratch = request.databaseScratch { findings += try checkDatabases(of: found, scratch) }
        return Verification(backup: backup, findings: findings, files: verified.files, bytes: verified.bytes)
    }

    /// Each database is opened from a copy, since SQLite writes beside what it opens.
    private func checkDatabases(of found: FoundBackup, _ path: String) throws -> [Finding] {
        let databases = found.contents.metadata.details?.databases ?? []
        guard !databases.isEmpty else { return [] }
        var scratch = try PartialDirectory(
            "verify", token: run.randomHex(bytes: 4), in: try Directory(path: path))
        do {
            let check = DatabaseCheck(scratch: scratch.directory, in: run)
            var findings: [Finding] = []
            let (table, reader) = (found.contents.table, found.contents.makeReader(stop: run.stop))
            for stored in databases where table.index(of: stored.path) != nil {
                try run.stop.check()
                // One that was saved as it was may have been damaged then: the backup is not to blame.
                let severity: Finding.Severity = stored.way == .raw ? .note : .damage
                let verdict = try check.verdict { suffix, target in
                    let path = EntryPath(unchecked: stored.path.bytes + Array(suffix.utf8))
                    guard let index = table.index(of: path), table[index].kind == .file else { return false }
                    try reader.copy(index, to: &target)
                    return true
                }
                findings += verdict.damage.map {
                    Finding(severity, stored.path.description, "the database fails its check: \($0)")
                }
                findings += verdict.notes.map { Finding(.note, stored.path.description, "in the database: \($0)") }
            }
            scratch.discard()
            return findings
        } catch {
            scratch.discard()
            throw error
        }
    }

    private func listed(_ text: String) throws -> Backup {
        let listed = try list().backups.first { $0.name.text == text }
        let name: BackupName
        do throws(BackupNameError) { name = try BackupName(text.split(separator: "/").last ?? "") } catch {
            name = .unnamed
        }
        return listed ?? Backup(name: name, format: .folder, origin: .ours, time: run.now())
    }
}

/// `delete`.
struct Deleting {
    let places: AppPlaces
    let pool: ThreadPool
    let run: RunContext

    /// `measuring`: what is freed is found out even where that takes long.
    func preview(_ backups: [String], measuring: Bool = false) throws -> DeletePreview {
        let repository = try places.existing(pool: pool, in: run)?.repository
        for text in backups {
            if try repository?.unreadable(text) != nil { continue }
            guard let place = try places.placeOf(text, pool: pool, in: run) else { throw BackupError.noBackup(text) }
            if places.isWorked(on: place) { continue }
            let name = place.repository.map { $0.opening.place.name ?? $0.opening.place.shownPath }
            throw BackupError(
                .notFound,
                "the backup '\(printable(text.utf8))' is in \(place.shown), and nothing is deleted there unasked",
                advice: name.map { "Say it with --repository \($0)" } ?? "")
        }
        guard let local = try places.existing(pool: pool, in: run) else {
            throw BackupError.noBackup(backups.first ?? "")
        }
        var listed = try local.backups().backups
        _ = try local.measure(&listed)
        var chosen: [Backup] = []
        for text in backups {
            if let damaged = try local.repository?.unreadable(text) {
                if !chosen.contains(where: { $0.seal == damaged.seal }) { chosen.append(damaged) }
                continue
            }
            let (name, container) = try local.find(text)
            func isWanted(_ backup: Backup) -> Bool { backup.name == name && backup.format == container.format }
            guard let backup = listed.first(where: isWanted) else { throw BackupError.noBackup(text) }
            if !chosen.contains(where: isWanted) { chosen.append(backup) }
        }
        return DeletePreview(
            backups: chosen, bytesFreed: try local.bytesFreed(byRemoving: chosen, measured: measuring))
    }

    func delete(
        _ backups: [String], session: AppSession, confirm: (DeletePreview) throws -> Bool
    ) throws -> DeleteResult {
        // Before the lock makes anything: a name that does not exist must change nothing.
        _ = try preview(backups)
        let local = try places.chosen(beside: try places.backups(), pool: pool, in: run)
        return try session.holding(local, "delete") {
            let preview = try preview(backups)
            guard try confirm(preview) else { return DeleteResult(deleted: [], wasDeclined: true) }
            let deleted = try remove(preview.backups, from: local, for: "delete")
            return DeleteResult(deleted: deleted, wasDeclined: false)
        }
    }

    /// One after the other; the backup directory's lock is held.
    func remove(_ backups: [Backup], from local: AppBackups, for verb: String) throws -> [BackupName] {
        guard let repository = local.repository else { return try remove(backups, from: local) }
        return try repository.state.locking(.removing, for: verb) { try remove(backups, from: local) }
    }

    private func remove(_ backups: [Backup], from local: AppBackups) throws -> [BackupName] {
        var deleted: [BackupName] = []
        for backup in backups {
            do {
                try run.stop.check()
                try local.remove(backup)
                deleted.append(backup.name)
            } catch {
                throw told(error, backup.name, deleted)
            }
        }
        guard !deleted.isEmpty else { return deleted }
        do {
            try local.reclaim()
        } catch {
            throw notFreed(error, deleted)
        }
        return deleted
    }

    /// That the backups are gone must be known also where their space was not freed.
    private func notFreed(_ error: any Error, _ deleted: [BackupName]) -> any Error {
        let done = "deleted: \(deleted.map(\.text).joined(separator: ", ")); space was not freed"
        if let stopped = error as? Stopped {
            return BackupError(
                .interrupted, "interrupted; \(done)", advice: "'repository prune' frees it", signal: stopped.signal)
        }
        guard let known = error as? BackupError else { return BackupError(.system, "\(done): \(error)") }
        let advice = known.advice.isEmpty ? "'repository prune' frees it" : known.advice
        return BackupError(known.code, "\(done): \(known.message)", advice: advice, signal: known.signal)
    }

    /// Which were done must be known also when one was not.
    private func told(_ error: any Error, _ name: BackupName, _ deleted: [BackupName]) -> any Error {
        guard !deleted.isEmpty else { return error }
        let done = deleted.map(\.text).joined(separator: ", ")
        if let stopped = error as? Stopped {
            return BackupError(.interrupted, "interrupted; deleted so far: \(done)", signal: stopped.signal)
        }
        return BackupError(.system, "'\(name)' was not deleted: \(error); deleted before it: \(done)")
    }
}
