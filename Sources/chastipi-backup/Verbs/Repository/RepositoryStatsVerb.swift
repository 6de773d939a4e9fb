import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryStatsVerb: RepositoryVerb {
    static let words = "stats"
    static let configuration = CommandConfiguration(
        commandName: words, abstract: "Tell how large a repository is, what for, and how it grew.")

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let sizes = try session.repository().sizes()
        session.insist(sizes.findings.map { "\($0.severity.rawValue): \($0.subject): \($0.message)" })
        session.print(.command(Self.fullName, members(sizes)), text: { text(sizes) })
        return sizes.findings.contains { $0.severity == .damage } ? ExitStatus.damaged : ExitStatus.done
    }

    private func name(_ growth: RepositorySizes.Growth) -> String {
        let name = growth.tags.first { $0.hasPrefix("name=") }?.dropFirst(5)
        return printable((name ?? growth.snapshot.prefix(8)).utf8)
    }

    private func text(_ sizes: RepositorySizes) -> [String] {
        var lines: [String] = []
        if !sizes.snapshots.isEmpty {
            var table = TextTable(["NAME", "TIME", "HOST", "FILES", "SIZE", "ADDED"], numeric: [3, 4, 5])
            for growth in sizes.snapshots {
                table.add([
                    name(growth), growth.time.readable, printable(growth.host.utf8), String(growth.files),
                    "\(ByteCount(growth.bytes))", "\(ByteCount(growth.bytesAdded))",
                ])
            }
            lines += table.lines
        }
        let unused = sizes.bytesUnused > 0 ? "; of no use: \(ByteCount(sizes.bytesUnused))" : ""
        return lines + [
            "\(counted(sizes.snapshots.count, "backup")): restored together \(ByteCount(sizes.bytesOfAll)), "
                + "each part once \(ByteCount(sizes.bytesOfContent)), stored \(ByteCount(sizes.bytesStored))",
            "the repository: \(ByteCount(sizes.bytes)) in \(counted(sizes.packs, "pack"))\(unused)",
        ]
    }

    private func members(_ sizes: RepositorySizes) -> [(String, JSONOutput)] {
        let snapshots = sizes.snapshots.map { growth in
            JSONOutput.object([
                ("id", .string(growth.snapshot)), ("time", .time(growth.time)), ("host", .string(growth.host)),
                ("tags", .array(growth.tags.map { .string($0) })), ("files", .number(Int64(growth.files))),
                ("bytes", .unsigned(growth.bytes)), ("bytes_added", .unsigned(growth.bytesAdded)),
            ])
        }
        return [
            ("snapshots", .array(snapshots)), ("bytes_in_repository", .unsigned(sizes.bytes)),
            ("bytes_unused", .unsigned(sizes.bytesUnused)), ("bytes_stored", .unsigned(sizes.bytesStored)),
            ("bytes_of_content", .unsigned(sizes.bytesOfContent)), ("bytes_of_all", .unsigned(sizes.bytesOfAll)),
            ("packs", .number(Int64(sizes.packs))), ("data_blobs", .number(Int64(sizes.dataBlobs))),
            ("tree_blobs", .number(Int64(sizes.treeBlobs))), ("findings", .array(sizes.findings.map(\.json))),
        ]
    }
}
