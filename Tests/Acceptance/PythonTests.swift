import Foundation
import TestKit
import Testing

/// The Python way in: `Tests/Python` tests it with Python's own means and the program that is tested here.
@Suite struct PythonTests {
    @Test func theTestsInPythonPass() throws {
        let run = try ToolRun.run(
            "python3", ["-B", "-m", "unittest", "discover", "--verbose", "Tests/Python"], in: KitTests.checkout,
            environment: ["CHASTIPI_BACKUP_BIN": Program.path])
        let report = String(decoding: run.errors, as: UTF8.self)
        #expect(run.status == 0, "\(report)")
        // Finding no tests is a success to some versions of Python.
        let ran = try #require(report.firstMatch(of: /Ran (\d+) tests? in/), "\(report)")
        #expect(Int(ran.1) ?? 0 >= 50, "\(report)")
    }
}
