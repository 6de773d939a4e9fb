import ArgumentParser
import ChastiPiBackup
import Model

struct ConfigVerbs: VerbGroup {
    static let configuration = CommandConfiguration(
        commandName: "config", abstract: "Write or show the configuration.",
        subcommands: [ConfigInitVerb.self, ConfigShowVerb.self])
}

struct ConfigInitVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "init", abstract: "Write a commented backup.yaml beside the backups.")

    @OptionGroup var dry: DryRunOption
    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        let path = dry.dryRun ? try manager.previewConfiguration() : try manager.writeConfiguration()
        session.print(
            .command("config init", [dry.member, ("path", .string(path))]),
            text: { ["\(dry.dryRun ? "to write:" : "wrote") \(printable(path.utf8))"] })
        return ExitStatus.done
    }
}

struct ConfigShowVerb: Verb {
    static let configuration = CommandConfiguration(
        commandName: "show", abstract: "Show what is in force and where it comes from.")

    @Option(help: ArgumentHelp("Tell which item or rule decides on a path.", valueName: "path"))
    var explain: String?

    @OptionGroup var options: SharedOptions

    func run(in session: Session) throws -> Int32 {
        let manager = try session.manager()
        if let explain {
            let explanation = try manager.explain(explain)
            let verdict = explanation.isBackedUp ? "is backed up" : "is not backed up"
            session.print(
                .command(
                    "config show",
                    JSONOutput.members(of: explanation.path) + [
                        ("backed_up", .bool(explanation.isBackedUp)), ("reason", .string(explanation.reason)),
                    ]), text: { ["\(explanation.path) \(verdict): \(explanation.reason)"] })
            return ExitStatus.done
        }
        session.print(.command("config show", members(manager.configuration)), text: { text(manager.configuration) })
        return ExitStatus.done
    }

    private func text(_ configuration: Configuration) -> [String] {
        var lines = ["items (\(configuration.items.origin)):"]
        lines += configuration.items.value.map { "  \($0)" }
        lines.append("default exclusions (\(configuration.usesDefaultExclusions.origin)):")
        lines +=
            configuration.usesDefaultExclusions.value
            ? Exclusions.defaults.rules.map { "  \($0)" } : ["  none are used"]
        lines.append("exclusions:")
        lines += configuration.exclude.map { "  \($0) (\($0.origin))" }
        lines.append("tags (\(configuration.tags.origin)): \(configuration.tags.value.joined(separator: ", "))")
        let days = configuration.fullReadDays.value.map { "every \($0) days" } ?? "never"
        let format = configuration.format.value?.rawValue ?? "folder, where the file system allows it"
        lines.append("format (\(configuration.format.origin)): \(format)")
        lines.append("full read (\(configuration.fullReadDays.origin)): \(days)")
        let kept = configuration.retention.value.map { "\($0)" } ?? "everything"
        lines.append("retention (\(configuration.retention.origin)): \(kept)")
        if !configuration.repositories.value.isEmpty {
            lines.append("repositories (\(configuration.repositories.origin)):")
            lines += configuration.repositories.value.map { place in
                let password = place.password.map { ", password from \(text($0))" } ?? ""
                return "  \(place.name ?? ""): \(place.shownPath)\(password) (\(place.origin ?? ""))"
            }
            if let usual = configuration.usualRepository.value {
                lines.append("usual repository (\(configuration.usualRepository.origin)): \(usual)")
            }
        }
        return lines
    }

    private func text(_ origin: PasswordOrigin) -> String {
        switch origin {
        case .file(let path): "the file \(printable(path.utf8))"
        // Its arguments may be secret.
        case .command(let words): "the command '\(printable((words.first ?? "").utf8))'"
        case .known: "the program"
        }
    }

    private func members(_ place: RepositoryPlace) -> JSONOutput {
        var (file, command) = (JSONOutput.null, JSONOutput.null)
        switch place.password {
        case .file(let path): file = .string(path)
        case .command(let words): command = .string(words.first ?? "")
        case .known, nil: break
        }
        return .object([
            ("name", place.name.map { .string($0) } ?? .null), ("location", .string(place.path)),
            ("password_file", file), ("password_program", command),
            ("origin", place.origin.map { .string($0) } ?? .null),
        ])
    }

    private func members(_ configuration: Configuration) -> [(String, JSONOutput)] {
        func origin(_ value: JSONOutput, _ origin: String) -> JSONOutput {
            .object([("value", value), ("origin", .string(origin))])
        }
        let exclusions = configuration.exclude.map { origin(.string($0.description), $0.origin) }
        return [
            (
                "items",
                origin(.array(configuration.items.value.map { .string($0.description) }), configuration.items.origin)
            ),
            (
                "default_exclusions",
                origin(.bool(configuration.usesDefaultExclusions.value), configuration.usesDefaultExclusions.origin)
            ),
            ("exclude", .array(exclusions)),
            ("tags", origin(.array(configuration.tags.value.map { .string($0) }), configuration.tags.origin)),
            (
                "format",
                origin(configuration.format.value.map { .string($0.rawValue) } ?? .null, configuration.format.origin)
            ),
            (
                "full_read_days",
                origin(
                    configuration.fullReadDays.value.map { .number(Int64($0)) } ?? .null,
                    configuration.fullReadDays.origin)
            ),
            (
                "retention",
                origin(
                    configuration.retention.value.map { .string("\($0)") } ?? .null, configuration.retention.origin)
            ),
            ("repositories", .array(configuration.repositories.value.map { members($0) })),
            (
                "usual_repository",
                origin(
                    configuration.usualRepository.value.map { .string($0) } ?? .null,
                    configuration.usualRepository.origin)
            ),
        ]
    }
}
