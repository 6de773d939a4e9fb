import Containers
import Disk
import Model

/// Which entries of a plan can be databases: told by size and companions, so that few headers need be read.
package struct DatabaseCandidates {
    /// One file that can be a database, under all the names that the plan has for it: SQLite's locks and logs are one for
    /// the file, so whoever copies it does so once.
    struct Candidate: Sendable {
        /// Entries of the plan. The first is the name with the logs, if one has them: the app opens it by that.
        var names: [Int]
        /// Two programs use the file by different names, so that neither sees the other's log.
        var hasLogsAtSeveralNames = false
    }

    package var isEmpty: Bool { all.isEmpty }
    /// In two rounds, one after the other: first all that are no companion by name. One that is may be opened as such in
    /// the first round, and whoever closes a file takes SQLite's locks on it from this process.
    var rounds: [[Candidate]] {
        let isCompanion = { (candidate: Candidate) in
            candidate.names.contains { databasesNamedAsCompanions.contains($0) }
        }
        return [all.filter { !isCompanion($0) }, all.filter(isCompanion)]
    }
    /// Databases whose names are those of companions, such as `travel-journal`.
    private(set) var databasesNamedAsCompanions: Set<Int> = []
    private var all: [Candidate] = []

    /// Sets apart in `plan` what is shared with the parent and must be looked at all the same. `isParentKnown`: what the
    /// parent knows of its databases is there, so that a file that it did not copy as one need not be looked at.
    package init(in plan: inout SourcePlan, isParentKnown: Bool) throws {
        let search = try Search(plan, isParentKnown: isParentKnown)
        databasesNamedAsCompanions = search.databasesNamedAsCompanions
        all = Self.byFile(search.found, in: plan.table) { index in
            search.companions[index, default: []].contains {
                plan.table[$0].size > 0 && !Self.isIndex($0, in: plan.table)
            }
        }
        for candidate in all {
            for name in candidate.names { plan.setApart(name) }
        }
    }

    private struct Search {
        var found: Set<Int>
        /// By database, the entries that are named as its companions.
        var companions: [Int: [Int]] = [:]
        var databasesNamedAsCompanions: Set<Int> = []

        /// One look at every entry: what it costs is paid by each backup, also of an app without databases.
        init(_ plan: SourcePlan, isParentKnown: Bool) throws {
            found = Set(plan.parentDatabases.keys)
            for index in 1..<max(1, plan.table.count) where plan.table[index].kind == .file {
                let hasShape = DatabaseCandidates.hasShape(plan.table[index])
                if let database = DatabaseCandidates.database(ofCompanion: index, in: plan) {
                    guard try hasShape && DatabaseCandidates.isDatabase(index, in: plan) else {
                        companions[database, default: []].append(index)
                        continue
                    }
                    databasesNamedAsCompanions.insert(index)
                }
                if hasShape && (plan.content(of: index) == .file || !isParentKnown) { found.insert(index) }
            }
            found.formUnion(companions.keys)
            found = found.filter { plan.table[$0].size > 0 }
        }
    }

    /// A database is made of pages, of 512 bytes at least.
    private static func hasShape(_ record: EntryRecord) -> Bool {
        record.size >= 512 && record.size % 512 == 0
    }

    private static func database(ofCompanion index: Int, in plan: SourcePlan) -> Int? {
        let name = plan.table.withName(of: index) { DatabaseFiles.database(ofCompanion: $0) }
        guard let name else { return nil }
        let path = (plan.table.path(of: index).parent ?? .root).appending(name)
        guard let database = plan.table.index(of: path), plan.table[database].kind == .file else { return nil }
        return database
    }

    /// Read before SQLite opens anything here: whoever closes an index takes SQLite's locks from this whole process.
    private static func isDatabase(_ index: Int, in plan: SourcePlan) throws -> Bool {
        let path = plan.table.path(of: index)
        do throws(DiskError) {
            return try DatabaseFiles.isDatabase(
                path.name, in: try plan.sourceDirectory(at: path.parent ?? .root))
        } catch {
            // Whoever reads it for the backup says what is wrong with it.
            return false
        }
    }

    private static func isIndex(_ index: Int, in table: EntryTable) -> Bool {
        table.withName(of: index) { $0.suffix(4).elementsEqual("-shm".utf8) }
    }

    private static func byFile(
        _ found: Set<Int>, in table: EntryTable, hasLogs: (Int) -> Bool
    ) -> [Candidate] {
        var candidates: [Candidate] = []
        var groups: [UInt32: [Int]] = [:]
        for index in found {
            if table[index].linkGroup == 0 {
                candidates.append(Candidate(names: [index]))
            } else {
                groups[table[index].linkGroup] = []
            }
        }
        if !groups.isEmpty {
            for index in 0..<table.count where table[index].linkGroup != 0 {
                groups[table[index].linkGroup]?.append(index)
            }
        }
        for names in groups.values {
            let withLogs = names.filter(hasLogs)
            let others = names.filter { !withLogs.contains($0) }
            candidates.append(Candidate(names: withLogs + others, hasLogsAtSeveralNames: withLogs.count > 1))
        }
        return candidates.sorted { $0.names[0] < $1.names[0] }
    }
}
