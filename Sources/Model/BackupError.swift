/// Why a command could not do what it was asked: one line for the user, and a code for programs.
///
/// Before it is thrown, whatever had been begun has been taken back, unless the code says otherwise.
public struct BackupError: Error, Sendable {
    public enum Code: String, Sendable, CaseIterable {
        /// The caller asked for something that makes no sense.
        case usage
        /// The configuration cannot be used.
        case configuration
        /// No such backup.
        case notFound = "not_found"
        /// The name of the new backup is taken.
        case nameTaken = "name_taken"
        /// Another run holds the lock.
        case locked
        /// The backup is damaged.
        case damaged
        /// The backup is encrypted, and the password is missing or wrong.
        case wrongPassword = "wrong_password"
        /// The plan may not be carried out; nothing was changed.
        case refused
        /// There is no room.
        case noSpace = "no_space"
        /// The file system or the operating system refused.
        case system
        /// A restore was interrupted and waits for `recover`.
        case recoveryPending = "recovery_pending"
        /// A restore failed and could not be taken back at once; `recover` goes on with it.
        case recoveryFailed = "recovery_failed"
        /// There is nothing to take back.
        case nothingToUndo = "nothing_to_undo"
        /// The user said no.
        case declined
        /// A signal asked to stop.
        case interrupted
    }

    public let code: Code
    /// What went wrong, and where: a clause without a full stop.
    public let message: String
    /// What to do now: a sentence, or empty.
    public let advice: String
    /// The signal's number, where the code is ``Code/interrupted``.
    public let signal: Int32?

    public init(_ code: Code, _ message: String, advice: String = "", signal: Int32? = nil) {
        self.code = code
        self.message = message
        self.advice = advice
        self.signal = signal
    }
}

extension BackupError: CustomStringConvertible {
    public var description: String {
        if advice.isEmpty { return message }
        return message.hasSuffix("?") ? "\(message) \(advice)" : "\(message). \(advice)"
    }
}
