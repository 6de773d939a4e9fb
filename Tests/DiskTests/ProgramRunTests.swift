import Foundation
import Model
import TestKit
import Testing

@testable import Disk

@Suite struct ProgramRunTests {
    private func output(_ words: String..., limit: Int = 1000, stop: StopFlag = StopFlag()) throws -> String {
        let run = try #require(ProgramRun(words: words))
        return String(decoding: try run.output(limit: limit, until: stop), as: UTF8.self)
    }

    private func failure(_ words: String..., limit: Int = 1000) throws -> String? {
        let run = try #require(ProgramRun(words: words))
        let error = #expect(throws: ProgramRun.Failure.self) { try run.output(limit: limit, until: StopFlag()) }
        return error?.description
    }

    @Test func whatItPrintsIsReturned() throws {
        #expect(ProgramRun(words: []) == nil)
        #expect(try output("printf", "%s|", "a b", "", "$HOME") == "a b||$HOME|")
        #expect(try output("/bin/echo", "by its path") == "by its path\n")
        #expect(try output("sh", "-c", "echo $PATH") != "\n")
        #expect(try output("true").isEmpty)
        #expect(try output("head", "-c", "100000", "/dev/zero", limit: 100_000).utf8.count == 100_000)
    }

    @Test func howItFailedIsToldWithoutItsArguments() throws {
        #expect(try failure("sh", "-c", "echo secret; exit 3") == "it ended with status 3")
        #expect(try failure("sh", "-c", "kill -9 $$") == "it was ended by signal 9")
        #expect(try failure("no-such-program-here", "secret") == "there is no such program")
        let missing = try failure("/no/such/program", "secret")
        #expect(missing?.hasPrefix("it cannot be run") == true || missing == "there is no such program")
        #expect(missing?.contains("secret") == false)
        #expect(try failure("/dev/null")?.contains("it cannot be run") == true)
        #expect(try failure("head", "-c", "1001", "/dev/zero") == "it printed too much")
    }

    /// What never ends by itself is ended, also what pays no heed to a friendly signal, and leaves no zombie.
    @Test(arguments: ["exec sleep 1000", "trap '' TERM; while :; do sleep 0.2; done"])
    func aStopEndsIt(script: String) throws {
        let tree = try TemporaryTree()
        let stop = StopFlag()
        let stopper = Thread {
            while !FileManager.default.fileExists(atPath: tree.path + "/pid") { usleep(1000) }
            stop.stop(signal: 15)
        }
        stopper.start()
        let run = try #require(
            ProgramRun(words: [
                "sh", "-c", "echo $$ > \(tree.path)/tmp; mv \(tree.path)/tmp \(tree.path)/pid; \(script)",
            ]))
        let error = #expect(throws: Stopped.self) { try run.output(limit: 1000, until: stop) }
        #expect(error?.signal == 15)
        let text = try String(contentsOfFile: tree.path + "/pid", encoding: .utf8)
        let process = try #require(pid_t(text.filter(\.isNumber)))
        #expect(kill(process, 0) != 0 && errno == ESRCH)
    }
}
