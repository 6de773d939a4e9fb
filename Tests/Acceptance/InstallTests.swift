import Foundation
import TestKit
import Testing

/// What `make install` puts beside the program is made from the program's own definitions.
@Suite struct InstallTests {
    @Test func manualPagesAndCompletionsTellOfEveryVerb() throws {
        let tree = try TemporaryTree()
        try tree.makeDirectory(entry("build/release"))
        let copied = try ToolRun.run("cp", [Program.path, tree.path + "/build/release/chastipi-backup"])
        #expect(copied.status == 0)
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().path
        let installed = try ToolRun.run(
            root + "/Scripts/install", [],
            environment: ["SWIFTPM_BUILD_DIR": tree.path + "/build", "DESTDIR": tree.path + "/to", "PREFIX": "/usr"])
        #expect(installed.status == 0, "\(String(decoding: installed.errors, as: UTF8.self))")
        let help = try Program.run(["--help"]).output
        let verbs = [
            "create", "zip", "auto", "list", "show", "verify", "restore", "undo", "recover", "delete", "prune", "copy",
            "diff",
        ]
        let shells = [
            "bash-completion/completions/chastipi-backup", "zsh/site-functions/_chastipi-backup",
            "fish/vendor_completions.d/chastipi-backup.fish",
        ]
        let completions = try shells.map { try tree.read("to/usr/share/\($0)") }
        for verb in verbs {
            #expect(help.contains("  \(verb) "), "\(verb)")
            for completion in completions { #expect(completion.contains(verb)) }
            let page = try tree.read("to/usr/share/man/man1/chastipi-backup-\(verb).1")
            #expect(page.hasPrefix(".TH CHASTIPI-BACKUP-") && page.contains("\\fB\\-\\-app\\fR"), "\(verb)")
        }
        #expect(try tree.read("to/usr/share/man/man1/chastipi-backup.1").contains(".SH VERBS"))
        for file in ["backup.sh", "backup_manager.py", "README.md"] {
            #expect(try tree.status(entry("to/usr/share/chastipi-backup/backups/\(file)")) != nil)
        }
    }
}
