import Model

// What is kept for an undo.
extension RestoreFolders {
    package struct KeptEntry: Sendable {
        /// Where it is kept.
        package let description: String
        package let bytes: UInt64
        /// When the last restore or undo of it began.
        package let since: Timestamp
    }

    /// The transactions and conflicts that `undo --discard` gives up, with their sizes.
    package func keptEntries() throws -> [KeptEntry] {
        var kept: [KeptEntry] = []
        for volume in volumes {
            for name in ["restores", "conflicts"] where try volume.own.status(of: name.utf8) != nil {
                let folder = try volume.own.directory(name.utf8)
                for item in try folder.items().sorted(by: { $0.name.lexicographicallyPrecedes($1.name) }) {
                    let entry = try folder.directory(item.name)
                    kept.append(
                        KeptEntry(
                            description: "\(Self.name)/\(name)/\(printable(item.name))",
                            bytes: try entry.bytesBelow(), since: try entry.status().modified))
                }
            }
        }
        return kept
    }
}

extension Directory {
    /// Bytes that all below this directory occupies.
    package func bytesBelow() throws(DiskError) -> UInt64 {
        var bytes: UInt64 = 0
        var paths: [EntryPath] = [.root]
        while let path = paths.popLast() {
            let directory = try directory(at: path)
            for item in try directory.items() {
                guard let status = try directory.status(of: item.name) else { continue }
                if status.kind == .directory {
                    paths.append(path.appending(item.name))
                } else {
                    bytes += status.allocated
                }
            }
        }
        return bytes
    }
}
