import ArgumentParser
import ChastiPiBackup
import Model

struct RepositoryUnlockVerb: RepositoryVerb {
    static let words = "unlock"
    static let configuration = CommandConfiguration(
        commandName: words, abstract: "Remove locks that runs have left behind.",
        discussion: """
            Left behind are locks that nobody has refreshed for half an hour, and those of a process on this computer that is \
            not there any more. What locks say while their run goes on is true: leave them.
            """)

    @Flag(help: "Remove all locks; only if nobody uses the repository.")
    var removeAll = false

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.repository()
        let extent: UnlockExtent = removeAll ? .everything : .leftBehind
        let result = dry.dryRun ? try manager.previewUnlock(extent) : try manager.unlock(extent)
        session.insist(result.findings.map { "\($0.subject) cannot be read: \($0.message); --remove-all removes it" })
        session.print(.command(Self.fullName, members(result)), text: { text(result, session) })
        return ExitStatus.done
    }

    private func text(_ result: UnlockOutcome, _ session: Session) -> [String] {
        let now = session.run.now().moment.seconds
        func told(_ user: RepositoryUser) -> String {
            let age = Age(seconds: max(0, now - user.time.moment.seconds))
            return "lock of \(user.holder), last seen \(age) ago"
        }
        let removed = dry.dryRun ? "to remove:" : "removed"
        let lines =
            result.removed.map { "\(removed) the \(told($0))" }
            + result.removedUnread.map { "\(removed) the lock \($0.prefix(8)), which could not be read" }
            + result.kept.map { "in use: the \(told($0))" }
        return lines.isEmpty ? ["there are no locks"] : lines
    }

    private func members(_ result: UnlockOutcome) -> [(String, JSONOutput)] {
        func json(_ users: [RepositoryUser]) -> JSONOutput {
            .array(
                users.map { user in
                    .object([
                        ("id", .string(user.id)), ("holder", .string(user.holder)),
                        ("exclusive", .bool(user.isExclusive)), ("time", .time(user.time)),
                    ])
                })
        }
        return [
            dry.member, ("removed", json(result.removed)),
            ("removed_unread", .array(result.removedUnread.map { .string($0) })),
            ("kept", json(result.kept)), ("findings", .array(result.findings.map(\.json))),
        ]
    }
}
