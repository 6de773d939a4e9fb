import Glibc
import Model
import Synchronization

/// The password of a run: a file's first line, or typed on the terminal. Asked for when it is needed, and once.
final class PasswordInput: Sendable {
    static let variable = "CHASTIPI_BACKUP_PASSWORD_FILE"

    private let file: String?
    /// The one that the options name.
    private let named: String?
    private let stop: StopFlag
    private let progress: ProgressDisplay
    private let known = Mutex<Password?>(nil)
    /// Longer lines are no password.
    private static let limit = 4096

    /// `file`: by default the one that the environment names.
    init(file named: String?, stop: StopFlag, progress: ProgressDisplay) {
        self.named = named
        file = named ?? Environment.text(Self.variable)
        self.stop = stop
        self.progress = progress
    }

    var source: PasswordSource {
        PasswordSource(
            toRead: { name in try self.password { try self.ask("Password of \(name): ").flatMap { Password($0) } } },
            toWrite: { isWanted in try self.password { isWanted ? try self.askTwice() : nil } })
    }

    var ofRepositories: RepositoryPasswords {
        RepositoryPasswords(
            named: named.map { .file($0) }, usual: { try Environment.repositoryPassword() },
            ask: { question in
                switch question {
                case .opening(let place):
                    try self.ask("Password of the repository \(place): ").flatMap { Password($0) }
                case .new: try self.askTwice()
                }
            })
    }

    /// What is known already, else what the file has, else what is typed.
    private func password(typed: () throws -> Password?) throws -> Password? {
        try known.withLock { known in
            if known == nil { known = try file.map { try read($0) } ?? typed() }
            return known
        }
    }

    // MARK: The file

    private func read(_ path: String) throws -> Password {
        let shown = printable(path.utf8)
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw unreadable(shown, errno) }
        defer { close(descriptor) }
        var status = stat()
        if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_mode & 0o004 != 0 {
            progress.show(.warning("every user can read the password file \(shown): 'chmod 600' keeps it yours"))
        }
        guard let line = try firstLine(of: descriptor, failed: { unreadable(shown, $0) }) else {
            throw BackupError(.usage, "the first line of the password file \(shown) is longer than a password is")
        }
        guard let password = Password(line) else {
            throw BackupError(
                .usage, "the password file \(shown) has no password", advice: "It is the file's first line")
        }
        return password
    }

    private func unreadable(_ shown: String, _ number: Int32) -> BackupError {
        BackupError(.usage, "cannot read the password file \(shown): \(String(cString: strerror(number)))")
    }

    /// The bytes up to the first newline or the end; nil if they are too many.
    private func firstLine(of descriptor: Int32, failed: (Int32) -> BackupError) throws -> [UInt8]? {
        var line: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 512)
        while line.count <= Self.limit {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw failed(errno) }
            if let end = buffer[..<count].firstIndex(of: UInt8(ascii: "\n")) { return line + buffer[..<end] }
            line += buffer[..<count]
            if count == 0 { return line }
        }
        return nil
    }

    // MARK: The terminal

    private func askTwice() throws -> Password? {
        guard let first = try ask("New password: ") else {
            throw BackupError(
                .usage, "no password was given, and there is no terminal to ask for it",
                advice: "Give it with --password-file FILE, or name that file in \(Self.variable)")
        }
        guard let password = Password(first) else { throw BackupError(.usage, "the password is empty") }
        guard try ask("The same again: ") == first else { throw BackupError(.usage, "the two passwords differ") }
        return password
    }

    /// A line that is typed without being shown; nil without a terminal.
    private func ask(_ question: String) throws -> [UInt8]? {
        var terminal = termios()
        guard isatty(0) == 1, isatty(2) == 1, tcgetattr(0, &terminal) == 0 else { return nil }
        var silent = terminal
        silent.c_lflag &= ~tcflag_t(ECHO)
        progress.clear()
        // Before the question: nothing is typed while it would show.
        tcsetattr(0, TCSAFLUSH, &silent)
        Terminal.ask(question)
        defer {
            tcsetattr(0, TCSAFLUSH, &terminal)
            Terminal.ask("\n")
        }
        try Terminal.waitForInput(stop)
        let failed = { (number: Int32) in
            BackupError(.system, "cannot read from the terminal: \(String(cString: strerror(number)))")
        }
        return try firstLine(of: 0, failed: failed)
    }
}
