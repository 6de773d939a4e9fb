import Model
import Testing

@Suite struct AgeTests {
    @Test(arguments: [
        ("26h", 93_600), ("90m", 5400), ("7d", 604_800), ("2w", 1_209_600), ("1d12h", 129_600), ("1s", 1),
        ("0h5m", 300),
        ("999999w", 604_799_395_200),
    ])
    func aLengthOfTimeIsRead(text: String, seconds: Int64) throws {
        #expect(try Age(text).seconds == seconds)
    }

    @Test(arguments: ["", "h", "26", "26 h", "1y", "-1d", "0d", "1d1d", "1.5h", "1000000w", "１d", "26h\u{1b}[31m"])
    func anythingElseIsNone(text: String) {
        #expect(throws: AgeError.self) { try Age(text) }
    }

    @Test func anErrorMovesNoCursor() {
        do {
            _ = try Age("\u{1b}[2J")
            Issue.record("it was read")
        } catch {
            #expect(error.description.hasPrefix("'\\033[2J' is no length of time"))
        }
    }

    @Test(arguments: [
        (0, "0 seconds"), (1, "1 second"), (119, "119 seconds"), (120, "2 minutes"), (7199, "119 minutes"),
        (7200, "2 hours"),
        (172_799, "47 hours"), (172_800, "2 days"), (-7200, "2 hours"),
    ])
    func ageIsShownInOneUnit(seconds: Int64, text: String) {
        #expect(Age(seconds: seconds).description == text)
    }
}
