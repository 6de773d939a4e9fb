import Foundation
import TestKit
import Testing

/// The original's ways in: Tests/Python/test_backup_manager.py, with the program under test.
@Suite struct PythonTests {
    @Test func theOriginalsCommandLineAndClass() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        let script = root.appending(path: "Python/test_backup_manager.py").path
        // Children of tests inherit blocked signals, and an interruption is one of the cases.
        let unblock =
            "import os, signal, sys; signal.pthread_sigmask(signal.SIG_SETMASK, set()); "
            + "signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
        let run = try ToolRun.run(
            "python3", ["-c", unblock, script], environment: ["CHASTIPI_BACKUP_BIN": Program.path])
        let told = String(decoding: run.errors, as: UTF8.self)
        #expect(run.status == 0, "\(told)")
        #expect(told.contains("OK"), "\(told)")
    }
}
