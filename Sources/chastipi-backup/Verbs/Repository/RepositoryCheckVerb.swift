import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryCheckVerb: RepositoryVerb {
    static let words = "check"
    static let configuration = CommandConfiguration(
        commandName: words, abstract: "Tell whether a repository holds what its backups need.",
        discussion: """
            Without --read-data it is checked whether all is there, and every tree is read; with it, every byte. \
            --read-data-subset reads one part of several, such as 1/7 on Mondays, or some percent chosen anew each time. \
            Damage is exit status 20.
            """)

    @Flag(help: "Read every byte.")
    var readData = false

    @Option(help: ArgumentHelp("Read a part: such as 2/7, or 10%.", valueName: "part"))
    var readDataSubset: String?

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        var reading = readData ? RepositoryReading.everything : .structure
        if let readDataSubset {
            if readData { throw BackupError(.usage, "--read-data and --read-data-subset do not go together") }
            reading = try RepositoryReading(subset: readDataSubset)
        }
        let manager = try session.repository()
        let result = try manager.check(reading)
        session.print(.command(Self.fullName, members(result)), text: { text(result, manager.place, session) })
        return result.isDamaged ? ExitStatus.damaged : ExitStatus.done
    }

    private func text(_ result: RepositoryCheckResult, _ place: RepositoryPlace, _ session: Session) -> [String] {
        var counts = "\(counted(result.snapshots, "backup")), \(counted(result.packs, "pack"))"
        if result.packsRead > 0 {
            let share = result.packsRead == result.packs ? "all" : String(result.packsRead)
            counts += ", \(share) of them read: \(ByteCount(result.bytesRead))"
        }
        let damages = result.findings.filter { $0.severity == .damage }
        let notes = result.findings.filter { $0.severity == .note }
        var lines = [
            damages.isEmpty
                ? "\(place.shownPath): whole (\(counts))"
                : "\(place.shownPath): DAMAGED, \(counted(damages.count, "finding")) (\(counts))"
        ]
        lines += abbreviated(
            damages.map { "  \($0.subject): \($0.message)" }, most: 50, verbose: session.options.verbose)
        lines += abbreviated(
            notes.map { "  note: \($0.subject): \($0.message)" }, most: 10, verbose: session.options.verbose)
        return lines
    }

    private func members(_ result: RepositoryCheckResult) -> [(String, JSONOutput)] {
        [
            ("damaged", .bool(result.isDamaged)), ("findings", .array(result.findings.map(\.json))),
            ("snapshots", .number(Int64(result.snapshots))), ("packs", .number(Int64(result.packs))),
            ("blobs", .number(Int64(result.blobs))), ("packs_read", .number(Int64(result.packsRead))),
            ("bytes_read", .unsigned(result.bytesRead)), ("unindexed_packs", .number(Int64(result.unindexedPacks))),
        ]
    }
}
