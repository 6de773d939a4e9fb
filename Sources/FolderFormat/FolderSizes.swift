import Codec
import Containers
import Disk
import Model
import Workers

extension FolderContainer {
    /// Measures with stat alone, no content is read; what was measured is remembered as long as the set of backups stays
    /// the same.
    package func sizes(of backups: [Backup]) throws -> BackupSizes {
        let key = Self.key(of: backups)
        let state = try place.state()
        if let known = state?.sizes().flatMap({ BackupSizes(remembered: $0, key: key) }) { return known }
        let shares = try pool.map(backups.count) { _, index in try measure(backups[index]) }
        var sizes = BackupSizes()
        for (backup, share) in zip(backups, shares) { sizes.alone[backup.name.text] = share.alone }
        sizes.together = UInt64(min(shares.reduce(0) { $0 + $1.part }.rounded(), Double(Int64.max)))
        do throws(DiskError) {
            try state?.writeSizes(sizes.remembered(key: key))
        } catch {
            // A read-only medium, or not our directory: it is measured again next time.
        }
        return sizes
    }

    private static func key(of backups: [Backup]) -> String {
        let lines = backups.map { "\($0.name.text) \($0.seal?.hex ?? "-")" }.sorted()
        return SHA256.digest(of: Array(lines.joined(separator: "\n").utf8)).hex
    }

    private struct Share: Sendable {
        var alone: UInt64 = 0
        /// Each file's bytes divided by the number of its names: over all backups that is each file once.
        var part: Double = 0
    }

    /// A file with several names, of which `count` are in one backup.
    private struct SharedFile {
        var count: UInt32 = 0
        let links: UInt32
        let allocated: UInt64
    }

    /// What is in a directory; nothing if it cannot be read: that is verify's to find, and keeps nobody from a list.
    private func statuses(
        in path: EntryPath, of folder: Directory
    ) throws(DiskError) -> [(name: [UInt8], status: FileStatus)] {
        do throws(DiskError) {
            let directory = try folder.directory(at: path)
            var found: [(name: [UInt8], status: FileStatus)] = []
            for item in try directory.items() {
                if let status = try directory.status(of: item.name) { found.append((item.name, status)) }
            }
            return found
        } catch {
            guard [.denied, .io, .notFound, .notDirectory, .isLink].contains(error.code) else { throw error }
            return []
        }
    }

    private func measure(_ backup: Backup) throws -> Share {
        var share = Share()
        var shared: [FileIdentity: SharedFile] = [:]
        let folder = try directory.directory(backup.name.text.utf8)
        var paths: [EntryPath] = [.root]
        while let path = paths.popLast() {
            for (name, status) in try statuses(in: path, of: folder) {
                if status.kind == .directory { paths.append(path.appending(name)) }
                if status.links > 1 && status.kind != .directory {
                    let file = SharedFile(links: status.links, allocated: status.allocated)
                    shared[status.identity, default: file].count += 1
                } else {
                    share.alone += status.allocated
                }
            }
        }
        share.part = Double(share.alone)
        for file in shared.values {
            share.part += Double(file.allocated) * Double(file.count) / Double(file.links)
            if file.count == file.links { share.alone += file.allocated }
        }
        // Shared blocks of reflinks do not show: what was written then is what is known.
        if let written = backup.bytesAlone { return Share(alone: written, part: Double(written)) }
        return share
    }
}

extension BackupSizes {
    fileprivate init?(remembered bytes: [UInt8], key: String) {
        let value: JSONValue
        do throws(JSONError) {
            value = try JSONReader.read(bytes)
        } catch {
            return nil
        }
        guard value["key"]?.stringValue == key, let together = value["together"]?.unsignedValue,
            let members = value["alone"]?.objectValue
        else { return nil }
        self.init()
        self.together = together
        for member in members { alone[member.key] = member.value.unsignedValue }
    }

    fileprivate func remembered(key: String) -> [UInt8] {
        JSONValue.object([
            .init("key", .string(key)), .init("together", .unsigned(together)),
            .init("alone", .object(alone.sorted { $0.key < $1.key }.map { .init($0.key, .unsigned($0.value)) })),
        ]).encode(pretty: true)
    }
}
