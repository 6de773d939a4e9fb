import Model
import TestKit
import Testing

/// Promise 7: a crash or an error at any instant of a restore, an undo or a redo ends, after `recover`, in exactly the old or
/// exactly the new tree (T1, T2 of the transaction's specification).
@Suite struct RestoreFaultTests {
    /// A verb with the app as it is before it, and the tree that it brings.
    struct Exchange {
        let arguments: [String]
        let start: TemporaryTree
        let from: SmallApp.Side
        let to: SmallApp.Side

        func run(in app: TemporaryTree, fault: String?) throws -> Program.Answer {
            try Program.run(
                arguments + ["--app", app.path], environment: fault.map { ["CHASTIPI_FAULT": $0] } ?? [:])
        }

        /// Calls `body` with the app at each call that changes something.
        func atEachCall(_ body: (Int) throws -> Void) throws {
            let app = try start.copied()
            let count = try Program(in: app).countCalls(arguments[0], Array(arguments.dropFirst()))
            #expect(count > 20)
            for number in 1...count { try body(number) }
        }
    }

    static func exchanges(of small: SmallApp) throws -> [Exchange] {
        let restored = try small.tree.copied()
        try Program(in: restored).run("restore", "one", "--skip-safety-backup")
        let undone = try restored.copied()
        try Program(in: undone).run("undo")
        return [
            Exchange(
                arguments: ["restore", "one", "--skip-safety-backup"], start: small.tree, from: .old, to: .new),
            Exchange(arguments: ["undo"], start: restored, from: .new, to: .old),
            Exchange(arguments: ["undo"], start: undone, from: .old, to: .new),
        ]
    }

    @Test func aKillAtEachCallLeavesTheOldOrTheNewTree() throws {
        let small = try SmallApp()
        for exchange in try Self.exchanges(of: small) {
            var ends: Set<String> = []
            try exchange.atEachCall { number in
                let app = try exchange.start.copied()
                let answer = try exchange.run(in: app, fault: "\(number):kill")
                #expect(answer.status == 137, "call \(number) of \(exchange.arguments): \(answer)")
                let recovered = try Program(in: app).run("recover")
                #expect(recovered.status == 0, "call \(number): \(recovered)")
                let side = try small.side(of: app)
                #expect(side == .old || side == .new, "call \(number) of \(exchange.arguments): \(side)")
                ends.insert("\(side)")
                let again = try Program(in: app).run("recover")
                #expect(again.status == 0 && again.output.contains("nothing to do"), "\(again)")
                #expect(try small.side(of: app) == side)
                try expectNoConflicts(in: app)
            }
            #expect(ends.count == 2, "kills before and after the commit point: \(ends)")
        }
    }

    /// Once: the run takes everything back and says so. At that call and all later ones: what could not be taken back at once is
    /// said to be pending, and heals when the disk does.
    @Test(arguments: ["EIO", "late-EIO", "ENOSPC"])
    func anErrorAtEachCallIsTakenBack(fault: String) throws {
        let small = try SmallApp()
        for exchange in try Self.exchanges(of: small) {
            try exchange.atEachCall { number in
                let app = try exchange.start.copied()
                let answer = try exchange.run(in: app, fault: "\(number):\(fault)")
                let side = try small.side(of: app)
                switch answer.status {
                case 0: #expect(side == exchange.to, "call \(number): \(answer)")
                case 1: #expect(side == exchange.from, "call \(number): \(answer) \(side)")
                default: Issue.record("call \(number) of \(exchange.arguments), \(fault): \(answer)")
                }
                if answer.status == 1 {
                    #expect(answer.errors.hasPrefix("error: ") || answer.errors.contains("\nerror: "))
                }
                #expect(try Program(in: app).run("recover").status == 0)
                #expect(try small.side(of: app) == side)
                try expectNoConflicts(in: app)
            }
        }
    }

    @Test(arguments: ["EIO"])
    func errorsFromACallOnHealWhenTheDiskDoes(fault: String) throws {
        let small = try SmallApp()
        for exchange in try Self.exchanges(of: small) {
            try exchange.atEachCall { number in
                let app = try exchange.start.copied()
                let answer = try exchange.run(in: app, fault: "\(number)+:\(fault)")
                let isPending = answer.errors.contains("ecovery is pending")
                if !isPending {
                    let side = try small.side(of: app)
                    #expect(side == (answer.status == 0 ? exchange.to : exchange.from), "call \(number): \(answer)")
                }
                #expect(answer.status == 0 || answer.status == 1, "call \(number): \(answer)")
                #expect(try Program(in: app).run("recover").status == 0)
                let side = try small.side(of: app)
                #expect(side == .old || side == .new, "call \(number): \(side)")
            }
        }
    }

    @Test func aShortWriteIsFinished() throws {
        let small = try SmallApp()
        let exchange = try Self.exchanges(of: small)[0]
        try exchange.atEachCall { number in
            let app = try exchange.start.copied()
            #expect(try exchange.run(in: app, fault: "\(number):short").status == 0)
            #expect(try small.side(of: app) == .new)
        }
    }

    private func expectNoConflicts(in app: TemporaryTree) throws {
        #expect(try app.status(entry(".chastipi/conflicts")) == nil)
    }
}

@Suite(.enabled(if: runsLongTests, "make test-long runs it"))
struct RestoreFaultLongTests {
    @Test(arguments: ["EACCES", "EROFS", "EMFILE"])
    func anErrorAtEachCallIsTakenBack(fault: String) throws {
        try RestoreFaultTests().anErrorAtEachCallIsTakenBack(fault: fault)
    }

    @Test(arguments: ["ENOSPC"])
    func errorsFromACallOnHealWhenTheDiskDoes(fault: String) throws {
        try RestoreFaultTests().errorsFromACallOnHealWhenTheDiskDoes(fault: fault)
    }

    /// The recovery is killed, too, at each of its calls.
    @Test func aSecondKillDuringTheRecoveryChangesNothing() throws {
        let small = try SmallApp()
        for exchange in try RestoreFaultTests.exchanges(of: small) {
            try exchange.atEachCall { number in
                let killed = try exchange.start.copied()
                _ = try exchange.run(in: killed, fault: "\(number):kill")
                for second in 1... {
                    let app = try killed.copied()
                    let answer = try Program(in: app).run("recover", fault: "\(second):kill")
                    if answer.status == 0 { break }
                    #expect(answer.status == 137, "calls \(number), \(second): \(answer)")
                    #expect(try Program(in: app).run("recover").status == 0)
                    let side = try small.side(of: app)
                    #expect(side == .old || side == .new, "calls \(number), \(second): \(side)")
                }
            }
        }
    }
}
