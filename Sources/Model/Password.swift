/// A password. Printed it is the word "password", whatever it is.
public struct Password: Sendable {
    package let bytes: [UInt8]

    /// Nil if there are no bytes.
    public init?(_ bytes: some Sequence<UInt8>) {
        let bytes = Array(bytes)
        if bytes.isEmpty { return nil }
        self.bytes = bytes
    }
}

extension Password: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "password" }
    public var debugDescription: String { "password" }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Where a run has its password from. It is asked only when something encrypted is read or written.
public struct PasswordSource: Sendable {
    /// The password to read a backup with; nil if there is none and nobody to ask. The argument is the backup's name.
    package let toRead: @Sendable (String) throws -> Password?
    /// The password to write with: nil if there is none yet. Where one is needed (the argument) it is asked for.
    package let toWrite: @Sendable (Bool) throws -> Password?

    public init(
        toRead: @escaping @Sendable (String) throws -> Password?,
        toWrite: @escaping @Sendable (Bool) throws -> Password?
    ) {
        self.toRead = toRead
        self.toWrite = toWrite
    }

    /// One that is known, or none at all.
    public init(_ password: Password?) {
        self.init(toRead: { _ in password }, toWrite: { _ in password })
    }

    /// What is known without asking anybody.
    package func known() throws -> Password? { try toWrite(false) }
}
