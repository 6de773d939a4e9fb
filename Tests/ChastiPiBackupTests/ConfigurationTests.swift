import Model
import TestKit
import Testing

@testable import ChastiPiBackup

@Suite struct ConfigurationTests {
    private func read(_ text: String) throws -> Configuration {
        var reader = ConfigurationReader(file: "backup.yaml")
        return try reader.read(text)
    }

    @Test func nothingMeansTheDefaults() throws {
        for text in ["", "\n", "# only a comment\n", "---\n"] {
            let configuration = try read(text)
            #expect(configuration.items.value == ItemPattern.defaults)
            #expect(configuration.items.origin == "default")
            #expect(configuration.usesDefaultExclusions.value)
            #expect(configuration.fullReadDays.value == 30)
        }
    }

    @Test func whatIsWrittenIsInForceWithItsPlace() throws {
        let configuration = try read(
            """
            items:
              - data
              - "*.yaml"
            exclude:
              - "data/cache/"
              - "!data/cache/keep"
            default_exclusions: false
            tags: ["home", "pi=4"]
            full_read: never
            """)
        #expect(configuration.items.value.map(\.text) == ["data", "*.yaml"])
        #expect(configuration.items.value.map(\.origin) == ["backup.yaml:2", "backup.yaml:3"])
        #expect(configuration.exclude.map(\.origin) == ["backup.yaml:5", "backup.yaml:6"])
        #expect(!configuration.usesDefaultExclusions.value)
        #expect(configuration.tags.value == ["home", "pi=4"])
        #expect(configuration.fullReadDays.value == nil)
        #expect(configuration.fullReadDays.origin == "backup.yaml:9")
    }

    @Test(arguments: [
        ("itms: [a]", "backup.yaml:1:1: there is no key 'itms'; did you mean 'items'?"),
        ("z: 1", "backup.yaml:1:1: there is no key 'z'"),
        ("items: 5", "backup.yaml:1:8: this must be a list"),
        ("items: []", "backup.yaml:1:8: 'items' names nothing"),
        ("items: [\"../x\"]", "backup.yaml:1:9: '../x' cannot be an item"),
        ("items: [[a]]", "backup.yaml:1:9: this must be text"),
        ("exclude: [\"[\"]", "backup.yaml:1:11: "),
        ("default_exclusions: maybe", "backup.yaml:1:21: "),
        ("tags: [\"two words\"]", "backup.yaml:1:8: "),
        ("full_read: 3", "backup.yaml:1:12: "),
        ("full_read: 0 days", "backup.yaml:1:12: "),
        ("- a", "backup.yaml:1:1: "),
        ("exclude:\n  - *.pyc", "backup.yaml:2:5: a value that begins with '*' must stand in quotes, such as '*.pyc'"),
        ("exclude:\n  - !keep", "backup.yaml:2:5: "),
        ("a: &a [x]", "backup.yaml:1:4: "),
        ("items: [a]\nitems: [b]", "backup.yaml"),
        ("a: b: c", "backup.yaml"),
    ])
    func whatIsNotUnderstoodIsAnErrorWithItsPlace(text: String, begin: String) throws {
        let error = #expect(throws: BackupError.self) { try read(text) }
        #expect(error?.code == .configuration)
        #expect(error?.message.hasPrefix(begin) == true, "\(error?.message ?? "")")
        #expect(error?.message.contains("\n") == false)
    }

