/// Why bytes are not what the format says: a clause about them, safe to print.
package struct FormatError: Error, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
