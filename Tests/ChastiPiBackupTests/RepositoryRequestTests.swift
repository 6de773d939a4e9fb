import Model
import ResticFormat
import Testing

@testable import ChastiPiBackup

@Suite struct RepositoryRequestTests {
    @Test(arguments: [
        ("5%", PruneOptions.Unused.percent(5)), ("0%", .percent(0)), ("2.5%", .percent(2.5)), ("unlimited", .unlimited),
        ("7", .bytes(7)), ("7k", .bytes(7 << 10)), ("7KB", .bytes(7 << 10)), ("7m", .bytes(7 << 20)),
        ("7G", .bytes(7 << 30)),
        ("7T", .bytes(7 << 40)), ("7b", .bytes(7)),
    ])
    func tolerancesAreThoseOfRestic(text: String, expected: PruneOptions.Unused) throws {
        var request = RepositoryPruneRequest()
        try request.tolerate(text)
        #expect(request.options.maxUnused == expected)
    }

    @Test(arguments: ["", "%", "-1%", "100%", "x%", "nan%", "k", "-1", "1.5M", "7Q", "99999999T", "９"])
    func whatIsNoToleranceIsAnError(text: String) {
        var request = RepositoryPruneRequest()
        let error = #expect(throws: BackupError.self) { try request.tolerate(text) }
        #expect(error?.code == .usage)
    }

    @Test func partsAreThoseOfRestic() throws {
        #expect(try RepositoryReading(subset: "1/1") == .part(1, of: 1))
        #expect(try RepositoryReading(subset: "256/256") == .part(256, of: 256))
        #expect(try RepositoryReading(subset: "2.5%") == .percent(2.5))
        for text in ["", "/", "1/", "0/1", "2/1", "1/257", "1", "0%", "-1%", "101%", "nan%", "%", "1/2/3"] {
            #expect(throws: BackupError.self, "\(text)") { try RepositoryReading(subset: text) }
        }
    }
}
