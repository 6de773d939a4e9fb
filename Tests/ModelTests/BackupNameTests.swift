import Model
import Testing

@Suite struct BackupNameTests {
    private static let valid = ["a", "A_b-c.9", "_", "9", "x..", "a.zip", String(repeating: "a", count: 128)]

    @Test(arguments: valid)
    func accepts(text: String) throws {
        #expect(try BackupName(text).text == text)
    }

    private static let invalid: [(String, BackupNameError.Reason)] = [
        ("", .empty), (String(repeating: "a", count: 129), .tooLong), (String(repeating: "é", count: 65), .tooLong),
        (".", .firstCharacter), ("..", .firstCharacter), (".hidden", .firstCharacter), ("-rf", .firstCharacter),
        ("../x", .character), ("a/b", .character), ("a b", .character), ("a\0", .character), ("a\n", .character),
        ("é", .character), ("ａ", .character), ("a\u{301}", .character), ("a:b", .character), ("a\\b", .character),
    ]

    @Test(arguments: invalid)
    func refuses(text: String, reason: BackupNameError.Reason) {
        let error = #expect(throws: BackupNameError.self) { try BackupName(text) }
        #expect(error?.reason == reason)
    }

    @Test func errorsAreOneSafeLine() {
        let error = #expect(throws: BackupNameError.self) { try BackupName("a\n\u{1b}[2J") }
        #expect(
            error?.description
                == "'a\\012\\033[2J' can't be the name of a backup: only letters, digits, '.', '_' and '-' are allowed")
        let long = #expect(throws: BackupNameError.self) { try BackupName(String(repeating: "\n", count: 1_000_000)) }
        #expect((long?.description.utf8.count ?? .max) < 1000)
    }

    @Test func chosenNames() throws {
        let time = LocalTime(moment: Timestamp(seconds: 1_795_615_389), offset: 3600)
        let names = BackupName.Prefix.allCases.map { BackupName.timestamped(prefix: $0, at: time).text }
        #expect(
            names == [
                "chastipi_backup_20261125_150309", "auto_backup_20261125_150309", "pre_restore_backup_20261125_150309",
            ])
        let name = BackupName.timestamped(prefix: .auto, at: time)
        #expect(try name.numbered(2).text == "auto_backup_20261125_150309_2")
        #expect(try BackupName(name.text) == name)
        #expect(try name < name.numbered(2))
        #expect(throws: BackupNameError.self) { try BackupName(String(repeating: "a", count: 127)).numbered(2) }
    }

    /// Whatever the clock says, the name that we choose is one.
    @Test(arguments: [0, -1, Int64.min / 2, Int64.max / 2, 253_402_300_800, -62_167_219_201])
    func chosenNamesAreValidAtAnyTime(seconds: Int64) throws {
        let name = BackupName.timestamped(
            prefix: .preRestore, at: LocalTime(moment: Timestamp(seconds: seconds), offset: -3600))
        #expect(try BackupName(name.text) == name)
    }

    @Test(arguments: [
        ("auto_backup_20261125_140309", "auto_backup_20261125_140309"),
        ("auto_backup_20261125_140309_2", "auto_backup_20261125_140309"),
        ("chastipi_backup_20261125_140309_17", "chastipi_backup_20261125_140309"),
        ("pre_restore_backup_20261125_140309_3", "pre_restore_backup_20261125_140309"), ("friday_2", "friday_2"),
        ("auto_backup_20261125_140309_2_2", "auto_backup_20261125_140309_2_2"),
    ])
    func aNumberIsTakenOff(text: String, expected: String) throws {
        #expect(try BackupName(text).withoutNumber.text == expected)
    }
}
