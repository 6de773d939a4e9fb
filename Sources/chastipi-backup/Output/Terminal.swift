import Glibc
import Model
import Synchronization

/// Writes lines. A reader that went away (`list | head -1`) ends the output, not the run.
enum Terminal {
    /// Why results could not be written, where nobody had gone away.
    private static let lost = Mutex<Int32?>(nil)

    /// The exit status of a run that ended well, if its results reached whoever wanted them.
    static func status(after status: Int32) -> Int32 {
        guard let number = lost.withLock({ $0 }) else { return status }
        complain("error: the output could not be written: \(String(cString: strerror(number)))")
        return status == ExitStatus.done ? ExitStatus.incomplete : status
    }

    static func print(_ line: String) { write(line + "\n", to: 1) }

    static func complain(_ line: String) { write(line + "\n", to: 2) }

    static func ask(_ question: String) { write(question, to: 2) }

    /// Until there is an answer. Nothing has begun: a signal ends it here, and does not wait for one.
    static func waitForInput(_ stop: StopFlag) throws {
        var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        while true {
            let ready = poll(&input, 1, 100)
            if let signal = stop.reason {
                throw BackupError(.interrupted, "interrupted; nothing was changed", signal: signal)
            }
            if ready > 0 || ready < 0 && errno != EINTR { return }
        }
    }

    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            if count <= 0 {
                let number = errno
                if descriptor == 1, number != EPIPE, number != EBADF { lost.withLock { $0 = number } }
                return
            }
            bytes = bytes.dropFirst(count)
        }
    }
}
