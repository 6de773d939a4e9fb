/// Where a password is found.
public enum PasswordOrigin: Sendable {
    /// The path of a file that has it, with white space around it or without.
    case file(String)
    /// A program with its arguments, which prints it.
    case command([String])
    case known(Password)

    /// A program with its arguments, as one would type them: quotes and backslashes count, and nothing is expanded.
    public init(commandText text: String) throws(BackupError) {
        do throws(CommandWordsError) {
            self = .command(try CommandWords.split(text))
        } catch {
            throw BackupError(.usage, "the password command cannot be used: \(error)")
        }
    }
}

/// Where a run has the passwords of repositories from, beside what a repository's own configuration says.
public struct RepositoryPasswords: Sendable {
    /// What a person is asked for.
    public enum Question: Sendable, Equatable {
        /// The password that opens the repository at a place. It is asked again where it was wrong.
        case opening(String)
        /// A password for a new repository, or a new one for an old repository; to be typed twice.
        case new
    }

    /// What was said for this run: before the configuration.
    package let named: PasswordOrigin?
    /// What the surroundings offer: after the configuration.
    package let usual: @Sendable () throws -> PasswordOrigin?
    /// Nil where there is nobody to ask.
    package let ask: @Sendable (Question) throws -> Password?

    public init(
        named: PasswordOrigin? = nil, usual: @escaping @Sendable () throws -> PasswordOrigin? = { nil },
        ask: @escaping @Sendable (Question) throws -> Password? = { _ in nil }
    ) {
        self.named = named
        self.usual = usual
        self.ask = ask
    }
}