    /// A few lines of aliases that stand for each other are a gigabyte to whoever follows them.
    @Test func aBombIsRefusedAtOnce() throws {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let aliases = Array(repeating: "*a\(level - 1)", count: 9).joined(separator: ", ")
            text += "a\(level): &a\(level) [\(aliases)]\n"
        }
        text += "? *a9\n: 1\n"
        #expect(throws: BackupError.self) { try read(text) }
        #expect(throws: BackupError.self) { try read(String(repeating: "[", count: 200_000)) }
    }

    // MARK: What a request and the configuration select together

    @Test func rulesStandInTheirOrder() throws {
        var request = CreateRequest()
        request.includesLogs = true
        request.exclude = ["last"]
        let configuration = try read("exclude: [\"first\"]")
        let ignored = Exclusions.parse(file: Array("second\n".utf8), origin: ".backupignore")
        let choice = try configuration.choice(for: request, ignoreFile: ignored)
        let own = choice.rules.dropFirst(Exclusions.defaults.rules.count).map(\.origin)
        #expect(
            own == [
                "--include-logs", "--include-logs", "--include-logs", "backup.yaml:1", ".backupignore:1", "--exclude",
            ])
        #expect(choice.items.map(\.text).suffix(2) == ["logs", "*.log"])
    }

    @Test func aRequestsItemsReplaceTheConfiguredOnes() throws {
        var request = CreateRequest()
        request.items = ["./data/", "."]
        let choice = try Configuration().choice(for: request, ignoreFile: nil)
        #expect(choice.selection.takesAll)
        #expect(choice.items.map(\.origin) == ["--item", "--item"])
        request.items = ["/etc"]
        #expect(throws: BackupError.self) { try Configuration().choice(for: request, ignoreFile: nil) }
    }

    @Test func theTemplateIsValidAndSaysTheDefaults() throws {
        let plain = BackupManager.configurationTemplate
        #expect(try read(plain).items.origin == "default")
        let uncommented = plain.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            line.hasPrefix("#  ") || line.hasPrefix("#") && !line.hasPrefix("# ") ? line.dropFirst() : line
        }.joined(separator: "\n")
        let configuration = try read(uncommented)
        #expect(configuration.items.value.map(\.text) == ItemPattern.defaults.map(\.text))
        #expect(configuration.fullReadDays.value == 30)
        #expect(configuration.usesDefaultExclusions.value)
        #expect(configuration.rawDatabases.value == [entry("data/cache.db")])
        let retention = "last 3, daily 7, weekly 4, monthly 12, within 2d, hourly within 5d, tagged before-update"
        #expect(configuration.retention.value?.description == retention)
    }

    @Test func retentionHasTheKeysOfPrune() throws {
        let lines =
            ["last: 3", "hourly: unlimited", "daily: -1", "weekly: 0", "monthly: 12", "yearly: 5", "within: 1y5m7d2h"]
            + ["hourly", "daily", "weekly", "monthly", "yearly"].map { "within_\($0): 30d" }
            + ["tags: [\"a,b\", c]", "include_named: true"]
        let retention = try read("retention:\n" + lines.map { "  \($0)\n" }.joined()).retention
        #expect(retention.origin == "backup.yaml:2")
        #expect(
            retention.value?.description == "last 3, hourly unlimited, daily unlimited, monthly 12, yearly 5, "
                + "within 1y5m7d2h, hourly within 30d, daily within 30d, weekly within 30d, monthly within 30d, "
                + "yearly within 30d, tagged a,b, tagged c, also of those named by hand")
        #expect(try read("tags: [a]").retention.value == nil)
    }

    @Test(arguments: [
        ("retention: 5", "backup.yaml:1:12: 'retention' consists of lines"),
        ("retention: {}", "backup.yaml:1:12: 'retention' keeps nothing"),
        ("retention:\n  last: 0", "backup.yaml:2:3: 'retention' keeps nothing"),
        ("retention:\n  last: few", "backup.yaml:2:9: 'last': 'few' is no number of backups"),
        ("retention:\n  last: [1]", "backup.yaml:2:9: 'last' takes one value"),
        ("retention:\n  within: 5", "backup.yaml:2:11: 'within': '5' is no span of time"),
        ("retention:\n  daily: 1\n  dayly: 2", "backup.yaml:3:3: there is no key 'dayly'; did you mean 'daily'?"),
        ("retention:\n  last: 1\n  last: 2", "backup.yaml"),
        ("retention:\n  tags: a", "backup.yaml:2:9: this must be a list"),
        ("retention:\n  tags: [\"a, b\"]", "backup.yaml:2:10: 'a, b' is no tag"),
        ("retention:\n  last: 1\n  include_named: yes", "backup.yaml:3:18: 'include_named' is true or false"),
    ])
    func aRuleThatIsNotUnderstoodIsAnErrorWithItsPlace(text: String, begin: String) {
        let error = #expect(throws: BackupError.self) { try read(text) }
        #expect(error?.code == .configuration && error?.message.hasPrefix(begin) == true, "\(error?.message ?? "")")
    }

    @Test(arguments: [
        ("sqlite: raw", "backup.yaml:1:9"), ("sqlite:\n  data/x.db: yes", "backup.yaml:2:14"),
        ("sqlite:\n  ../x.db: raw", "backup.yaml:2:3"),
    ])
    func databasesAreRawOrConsistent(text: String, place: String) throws {
        #expect(try read("sqlite:\n  ./data/x.db: raw\n  data/y.db: consistent").rawDatabases.value.count == 1)
        let error = #expect(throws: BackupError.self) { try read(text) }
        #expect(error?.message.hasPrefix(place) == true, "\(error?.message ?? "")")
    }
}

@Suite struct SelectionTests {
    private func selection(_ items: [String], _ rules: [String]) throws -> Selection {
        Selection(
            items: try items.map { try ItemPattern($0, origin: "test") },
            rules: Exclusions(try rules.map { try ExclusionRule($0, origin: "test") }))
    }

    private func isTaken(_ selection: Selection, _ path: String, _ kind: EntryKind = .file) throws -> Bool {
        selection.decision(on: try #require(EntryPath(path)), kind: kind) == .take
    }

    @Test func componentsMatchAndNotParts() throws {
        let selection = try selection(["templates", "a"], ["venv", "*.pyc"])
        #expect(try isTaken(selection, "templates/myvenv.html"))
        #expect(try !isTaken(selection, "a/b.pyc"))
        #expect(try !isTaken(selection, "a/venv/deep/x"))
        #expect(try !isTaken(selection, "other"))
    }

    @Test func anItemNamedByItsPathIsNotExcludedItself() throws {
        let selection = try selection(["data", "data/venv"], ["venv"])
        #expect(try isTaken(selection, "data/venv", .directory))
        #expect(try isTaken(selection, "data/venv/x"))
        #expect(try !isTaken(selection, "data/other/venv", .directory))
    }

    @Test func patternsAreForTheTopLevel() throws {
        let selection = try selection(["*.yaml"], [])
        #expect(try isTaken(selection, "a.yaml"))
        #expect(try !isTaken(selection, "deep/a.yaml"))
    }

    @Test func whatIsOursIsNeverTaken() throws {
        let selection = try selection(["."], [])
        #expect(try isTaken(selection, "data/backups/x"))
        #expect(try !isTaken(selection, ".chastipi", .directory))
        #expect(try !isTaken(selection, ".chastipi/state"))
        #expect(try !isTaken(selection, "logs/backup.log"))
        #expect(try !isTaken(selection, "data/.chastipi-mount-0/x"))
    }
}
