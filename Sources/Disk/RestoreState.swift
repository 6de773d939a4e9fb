import Model

/// The one commit point of restores: the line in `.chastipi/state` (D1-D4).
struct RestoreState: Equatable, Sendable {
    enum Phase: String, Sendable {
        case idle, forward, backward, settled
    }

    /// A transaction and its journal: `ID.K`.
    struct Transaction: Hashable, Sendable {
        let id: String
        let number: Int

        var text: String { "\(id).\(number)" }
    }

    /// Names our folders on other file systems, so that nested apps never take each other's.
    let token: String
    var phase: Phase
    var current: Transaction?
    /// What the state returns to if the unfinished transaction is taken back.
    var previous: Transaction?

    /// The state with another phase and other transactions.
    func with(_ phase: Phase, _ current: Transaction?, _ previous: Transaction?) -> RestoreState {
        RestoreState(token: token, phase: phase, current: current, previous: previous)
    }

    var line: [UInt8] {
        let fields = [
            "chastipi-state", "1", token, phase.rawValue, current?.text ?? "-", previous?.text ?? "-",
        ]
        let body = fields.joined(separator: " ")
        return Array("\(body) \(CRC64.hex(of: body.utf8))\n".utf8)
    }

    /// Nil unless `bytes` are exactly one valid line.
    init?(line bytes: [UInt8]) {
        guard bytes.last == UInt8(ascii: "\n"), bytes.count < 512 else { return nil }
        let text = String(decoding: bytes.dropLast(), as: UTF8.self)
        let fields = text.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 7, fields[0] == "chastipi-state", fields[1] == "1",
            fields[6] == CRC64.hex(of: fields[..<6].joined(separator: " ").utf8),
            isHexID(fields[2]), let phase = Phase(rawValue: fields[3])
        else { return nil }
        var transactions: [Transaction?] = []
        for field in fields[4...5] {
            if field == "-" {
                transactions.append(nil)
                continue
            }
            guard let transaction = Transaction(text: field) else { return nil }
            transactions.append(transaction)
        }
        token = fields[2]
        self.phase = phase
        current = transactions[0]
        previous = transactions[1]
        guard (phase == .idle) == (current == nil), phase == .forward || phase == .backward || previous == nil else {
            return nil
        }
    }

    init(token: String, phase: Phase, current: Transaction? = nil, previous: Transaction? = nil) {
        self.token = token
        self.phase = phase
        self.current = current
        self.previous = previous
    }
}

extension RestoreState.Transaction {
    init?(text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, isHexID(String(parts[0])), let number = Int(parts[1]), number > 0,
            String(number) == parts[1]
        else { return nil }
        self.init(id: String(parts[0]), number: number)
    }
}

/// 32 lower-case hexadecimal digits.
func isHexID(_ text: String) -> Bool {
    text.utf8.count == 32
        && text.utf8.allSatisfy {
            UInt8(ascii: "0")...UInt8(ascii: "9") ~= $0 || UInt8(ascii: "a")...UInt8(ascii: "f") ~= $0
        }
}
