import Disk
import Model

extension BackupManager {
    /// Writes a commented `backup.yaml` into the backup directory; an existing one is never replaced. Returns its path.
    public func writeConfiguration() throws -> String {
        try Self.reporting {
            let backups = try places.backups()
            let path = try newConfigurationPath(in: backups)
            try backups.createFile(ConfigurationFile.name, with: Array(Self.configurationTemplate.utf8))
            return path
        }
    }

    /// The path that ``writeConfiguration()`` would write.
    public func previewConfiguration() throws -> String {
        try Self.reporting {
            let backups = try places.existingBackups()
            // A link to a disk that is not mounted.
            guard try backups != nil || places.app.status(of: "backups".utf8) == nil else {
                throw DiskError(.notDirectory, "open", "backups", because: "it leads nowhere")
            }
            return try newConfigurationPath(in: backups)
        }
    }

    private func newConfigurationPath(in backups: Directory?) throws -> String {
        let path = places.backupPath + "/" + ConfigurationFile.name
        guard try backups?.status(of: ConfigurationFile.name.utf8) == nil else {
            throw BackupError(
                .refused, "\(printable(path.utf8)) exists already", advice: "Edit it, or move it away first")
        }
        return path
    }

    static var configurationTemplate: String {
        let items = ItemPattern.defaults.map { "#  - \"\($0.text)\"" }.joined(separator: "\n")
        let exclusions = Exclusions.defaults.rules.map { "\($0)" }.joined(separator: ", ")
        return """
            # What chastipi-backup saves of this app, and how. Everything here is optional: a line that is commented out
            # shows the default. 'backup.sh config show' tells what is in force.

            # What is saved: paths in the app, or patterns for names at its top level. '.' is the whole app.
            #items:
            \(items)

            # What is left out of it, in .gitignore's syntax; of the patterns that match the last decides. A .backupignore
            # file in the app is honoured too.
            #exclude:
            #  - "uploads/cache/"

            # Whether these are left out as well: \(exclusions)
            #default_exclusions: true

            # Words that every backup is marked with.
            #tags:
            #  - "home"

            # How often every file is read again, even where it seems unchanged: a number of days, or never.
            #full_read: 30 days

            # How backups are kept: folder, zip or repository (see below). Default: folders, and zips where the file system
            # keeps no links.
            #format: folder

            # SQLite databases are saved consistently while the app writes. Copied as files, with their logs, are only:
            #sqlite:
            #  data/cache.db: raw

            # What 'prune' keeps; without it, or options of 'prune', every backup stays. Counts ('unlimited' for all): the last
            # ones, and the newest of each of so many hours, days, …. Spans of time such as 1y5m7d2h, counted from the newest
            # backup: everything within, or the newest of each hour, day, … within. 'tags': what has these words, all of a line.
            # Backups that you named yourself always stay, unless include_named is true.
            #retention:
            #  last: 3
            #  daily: 7
            #  weekly: 4
            #  monthly: 12
            #  within: 2d
            #  within_hourly: 5d
            #  tags:
            #    - "before-update"
            #  include_named: false

            # Repositories that are called by a name: --repository usb. A password never stands here: only the file that has it,
            # or the command that prints it (no shell reads it). Without either it is asked for.
            #repositories:
            #  usb: /mnt/usb/repository
            #  offsite:
            #    location: /srv/repository
            #    password_file: /etc/chastipi/offsite.password
            #  other:
            #    location: /srv/other
            #    password_command: "pass show backup"

            # Which of several is meant where none is named.
            #repository: usb

            """
    }
}
