import Model

/// Which blobs a repository has, and where: a table that takes less than 64 bytes for each.
///
/// Entries lie in blocks, so that growing copies none of them. A hash table of their numbers finds them: the first bytes of an ID
/// are as good as random.
package struct BlobIndex: Sendable {
    private struct Entry: Sendable {
        let id: SHA256Digest
        /// Number of the pack; the highest bit is set for trees.
        let pack: UInt32
        let offset: UInt32
        let length: UInt32
        let uncompressedLength: UInt32

        var type: BlobType { pack & Entry.treeBit != 0 ? .tree : .data }
        var place: BlobPlace { BlobPlace(offset: offset, length: length, uncompressedLength: uncompressedLength) }

        static let treeBit: UInt32 = 1 << 31
    }

    /// Where a blob is.
    package struct Location: Hashable, Sendable {
        package let pack: SHA256Digest
        package let place: BlobPlace
    }

    private static let blockBits = 12
    private var blocks: [[Entry]] = []
    /// Entries, each copy of a blob among them.
    package private(set) var count = 0
    private var table = HashSlots()
    /// IDs by the numbers of packs.
    package private(set) var packs: [SHA256Digest] = []
    private var packTable = HashSlots()
    /// The number of each pack's first entry.
    private var firstEntries: [UInt32] = []

    package init() {}

    /// Adds a pack. What is known already is left out; a blob that stands in several packs has an entry for each.
    package mutating func add(_ pack: IndexedPack) {
        let number = number(ofPack: pack.id)
        for blob in pack.blobs { add(blob, number) }
    }

    /// Whether the blob is in some pack.
    package func contains(_ key: BlobKey) -> Bool {
        number(of: key) != nil
    }

    /// Somewhere where the blob is; nil if it is not in the repository.
    package func first(_ key: BlobKey) -> Location? {
        number(of: key).map { location($0) }
    }

    /// Everywhere where the blob is.
    package func all(_ key: BlobKey) -> [Location] {
        numbers(of: key).map { location($0) }
    }

    /// Calls `body` with each copy of each blob.
    package func forEach(_ body: (BlobKey, Location) throws -> Void) rethrows {
        for block in blocks {
            for entry in block { try body(BlobKey(entry.type, entry.id), location(entry)) }
        }
    }

    /// Bytes that the table takes.
    package var memory: Int {
        blocks.reduce(0) { $0 + $1.capacity * MemoryLayout<Entry>.stride } + table.memory + packTable.memory
            + packs.capacity * MemoryLayout<SHA256Digest>.stride + firstEntries.capacity * 4
    }

    // MARK: Entries

    private func entry(_ number: Int) -> Entry {
        blocks[number >> Self.blockBits][number & (1 << Self.blockBits - 1)]
    }

    private func location(_ entry: Entry) -> Location {
        Location(pack: packs[Int(entry.pack & ~Entry.treeBit)], place: entry.place)
    }

    /// Calls `body` with the entries of a blob and their numbers until it returns true.
    private func search(_ key: BlobKey, _ body: (Int, Entry) -> Bool) {
        table.search(key.id) { number in
            let entry = entry(number)
            return entry.id == key.id && entry.type == key.type && body(number, entry)
        }
    }

    private mutating func add(_ blob: PackedBlob, _ pack: UInt32) {
        let entry = Entry(
            id: blob.key.id, pack: pack | (blob.key.type == .tree ? Entry.treeBit : 0), offset: blob.place.offset,
            length: blob.place.length, uncompressedLength: blob.place.uncompressedLength)
        var isKnown = false
        search(blob.key) { _, other in
            isKnown = other.pack == entry.pack && other.place == entry.place
            return isKnown
        }
        if isKnown { return }
        if count & (1 << Self.blockBits - 1) == 0 {
            var block: [Entry] = []
            // A small repository needs no whole block.
            block.reserveCapacity(count == 0 ? 64 : 1 << Self.blockBits)
            blocks.append(block)
        }
        blocks[blocks.count - 1].append(entry)
        count += 1
        if table.isFull(count) { table = HashSlots(count: count) { self.entry($0).id } }
        table.insert(count - 1, entry.id)
    }

    private mutating func number(ofPack id: SHA256Digest) -> UInt32 {
        if let found = packNumber(of: id) { return UInt32(found) }
        precondition(packs.count < Int(Entry.treeBit), "more than 2³¹ packs")
        // Doubling would cost as much as half of them.
        if packs.count == packs.capacity { packs.reserveCapacity(packs.count + packs.count / 4 + 16) }
        if firstEntries.count == firstEntries.capacity {
            firstEntries.reserveCapacity(firstEntries.count + firstEntries.count / 4 + 16)
        }
        packs.append(id)
        firstEntries.append(UInt32(count))
        if packTable.isFull(packs.count) { packTable = HashSlots(count: packs.count) { packs[$0] } }
        packTable.insert(packs.count - 1, id)
        return UInt32(packs.count - 1)
    }
}

// Copies of blobs, and packs, by numbers that stay as they are while the index grows: what is to be noted of each fits into a bit.
extension BlobIndex {
    /// The number that stands for all copies of a blob, that of the first which was added; nil if it is not in the repository.
    package func number(of key: BlobKey) -> Int? {
        var found: Int?
        search(key) { number, _ in
            found = number
            return true
        }
        return found
    }

    /// The numbers of all copies of a blob.
    package func numbers(of key: BlobKey) -> [Int] {
        var found: [Int] = []
        search(key) { number, _ in
            found.append(number)
            return false
        }
        return found
    }

    package func key(_ number: Int) -> BlobKey {
        let entry = entry(number)
        return BlobKey(entry.type, entry.id)
    }

    package func location(_ number: Int) -> Location { location(entry(number)) }

    package func place(_ number: Int) -> BlobPlace { entry(number).place }

    /// The number of the pack where a copy is: an index into ``packs``.
    package func packNumber(_ number: Int) -> Int { Int(entry(number).pack & ~Entry.treeBit) }

    package func packNumber(of id: SHA256Digest) -> Int? {
        var found: Int?
        packTable.search(id) { number in
            if packs[number] == id { found = number }
            return found != nil
        }
        return found
    }

    /// The numbers of what is in a pack. Where index files contradict each other, they are what the first of them says.
    package func entries(ofPack number: Int) -> Range<Int> {
        let start = Int(firstEntries[number])
        var end = start
        while end < count, packNumber(end) == number { end += 1 }
        return start..<end
    }

    /// What is in a pack, in the order of the index.
    package func pack(_ number: Int) -> IndexedPack {
        IndexedPack(
            id: packs[number],
            blobs: entries(ofPack: number).map { PackedBlob(key($0), place($0)) })
    }
}
