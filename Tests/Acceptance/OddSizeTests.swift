import Foundation
import Model
import TestKit
import Testing

/// Trees whose numbers are larger than anyone expects.
@Suite struct OddSizeTests {
    /// A sparse file says what it likes; three of the largest are more than a number holds.
    @Test func sizesThatNoNumberHoldsAreNoCrash() throws {
        let app = try TestApp()
        try app.shell("cd data; for n in 1 2 3; do truncate -s 9223372036854775807 huge$n; done; ls")
        let answer = try app.done("create", "--dry-run", "--json")
        let document = try #require(
            try JSONSerialization.jsonObject(with: Data(answer.output.utf8)) as? [String: Any])
        let backup = try #require(document["backup"] as? [String: Any])
        #expect((backup["bytes"] as? NSNumber)?.uint64Value == .max, "\(answer)")
        try app.shell("rm data/huge*")
    }

    /// With paths far beyond 4,096 bytes.
    @Test func aDeepTreeIsSavedAndRestored() throws {
        try saveAndRestore(depth: 120, named: "below" + String(repeating: "-", count: 50))
    }

    fileprivate func saveAndRestore(depth: Int, named name: String) throws {
        let app = try TestApp()
        _ = try deep(app, depth, named: name, isNew: true, "open(\"bottom\", \"w\").write(\"found\")")
        try app.done("create", "--name", "one")
        _ = try deep(app, depth, named: name, "open(\"bottom\", \"w\").write(\"changed\"); os.mkdir(\"more\")")
        try app.done("restore", "one", "--skip-safety-backup")
        let read = "print(open(\"bottom\").read(), os.listdir(\".\"))"
        #expect(try deep(app, depth, named: name, read) == "found ['bottom']\n")
        try app.done("undo")
        #expect(try deep(app, depth, named: name, read).hasPrefix("changed "))
        try app.shell("rm -rf data/below*; mkdir data/other")
        try app.done("restore", "one", "--skip-safety-backup")
        #expect(try deep(app, depth, named: name, read) == "found ['bottom']\n")
        try app.done("delete", "one", "--yes")
    }
}

/// Below `data`: `depth` directories in each other, with `script` run in the last.
private func deep(_ app: TestApp, _ depth: Int, named name: String, isNew: Bool = false, _ script: String) throws
    -> String
{
    try app.shell(
        """
        python3 -c '
        import os
        os.chdir("data")
        for _ in range(\(depth)):
            \(isNew ? "os.mkdir(\"\(name)\")" : "pass")
            os.chdir("\(name)")
        \(script)'
        """)
}

@Suite(.enabled(if: runsLongTests, "make test-long runs it"))
struct OddSizeLongTests {
    @Test func aDeeperTreeIsSavedAndRestored() throws { try OddSizeTests().saveAndRestore(depth: 900, named: "below") }

    /// Deeper than a stack of calls.
    @Test func aVeryDeepTreeIsCompared() throws {
        let app = try TestApp()
        let depth = 2600
        _ = try deep(app, depth, named: "below", isNew: true, "open(\"bottom\", \"w\").write(\"found\")")
        try app.done("create", "--name", "one")
        _ = try deep(app, depth, named: "below", "open(\"bottom\", \"w\").write(\"changed\")")
        #expect(try app.done("restore", "one", "--dry-run").output.contains("replace data/below/below"))
    }
}
