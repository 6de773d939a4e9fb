import Codec
import Containers
import Disk
import Model
import Workers

/// The folder backups of a backup directory.
package struct FolderContainer: Container {
    package let place: BackupDirectory
    let pool: ThreadPool
    let run: RunContext

    var directory: Directory { place.directory }

    /// What else lies beside the backups and is none of them: the kit's program, and what Python keeps of the kit's module.
    private static let kitFolders = ["bin", "__pycache__"]

    package init(_ place: BackupDirectory, pool: ThreadPool, in run: RunContext) {
        self.place = place
        self.pool = pool
        self.run = run
    }

    package var format: BackupFormat { .folder }

    package func isTaken(_ name: BackupName) throws -> Bool {
        try directory.status(of: name.text.utf8) != nil
    }

    package func contents(of name: BackupName) throws -> any BackupContents { try folder(name) }

    /// Opens a backup; see ``contents(of:)``.
    package func folder(_ name: BackupName) throws -> FolderContents {
        guard try directory.status(of: name.text.utf8)?.kind == .directory else {
            throw BackupError.noBackup(name.text)
        }
        let folder: Directory
        do throws(DiskError) {
            folder = try directory.directory(name.text.utf8)
        } catch {
            guard error.code == .notFound else { throw error }
            throw BackupError.noBackup(name.text)
        }
        do {
            return try FolderContents(name.text, in: folder, offset: run.clock.offset)
        } catch let error as BackupError where error.code == .damaged {
            // Deleted since it was looked up?
            guard try directory.status(of: name.text.utf8) == nil else { throw error }
            throw BackupError.noBackup(name.text)
        }
    }

    /// What the next backup needs to know of this one; nil if that is not known any more.
    package func seen(_ name: BackupName, _ manifest: Manifest) throws(DiskError) -> SeenRecords? {
        try place.state()?.seen(name, seal: manifest.seal, count: manifest.table.count)
    }

    /// What the next backup needs to know of this one's databases.
    package func databases(_ name: BackupName, _ manifest: Manifest) throws(DiskError) -> DatabaseStates? {
        try place.state()?.databases(name, seal: manifest.seal)
    }
}

// Listing.
extension FolderContainer {
    /// All backups, from their metadata and from what is known beside them; their content is not read.
    package func backups() throws -> BackupListing {
        var listing = BackupListing()
        let state = try place.state()
        for item in try directory.items() where item.name.first != UInt8(ascii: ".") {
            guard try directory.kind(of: item) == .directory else { continue }
            let text = printable(item.name)
            do {
                let name = try BackupName(String(decoding: item.name, as: UTF8.self))
                if let backup = try summary(of: name, in: try directory.directory(item.name), state) {
                    listing.backups.append(backup)
                } else if !Self.kitFolders.contains(name.text) {
                    listing.foreign.append((text, "neither metadata nor manifest"))
                }
            } catch let error as BackupNameError {
                listing.foreign.append((text, "\(error)"))
            } catch let error as DiskError {
                // Deleted since the listing was made, or not ours to read.
                if error.code != .notFound { listing.foreign.append((text, error.reason)) }
            }
        }
        return listing
    }

    /// Nil if nothing of a backup is there.
    private func summary(of name: BackupName, in folder: Directory, _ state: StateFolder?) throws -> Backup? {
        let seal = try seal(of: folder)
        let hasMetadata = try folder.status(of: BackupMetadata.fileName.utf8) != nil
        let hasManifest = try folder.status(of: Manifest.fileName.utf8) != nil
        guard hasMetadata || hasManifest else { return nil }
        var backup = Backup(
            name: name, format: .folder, origin: .ours,
            time: LocalTime(moment: try folder.status().modified, offset: 0),
            seal: seal)
        backup.time.offset = run.clock.offset(backup.time.moment)
        guard hasMetadata else {
            backup.state = .damaged("\(BackupMetadata.fileName) is missing")
            return backup
        }
        do {
            try fill(&backup, from: folder, hasManifest: hasManifest)
        } catch let error as BackupError {
            backup.state = .damaged(error.whatIsDamaged)
        } catch let error as MetadataError {
            backup.state = .damaged("\(BackupMetadata.fileName): \(error)")
        }
        if backup.state == .unverified, let record = state?.verification(name.text), record.seal == seal {
            if let damage = record.damage {
                backup.state = .damaged(damage)
            } else if record.percent >= 100 {
                backup.state = .verified(record.time.moment)
            }
        }
        return backup
    }

    private func fill(_ backup: inout Backup, from folder: Directory, hasManifest: Bool) throws {
        guard
            let bytes = try FolderContents.read(
                BackupMetadata.fileName, of: folder, named: backup.name.text, limit: BackupMetadata.sizeLimit)
        else { return }
        let metadata = try BackupMetadata.read(bytes)
        backup.take(metadata)
        guard let details = metadata.details else {
            let offset = run.clock.offset(metadata.time.moment)
            backup.time = LocalTime(moment: metadata.time.moment.adding(seconds: -Int64(offset)), offset: offset)
            backup.origin = .original
            if hasManifest { backup.state = .damaged("it has a manifest, but the metadata of the original tool") }
            return
        }
        if details.sharing == .reflink { backup.bytesAlone = details.bytesWritten }
        if !hasManifest {
            backup.state = .damaged("\(Manifest.fileName) is missing")
        } else if backup.seal == nil {
            backup.state = .damaged("\(Manifest.fileName) does not end with its seal")
        }
    }

    /// The hash that ends the manifest, unchecked.
    private func seal(of folder: Directory) throws -> SHA256Digest? {
        do throws(DiskError) {
            let file = try OpenFile(Manifest.fileName.utf8, in: folder)
            guard try file.status().kind == .file else { return nil }
            return ManifestReader.seal(inTail: try file.readTail(256))
        } catch {
            guard [.notFound, .isLink, .io].contains(error.code) else { throw error }
            return nil
        }
    }
}
