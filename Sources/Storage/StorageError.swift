import Model

/// Why a backend could not do what it was asked.
package struct StorageError: Error, Sendable {
    /// What a caller can do about it.
    package enum Code: Sendable, CaseIterable {
        /// There is no such object.
        case notFound
        /// There is one already, and it stays as it is.
        case exists
        /// The object ends before the bytes that were asked for.
        case tooShort
        case denied, readOnly, noSpace
        /// Nothing is known to be wrong with the object: another try may succeed.
        case unavailable
        /// What was found is not what had to be there.
        case invalid
        case other
    }

    package let code: Code
    /// What was tried, as a verb: `read`, `create`.
    package let operation: String
    /// The object or the place; safe to print, without secrets.
    package let subject: String
    /// Why, as a clause.
    package let reason: String

    package init(_ code: Code, _ operation: String, _ subject: String, because reason: String) {
        self.code = code
        self.operation = operation
        self.subject = subject
        self.reason = reason
    }
}

extension StorageError: CustomStringConvertible {
    package var description: String { "cannot \(operation) \(subject): \(reason)" }
}
