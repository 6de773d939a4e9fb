import Glibc
import Model
import Synchronization

/// Shows events as they come: a line that is written over and over on a terminal, plain lines elsewhere if asked for.
final class ProgressDisplay: Sendable {
    private struct State {
        var phase: Event.Phase?
        var entries = 0
        var bytes: UInt64 = 0
        var began: UInt64 = 0
        var isShown = false
    }

    private let state = Mutex(State())
    private let hasLine: Bool
    private let isQuiet: Bool
    private let isVerbose: Bool
    private let isJSON: Bool

    init(isQuiet: Bool, isVerbose: Bool, isJSON: Bool) {
        self.isQuiet = isQuiet
        self.isVerbose = isVerbose
        self.isJSON = isJSON
        let isDumb = getenv("TERM").map { String(cString: $0) == "dumb" } ?? true
        hasLine = !isQuiet && !isJSON && !isDumb && isatty(2) == 1
    }

    func show(_ event: Event) {
        if isJSON {
            var isWarning = false
            if case .warning = event { isWarning = true }
            if isVerbose || isWarning { Terminal.complain(JSONOutput.event(event).line) }
            return
        }
        switch event {
        case .started(let phase, let entries, let bytes): start(phase, entries, bytes)
        case .progress(let phase, let entries, let bytes, let current):
            progress(phase, entries, bytes, current)
        case .skipped(let skipped): say("skipped: \(skipped.path): \(skipped.reason)", always: true)
        case .warning(let text): say("warning: \(text)", always: true)
        case .note(let text): say(text, always: false)
        }
    }

    /// Takes the line off the terminal before something else is printed.
    func clear() {
        state.withLock { state in
            if state.isShown { Terminal.write("\r\u{1b}[K", to: 2) }
            state.isShown = false
        }
    }

    private func say(_ text: String, always: Bool) {
        guard always || isVerbose && !isQuiet else { return }
        clear()
        Terminal.complain(text)
    }

    private func start(_ phase: Event.Phase, _ entries: Int, _ bytes: UInt64) {
        state.withLock { state in
            state.phase = phase
            state.entries = entries
            state.bytes = bytes
            state.began = SystemClock.clock.monotonic()
        }
        if !hasLine, isVerbose, !isQuiet {
            Terminal.complain(
                entries > 0 ? "\(phase.rawValue): \(entries) entries, \(ByteCount(bytes))" : phase.rawValue)
        }
    }

    private func progress(_ phase: Event.Phase, _ entries: Int, _ bytes: UInt64, _ current: String) {
        guard hasLine else { return }
        state.withLock { state in
            let seconds = Double(SystemClock.clock.monotonic() - state.began) / 1e9
            let rate = seconds > 0.2 ? Double(bytes) / seconds : 0
            var line = "\(phase.rawValue) \(entries)"
            if state.entries > 0 { line += " of \(state.entries)" }
            if bytes > 0 { line += ", \(ByteCount(bytes)), \(ByteCount(UInt64(rate)))/s" }
            if rate > 0, state.bytes > bytes {
                line += ", \(Int(Double(state.bytes - bytes) / rate) + 1) s left"
            }
            line += "  \(current)"
            Terminal.write("\r\u{1b}[K" + fitting(line), to: 2)
            state.isShown = true
        }
    }

    private func fitting(_ line: String) -> String {
        var size = winsize()
        let columns = ioctl(2, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 10 ? Int(size.ws_col) : 80
        return line.count < columns ? line : String(line.prefix(columns - 2)) + "…"
    }
}
