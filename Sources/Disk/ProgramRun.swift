import CLinux
import Glibc
import Model

/// Another program, run to its end for what it prints.
package struct ProgramRun: Sendable {
    /// How a program failed: a clause, without its arguments, which may be secret.
    package struct Failure: Error, CustomStringConvertible {
        package let description: String

        package init(_ description: String) {
            self.description = description
        }
    }

    /// The program, looked for in PATH unless there is a slash in it, and its arguments.
    private let words: [String]
    /// How often a signal is looked for.
    private static let pause: Int32 = 50
    /// What a program has to end in when it is asked to, before it is made to: in such pauses.
    private static let farewell = 40

    /// Nil without words. No shell reads them.
    package init?(words: [String]) {
        guard !words.isEmpty else { return nil }
        self.words = words
    }

    /// Waits for the end, however long that takes, and returns what came on standard output. Standard input and standard error
    /// are those of this process, since the program may ask somebody; and so are its environment and its process group.
    ///
    /// Throws ``Failure`` where it cannot be started, ends with another status than 0, or prints more than `limit` bytes; and
    /// `Stopped`. However this returns, the program has ended.
    package func output(limit: Int, until stop: StopFlag) throws -> [UInt8] {
        var ends: [Int32] = [-1, -1]
        let made = linux_pipe(&ends)
        guard made == 0 else { throw Self.failure(number: -made) }
        defer { linux_close(ends[0]) }
        let process = Self.start(words, output: ends[1])
        linux_close(ends[1])
        guard process > 0 else { throw Self.failure(number: -process) }
        let output: [UInt8]
        do {
            output = try Self.read(ends[0], limit: limit, until: stop)
        } catch {
            Self.finish(process)
            throw error
        }
        try Self.wait(for: process, until: stop)
        return output
    }

    private static func start(_ words: [String], output: Int32) -> Int32 {
        let copies = words.map { strdup($0) }
        defer { for copy in copies { free(copy) } }
        return (copies.map { UnsafePointer($0) } + [nil]).withUnsafeBufferPointer {
            linux_start_program($0.baseAddress, output)
        }
    }

    private static func read(_ descriptor: Int32, limit: Int, until stop: StopFlag) throws -> [UInt8] {
        var output: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        var input = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            try stop.check()
            guard poll(&input, 1, pause) > 0 else { continue }
            let count = linux_read(descriptor, &buffer, UInt(buffer.count))
            if count == -Int(EINTR) { continue }
            guard count >= 0 else { throw failure(number: Int32(-count)) }
            if count == 0 { return output }
            output += buffer[..<count]
            guard output.count <= limit else { throw Failure("it printed too much") }
        }
    }

    private static func wait(for process: Int32, until stop: StopFlag) throws {
        while true {
            switch state(of: process) {
            case .done: return
            case .failed(let failure): throw failure
            case .running: break
            }
            if stop.reason != nil { finish(process) }
            try stop.check()
            linux_sleep(UInt32(pause) / 10)
        }
    }

    private enum State {
        case running, done
        case failed(Failure)
    }

    /// Not to be asked again once it is not running: its number may be another's.
    private static func state(of process: Int32) -> State {
        var status: Int32 = 0
        let ended = waitpid(process, &status, WNOHANG)
        if ended == 0 || ended < 0 && errno == EINTR { return .running }
        guard ended == process else { return .failed(failure(number: errno)) }
        let signal = status & 0x7f
        if signal != 0 { return .failed(Failure("it was ended by signal \(signal)")) }
        let code = status >> 8 & 0xff
        return code == 0 ? .done : .failed(Failure("it ended with status \(code)"))
    }

    /// Asks it to end, and makes it end where it does not; no zombie stays.
    private static func finish(_ process: Int32) {
        kill(process, SIGTERM)
        for _ in 0..<farewell {
            guard case .running = state(of: process) else { return }
            linux_sleep(UInt32(pause))
        }
        kill(process, SIGKILL)
        var status: Int32 = 0
        while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    }

    private static func failure(number: Int32) -> Failure {
        if number == ENOENT { return Failure("there is no such program") }
        return Failure("it cannot be run: \(DiskError("run", "it", number: number).reason)")
    }
}
