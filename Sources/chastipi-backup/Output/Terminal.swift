import Glibc

/// Writes lines. A reader that went away (`list | head -1`) ends the output, not the run.
enum Terminal {
    static func print(_ line: String) { write(line + "\n", to: 1) }

    static func complain(_ line: String) { write(line + "\n", to: 2) }

    static func ask(_ question: String) { write(question, to: 2) }

    static func write(_ text: String, to descriptor: Int32) {
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            // EPIPE or a full disk: nobody reads on, and there is nobody to tell.
            if count <= 0 { return }
            bytes = bytes.dropFirst(count)
        }
    }
}
