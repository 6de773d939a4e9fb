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

    package init() {}

    /// Adds a pack. What is known already is left out; a blob that stands in several packs has an entry for each.
    package mutating func add(_ pack: IndexedPack) {
        let number = number(ofPack: pack.id)
        for blob in pack.blobs { add(blob, number) }
    }

    /// Whether the blob is in some pack.
    package func contains(_ key: BlobKey) -> Bool {
        first(key) != nil
    }

    /// Somewhere where the blob is; nil if it is not in the repository.
    package func first(_ key: BlobKey) -> Location? {
        var found: Location?
        search(key) { entry in
            found = location(entry)
            return true
        }
        return found
    }

    /// Everywhere where the blob is.
    package func all(_ key: BlobKey) -> [Location] {
        var found: [Location] = []
        search(key) { entry in
            found.append(location(entry))
            return false
        }
        return found
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
            + packs.capacity * MemoryLayout<SHA256Digest>.stride
    }

    // MARK: Entries

    private func entry(_ number: Int) -> Entry {
        blocks[number >> Self.blockBits][number & (1 << Self.blockBits - 1)]
    }

    private func location(_ entry: Entry) -> Location {
        Location(pack: packs[Int(entry.pack & ~Entry.treeBit)], place: entry.place)
    }

    /// Calls `body` with the entries of a blob until it returns true.
    private func search(_ key: BlobKey, _ body: (Entry) -> Bool) {
        table.search(key.id) { number in
            let entry = entry(number)
            return entry.id == key.id && entry.type == key.type && body(entry)
        }
    }

    private mutating func add(_ blob: PackedBlob, _ pack: UInt32) {
        let entry = Entry(
            id: blob.key.id, pack: pack | (blob.key.type == .tree ? Entry.treeBit : 0), offset: blob.place.offset,
            length: blob.place.length, uncompressedLength: blob.place.uncompressedLength)
        var isKnown = false
        search(blob.key) { other in
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
        var found: Int?
        packTable.search(id) { number in
            if packs[number] == id { found = number }
            return found != nil
        }
        if let found { return UInt32(found) }
        precondition(packs.count < Int(Entry.treeBit), "more than 2³¹ packs")
        // Doubling would cost as much as half of them.
        if packs.count == packs.capacity { packs.reserveCapacity(packs.count + packs.count / 4 + 16) }
        packs.append(id)
        if packTable.isFull(packs.count) { packTable = HashSlots(count: packs.count) { packs[$0] } }
        packTable.insert(packs.count - 1, id)
        return UInt32(packs.count - 1)
    }
}

/// An open hash table of numbers, found by the IDs of what they number.
private struct HashSlots: Sendable {
    /// Numbers + 1; 0 where there is none. Its size is a power of two.
    private var slots: [UInt32] = []

    init() {}

    /// A table twice as large as `count` numbers need, with all but the last of them.
    init(count: Int, id: (Int) -> SHA256Digest) {
        var size = 64
        while size * 3 < count * 4 + 4 { size *= 2 }
        slots = [UInt32](repeating: 0, count: size)
        for number in 0..<count - 1 { insert(number, id(number)) }
    }

    /// Three quarters are used.
    func isFull(_ count: Int) -> Bool { slots.count * 3 < count * 4 }

    var memory: Int { slots.capacity * 4 }

    mutating func insert(_ number: Int, _ id: SHA256Digest) {
        var slot = start(id)
        while slots[slot] != 0 { slot = (slot + 1) & (slots.count - 1) }
        slots[slot] = UInt32(number + 1)
    }

    /// Calls `body` with the numbers that may be those of `id`, until it returns true.
    @inline(__always)
    func search(_ id: SHA256Digest, _ body: (Int) -> Bool) {
        if slots.isEmpty { return }
        var slot = start(id)
        while slots[slot] != 0 {
            if body(Int(slots[slot]) - 1) { return }
            slot = (slot + 1) & (slots.count - 1)
        }
    }

    @inline(__always)
    private func start(_ id: SHA256Digest) -> Int {
        let word = id.withBytes { $0.loadUnaligned(as: UInt64.self) }
        return Int(truncatingIfNeeded: word) & (slots.count - 1)
    }
}
