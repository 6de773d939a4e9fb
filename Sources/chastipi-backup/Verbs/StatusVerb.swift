import ArgumentParser
import ChastiPiBackup
import Model

struct StatusVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "status", abstract: "Tell how the app stands with its backups, and what none of them covers.",
        discussion: """
            Changes nothing. With --max-age the exit status is 4 if the newest complete backup is older than that, if there \
            is none, or if it is from the future.
            """)

    @Option(
        help: ArgumentHelp("How old the newest complete backup may be, such as 26h, 90m, 7d or 2w.", valueName: "age"))
    var maxAge: String?

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var most: Age?
        if let maxAge {
            do throws(AgeError) {
                most = try Age(maxAge)
            } catch {
                throw BackupError(.usage, "--max-age: \(error)")
            }
        }
        let status = try session.manager().status(maxAge: most)
        session.print(
            .command("status", members(status)), text: { text(status, session) })
        if status.isRecoveryPending { session.warn("a restore was interrupted: run 'recover'") }
        guard status.isTooOld, let maxAge else { return ExitStatus.done }
        session.insist([
            status.newest.map { "too old: \($0.name) is not from the last \(maxAge); run 'create'" }
                ?? "too old: there is no complete backup; run 'create'"
        ])
        return ExitStatus.tooOld
    }

    private func text(_ status: Status, _ session: Session) -> [String] {
        var table = TextTable()
        table.add(["newest:", newest(status)])
        table.add(["backups:", backups(status)])
        if let growth = status.growth {
            table.add(["growth:", "\(ByteCount(growth.bytes)) a backup, by the last \(growth.backups)"])
        }
        table.add(["free:", free(status)])
        table.add([
            "verified:",
            status.verified.map { "\($0.backup), \($0.time.readable)" } ?? "none of them; 'verify' reads them back",
        ])
        if status.mostSharing > 1 {
            let count = counted(status.mostSharing, "backup")
            table.add(["sharing:", "one stored copy serves up to \(count); 'create --full' makes a fresh one"])
        }
        if let isSameDisk = status.isSameDisk {
            let other = "another one than the app's"
            let same = "the same as the app's: if it breaks, both are gone; 'copy' takes backups to another"
            table.add(["disk:", isSameDisk ? same : other])
        }
        if let kept = status.kept {
            table.add([
                "undo:", "keeps \(ByteCount(kept.bytes)) since \(kept.since.readable); 'undo --discard' gives it up",
            ])
        }
        for leftover in status.leftovers {
            let bytes = ByteCount(leftover.bytes)
            table.add(["leftover:", "\(leftover.name) (\(bytes)), which the next 'create' removes unless it is in use"])
        }
        for foreign in status.foreign { table.add(["not ours:", foreign]) }
        addCoverage(status.coverage, to: &table)
        return table.lines
    }

    private func newest(_ status: Status) -> String {
        guard let newest = status.newest, let age = status.age else { return "no complete backup; 'create' makes one" }
        let when = age.seconds < 0 ? "\(age) in the future" : "\(age) ago"
        return "\(newest.name), \(newest.time.readable), \(when), \(newest.stateText)"
    }

    private func backups(_ status: Status) -> String {
        let kinds: [(count: Int, what: String)] = [
            (status.damaged, "damaged"), (status.backups.count { $0.isIncomplete }, "incomplete"),
            (status.backups.count { $0.trigger == .preRestore }, "before a restore"),
        ]
        let named = kinds.filter { $0.count > 0 }.map { "\($0.count) \($0.what)" }.joined(separator: ", ")
        return
            "\(status.backups.count)\(named.isEmpty ? "" : " (\(named))"), together \(ByteCount(status.bytesTogether))"
    }

    private func free(_ status: Status) -> String {
        guard let fit = status.backupsThatFit else { return "\(ByteCount(status.freeBytes))" }
        let room = fit > 1000 ? "more than 1000" : "about \(fit)"
        return "\(ByteCount(status.freeBytes)), room for \(room) more backups"
    }

    private func addCoverage(_ coverage: Coverage, to table: inout TextTable) {
        for entry in coverage.uncovered {
            table.add(["not covered:", "\(entry.path) (\(ByteCount(entry.bytes))), by no item; 'items' in backup.yaml"])
        }
        for link in coverage.links where link.leadsOut {
            table.add(["not covered:", "what \(link.path) points to: it is a link to \(link.target), out of the app"])
        }
        for path in coverage.notSavedYet { table.add(["not saved yet:", "\(path) is not in the newest backup"]) }
        for item in coverage.absentItems { table.add(["missing:", "the app has no '\(printable(item.utf8))'"]) }
        for entry in coverage.excluded {
            table.add(["excluded:", "\(entry.path), by '\(entry.rule)' (\(entry.origin))"])
        }
    }

    private func members(_ status: Status) -> [(String, JSONOutput)] {
        [
            ("newest", status.newest?.json ?? .null),
            ("age_seconds", status.age.map { .number($0.seconds) } ?? .null), ("too_old", .bool(status.isTooOld)),
            ("backups", .number(Int64(status.backups.count))), ("damaged", .number(Int64(status.damaged))),
            ("incomplete", .number(Int64(status.backups.count { $0.isIncomplete }))),
            ("foreign", .array(status.foreign.map { .string($0) })),
            ("bytes_together", .unsigned(status.bytesTogether)),
            ("bytes_per_backup", .optional(status.growth?.bytes)), ("free_bytes", .unsigned(status.freeBytes)),
            ("free_entries", .optional(status.freeEntries)), ("backups_that_fit", .optional(status.backupsThatFit)),
            (
                "verified",
                status.verified.map {
                    .object([("backup", .string($0.backup.text)), ("time", .time($0.time))])
                } ?? .null
            ),
            ("backups_sharing_one_copy", .number(Int64(status.mostSharing))),
            ("same_disk", status.isSameDisk.map { .bool($0) } ?? .null),
            (
                "undo_keeps",
                status.kept.map { .object([("bytes", .unsigned($0.bytes)), ("since", .time($0.since))]) } ?? .null
            ),
            (
                "leftovers",
                .array(
                    status.leftovers.map { .object([("name", .string($0.name)), ("bytes", .unsigned($0.bytes))]) })
            ),
            ("recovery_pending", .bool(status.isRecoveryPending)),
        ] + members(status.coverage)
    }

    private func members(_ coverage: Coverage) -> [(String, JSONOutput)] {
        let excluded = coverage.excluded.map { entry in
            JSONOutput.object(
                JSONOutput.members(of: entry.path) + [
                    ("rule", .string(entry.rule)), ("origin", .string(entry.origin)),
                ])
        }
        let links = coverage.links.map { link in
            JSONOutput.object(
                JSONOutput.members(of: link.path) + [
                    ("target", .string(link.target)), ("leads_out", .bool(link.leadsOut)),
                ])
        }
        return [
            ("not_covered", JSONOutput.uncovered(coverage.uncovered)), ("excluded", .array(excluded)),
            ("linked_items", .array(links)),
            ("not_saved_yet", .array(coverage.notSavedYet.map { .object(JSONOutput.members(of: $0)) })),
            ("missing_items", .array(coverage.absentItems.map { .string($0) })),
        ]
    }
}

extension Status {
    fileprivate var damaged: Int {
        backups.count { if case .damaged = $0.state { true } else { false } }
    }
}
