import Codec
import Model
import Storage

/// Puts new index files into the place of some that there are: the new ones are stored before the first old one is removed, so that
/// at every moment all packs are listed that stay. Crash after crash, old and new ones together are right as long as no pack that is
/// taken out of the index was removed.
struct IndexRewrite {
    let files: IndexFiles
    /// Packs that are taken out, by number.
    var excluded: Set<Int> = []
    /// Packs with what is in them, for which nothing counts that the files say.
    var added: [IndexedPack] = []

    /// Files that list something else than they should, that cannot be read, or, if there is any of those or are many, that are not
    /// full: each backup adds a small one.
    func replaced() -> (files: [IndexFiles.File], unreadable: [ObjectKey]) {
        let changed = Set(added.compactMap { files.index.packNumber(of: $0.id) }).union(excluded)
        let wrong = files.files.filter { file in file.packs.contains { changed.contains(Int($0)) } }
        let small = files.files.filter { $0.blobs < IndexFiles.fullFile }
        let isNeeded = !wrong.isEmpty || !added.isEmpty || !files.unreadable.isEmpty
        guard isNeeded || small.count >= Self.manyFiles else { return ([], []) }
        let ids = Set((wrong + small).map(\.id))
        return (files.files.filter { ids.contains($0.id) }, files.unreadable.map(\.key))
    }

    /// So many small files are worth being joined.
    static let manyFiles = 10

    /// Writes the new files and removes the old ones. Throws before the first is removed if not all new ones could be stored.
    func perform(_ repository: Repository) throws {
        let (old, unreadable) = replaced()
        if old.isEmpty && unreadable.isEmpty && added.isEmpty { return }
        try write(old, repository)
        let keys = old.map { ObjectKey.index($0.id) } + unreadable
        if let failure = repository.remove(keys).first {
            throw BackupError(.system, "\(failure.subject): \(failure.message); no pack was removed")
        }
    }

    private func write(_ old: [IndexFiles.File], _ repository: Repository) throws {
        let replacedIDs = Set(old.map(\.id))
        let replacing = Set(added.map(\.id))
        // What stays listed elsewhere need not be written again.
        var done = BlobMarks(size: files.index.packs.count)
        for file in files.files where !replacedIDs.contains(file.id) {
            for pack in file.packs { done.insert(Int(pack)) }
        }
        var tools = repository.packingTools()
        var (packs, blobs): ([IndexedPack], Int) = ([], 0)
        func add(_ pack: IndexedPack) throws {
            packs.append(pack)
            blobs += pack.blobs.count
            if blobs >= IndexFiles.fullFile { try store() }
        }
        func store() throws {
            if packs.isEmpty { return }
            try repository.storeIndex(packs, &tools)
            (packs, blobs) = ([], 0)
        }
        for file in old {
            for number in file.packs.map({ Int($0) }) {
                guard !excluded.contains(number), !replacing.contains(files.index.packs[number]), done.insert(number)
                else { continue }
                try add(files.index.pack(number))
            }
        }
        for pack in added { try add(pack) }
        try store()
    }
}
