import CLinux
import ChastiPiBackup
import Glibc

/// Asks the `python3` that a user would get for its version.
enum PythonProbe {
    private static let timeout: Int32 = 5000

    static func version() -> PythonVersion {
        let folders = variable("PATH").split(separator: ":")
        let paths: [String] = folders.map { "\($0)/python3" }
        guard let path = paths.first(where: { isProgram($0) }) else {
            return .missing
        }
        guard let output = run(path) else { return .unknown }
        let words = output.split { $0.isWhitespace }
        guard words.count >= 2, words[0] == "Python" else { return .unknown }
        return .version(String(words[1].prefix(20)))
    }

    private static func isProgram(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, X_OK) == 0
    }

    private static func variable(_ name: String) -> String { getenv(name).map { String(cString: $0) } ?? "" }

    /// What `path --version` prints; nil if it does not within the time.
    private static func run(_ path: String) -> String? {
        var ends: [Int32] = [0, 0]
        guard linux_pipe(&ends) == 0 else { return nil }
        defer { close(ends[0]) }
        let process = spawn(path, output: ends[1])
        close(ends[1])
        guard let process else { return nil }
        let output = read(ends[0])
        // Also where it has answered: nothing is wanted of it any more.
        kill(-process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
        return output
    }

    private static func spawn(_ path: String, output: Int32) -> pid_t? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        // A group of its own: a wrapper ends with what it has started.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        let environment: [UnsafeMutablePointer<CChar>?] = [
            strdup("PATH=" + variable("PATH")), strdup("HOME=" + variable("HOME")), nil,
        ]
        let arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), strdup("--version"), nil]
        defer { for pointer in arguments + environment { free(pointer) } }
        var process: pid_t = 0
        let result = posix_spawn(&process, path, &actions, &attributes, arguments, environment)
        return result == 0 ? process : nil
    }

    /// Milliseconds that only grow.
    private static func clock() -> Int32 {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return Int32(truncatingIfNeeded: now.tv_sec % 1_000_000 * 1000 + now.tv_nsec / 1_000_000)
    }

    private static func read(_ descriptor: Int32) -> String? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 256)
        let end = clock() + timeout
        var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while bytes.count < 256, !bytes.contains(UInt8(ascii: "\n")) {
            guard poll(&input, 1, max(0, end - clock())) > 0 else { return nil }
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            bytes += buffer[..<count]
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
