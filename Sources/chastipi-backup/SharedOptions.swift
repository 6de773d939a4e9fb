import ArgumentParser
import Glibc
import Model

/// What every verb takes.
struct SharedOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The app's directory.", valueName: "dir"))
    var app: String?

    @Option(help: ArgumentHelp("Where the backups are (default: backups in the app).", valueName: "dir"))
    var backupDir: String?

    @Option(
        help: ArgumentHelp(
            "The repository to work on instead of that: its path, or its name in backup.yaml.", valueName: "repository")
    )
    var repository: String?

    @Option(
        help: ArgumentHelp(
            "The file with the password of the repository, or of an encrypted zip (else it is asked for).",
            valueName: "file"))
    var passwordFile: String?

    @Option(
        help: ArgumentHelp(
            "Wait so long for a repository's lock that another run holds, such as 90s or 10m.", valueName: "time"))
    var retryLock: String?

    @Option(help: ArgumentHelp("The configuration (default: backup.yaml beside the backups).", valueName: "file"))
    var config: String?

    @Flag(help: "Print a JSON document instead of text.")
    var json = false

    @Flag(name: .shortAndLong, help: "Print nothing but results and errors.")
    var quiet = false

    @Flag(name: .shortAndLong, help: "Print everything that is worth knowing.")
    var verbose = false

    /// The app: as named, else where the program lies in an app's kit, else the working directory if it has backups.
    func appPath() throws -> String {
        if let known = knownApp() { return known }
        throw BackupError(
            .usage, "which app? The working directory has no backups/", advice: "Name the app with --app DIR")
    }

    /// For how many seconds a lock is tried for again.
    func patience() throws -> Int {
        guard let retryLock else { return 0 }
        do throws(AgeError) {
            return Int(try Age(retryLock).seconds)
        } catch {
            throw BackupError(.usage, "--retry-lock: \(error)")
        }
    }

    /// The same; nil where there is none.
    func knownApp() -> String? {
        if let app { return app }
        if let kit = Self.appOfKit() { return kit }
        return access("backups", F_OK) == 0 ? "." : nil
    }

    /// `APP/backups/bin/chastipi-backup` and `APP/backups/chastipi-backup` belong to APP.
    private static func appOfKit() -> String? {
        let path = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            count = buffer.withMemoryRebound(to: CChar.self) { path in
                path.baseAddress.map { max(0, readlink("/proc/self/exe", $0, 4096)) } ?? 0
            }
        }
        var parts = String(decoding: path, as: UTF8.self).split(separator: "/").dropLast()
        if parts.last == "bin" { parts = parts.dropLast() }
        guard parts.last == "backups" else { return nil }
        return "/" + parts.dropLast().joined(separator: "/")
    }
}

/// For verbs that write backups.
struct EncryptionOptions: ParsableArguments {
    @Flag(help: "Encrypt the zip, but for names and sizes; the password is asked for if no file has it.")
    var encrypt = false

    func isWanted(_ options: SharedOptions) -> Bool { encrypt || options.passwordFile != nil }
}

/// For verbs that change something and never ask.
struct DryRunOption: ParsableArguments {
    @Flag(help: "Only say what would be done.")
    var dryRun = false

    /// For programs.
    var member: (String, JSONOutput) { ("dry_run", .bool(dryRun)) }
}

/// For verbs that change something, and may ask before.
struct ChangeOptions: ParsableArguments {
    @OptionGroup var dry: DryRunOption

    @Flag(name: .shortAndLong, help: "Ask nothing.")
    var yes = false

    var dryRun: Bool { dry.dryRun }
}
