import Model

/// The entries of a backup with their attributes and hashes, as an mtree(5) file: `Documentation/Formats/folder.md` has
/// the bytes. A value; ``ManifestWriter`` and ``ManifestReader`` are its two directions.
package struct Manifest: Sendable {
    package static let fileName = "MANIFEST.mtree"
    /// Begins lines that together are the whole metadata, in base64, where the metadata file withholds names.
    static let metadataPrefix = "#metadata "

    /// What the folder really has where it could not hold what the source had.
    package struct Held: Sendable, Equatable {
        package var user: UInt32
        package var group: UInt32
        package var mode: UInt16
        /// Whether extended attributes stand in the manifest alone.
        package var lacksExtended: Bool

        package init(user: UInt32, group: UInt32, mode: UInt16, lacksExtended: Bool) {
            self.user = user
            self.group = group
            self.mode = mode
            self.lacksExtended = lacksExtended
        }
    }

    /// Attributes are the source's. The root is an entry unless it has the `ancestor` flag.
    package var table: EntryTable
    /// By index.
    package var held: [Int: Held]
    package var metadataSize: UInt64
    package var metadataDigest: SHA256Digest
    /// SHA-256 of all bytes before the last line. Finds damage, not forgery.
    package var seal: SHA256Digest
    /// The bytes of the whole metadata, where the metadata file withholds names; else empty.
    package var wholeMetadata: [UInt8] = []

    package init(
        table: EntryTable, held: [Int: Held], metadataSize: UInt64, metadataDigest: SHA256Digest, seal: SHA256Digest
    ) {
        self.table = table
        self.held = held
        self.metadataSize = metadataSize
        self.metadataDigest = metadataDigest
        self.seal = seal
    }

    /// Whether the top level of a backup may not hold an entry of this name.
    package static func isReserved(_ path: EntryPath) -> Bool {
        path.bytes.elementsEqual(fileName.utf8) || path.bytes.elementsEqual(BackupMetadata.fileName.utf8)
    }
}

/// A manifest that cannot be trusted: the line, counted from 1, and what is wrong there.
package struct ManifestError: Error, Hashable, Sendable, CustomStringConvertible {
    package let line: Int
    package let message: String

    package var description: String { line == 0 ? message : "line \(line): \(message)" }
}
