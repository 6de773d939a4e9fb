import Model

/// Entries that belong to nobody's tree: kept in `conflicts/N/entry`, with their place in `conflicts/N/path`, until the
/// user discards them.
enum Conflicts {
    /// Moves `name` of `directory`, found at `path` of the app, to a folder of its own. Returns that folder's path.
    static func keep(
        _ path: EntryPath, name: some Collection<UInt8>, from directory: Directory, in volume: RestoreFolders.Volume
    ) throws(DiskError) -> String {
        let conflicts = try volume.own.directory(making: "conflicts".utf8)
        for number in 1... {
            let folder = try conflicts.directory(making: String(number).utf8)
            if try folder.status(of: "entry".utf8) != nil { continue }
            // Durable with the next sync: what stands at a place is still there if that never comes.
            if try folder.status(of: "path".utf8) != nil { try folder.unlink("path".utf8) }
            var line: [UInt8] = []
            EscapedBytes.append(path.bytes, to: &line)
            var file = try NewFile("path".utf8, in: folder)
            try folder.giveToOwner(file.descriptor)
            try file.write(line + [UInt8(ascii: "\n")])
            try directory.move(name, to: folder, as: "entry".utf8)
            return "\(RestoreFolders.name)/conflicts/\(number)"
        }
        throw DiskError(.other, "keep", path.description, because: "there are too many conflicts")
    }
}
