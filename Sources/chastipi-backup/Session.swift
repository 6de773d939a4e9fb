import CLinux
import ChastiPiBackup
import Glibc
import Model

/// What one run of the program has: its options, its clocks, its signals, and the ways in which it tells.
final class Session: Sendable {
    let options: SharedOptions
    let progress: ProgressDisplay
    let run: RunContext

    init(_ options: SharedOptions) {
        self.options = options
        let progress = ProgressDisplay(isQuiet: options.quiet, isVerbose: options.verbose, isJSON: options.json)
        self.progress = progress
        let stop = StopFlag()
        Signals.pass(to: stop)
        let passwords = PasswordInput(file: options.passwordFile, stop: stop, progress: progress)
        run = RunContext(
            clock: SystemClock.clock, random: SystemRandom.bytes, stop: stop, threads: SystemClock.cores,
            passwords: passwords.source, repositoryPasswords: passwords.ofRepositories,
            report: { progress.show($0) })
    }

    /// `repository`: instead of the one that the options name.
    func manager(repository: String? = nil) throws -> BackupManager {
        try BackupManager(
            app: try options.appPath(), backupDirectory: options.backupDir, configurationFile: options.config,
            repository: repository ?? options.repository, patience: try options.patience(), run: run)
    }

    /// Prints a result, as a document or as text.
    func print(_ document: @autoclosure () -> JSONOutput, text: () -> [String]) {
        progress.clear()
        if options.json {
            Terminal.print(document().document)
        } else {
            for line in text() { Terminal.print(line) }
        }
    }

    /// Tells something beside the result; nothing where a document has it.
    func tell(_ lines: [String]) {
        if !options.quiet { insist(lines) }
    }

    /// Tells what must be known also by who wants to hear little: what was not read or not kept.
    func insist(_ lines: [String]) {
        guard !options.json else { return }
        progress.clear()
        for line in lines { Terminal.complain(line) }
    }

    func warn(_ text: String) { progress.show(.warning(text)) }

    enum WithoutTerminal {
        case goOn
        case refuse(verb: String)
    }

    /// Shows what will be done and asks, on a terminal. Without one the answer is what `otherwise` says.
    func confirm(
        _ question: String, showing lines: [String], yes: Bool, otherwise: WithoutTerminal
    ) throws -> Bool {
        let isTerminal = isatty(0) == 1 && isatty(2) == 1
        if !yes, !isTerminal, case .refuse(let verb) = otherwise {
            throw BackupError(
                .usage, "\(verb) asks before it begins, and there is no terminal",
                advice: "Add --yes if you are sure")
        }
        tell(lines)
        guard !yes, isTerminal else { return true }
        progress.clear()
        Terminal.ask("\(question) [y/N] ")
        try Terminal.waitForInput(run.stop)
        let answer = readLine(strippingNewline: true) ?? ""
        return ["y", "yes"].contains(answer.lowercased())
    }
}

/// Signals end the run in good order; a second one, a second later, at once.
private enum Signals {
    static func pass(to stop: StopFlag) {
        var ends: [Int32] = [0, 0]
        guard linux_pipe(&ends) == 0 else { return }
        linux_catch_signals(ends[1])
        let context = Unmanaged.passRetained(SignalReader(descriptor: ends[0], stop: stop))
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<SignalReader>.fromOpaque(raw).takeRetainedValue().read()
                return nil
            }, context.toOpaque())
        if result == 0 { pthread_detach(thread) } else { context.release() }
    }
}

private final class SignalReader: Sendable {
    private let descriptor: Int32
    private let stop: StopFlag

    init(descriptor: Int32, stop: StopFlag) {
        self.descriptor = descriptor
        self.stop = stop
    }

    func read() {
        var number: UInt8 = 0
        while true {
            let count = Glibc.read(descriptor, &number, 1)
            if count == 1 { stop.stop(signal: Int32(number)) }
            if count == 0 || count < 0 && errno != EINTR { return }
        }
    }
}

enum SystemClock {
    static let clock = Clock(
        wall: {
            let time = now(CLOCK_REALTIME)
            return Timestamp(seconds: Int64(time.tv_sec), nanoseconds: UInt32(time.tv_nsec))
        },
        monotonic: {
            let time = now(CLOCK_MONOTONIC)
            return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
        },
        offset: { moment in
            var seconds = time_t(clamping: moment.seconds)
            var local = tm()
            return localtime_r(&seconds, &local) == nil ? 0 : local.tm_gmtoff
        })

    static var cores: Int { min(8, max(1, sysconf(Int32(_SC_NPROCESSORS_ONLN)))) }

    private static func now(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}

enum SystemRandom {
    static func bytes(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }
}
