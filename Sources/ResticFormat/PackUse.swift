import Model

/// How much of a pack snapshots need.
struct PackUse: Sendable {
    /// Bytes of needed blobs, and of the header.
    var usedSize: UInt64 = 0
    var unusedSize: UInt64 = 0
    var used = 0
    var unused = 0
    /// Of the unused ones: copies of blobs that are needed, as long as none is chosen.
    var duplicates = 0
    var hasData = false
    var hasTrees = false
    /// Whether blobs are stored as they are that compressing would probably make smaller.
    var hasPlainTrees = false
    var hasPlainData = false

    var isMixed: Bool { hasData && hasTrees }
    var isData: Bool { hasData && !hasTrees }
    var size: UInt64 { usedSize + unusedSize }
}

/// Which copy of each needed blob stays, and what that makes of the packs.
///
/// Source: restic's `prune`. Of several copies one is chosen in a pack that has other needed blobs, or nothing but copies of needed
/// ones, as a prune that was cut off leaves it; else the last one.
struct PackUses {
    /// A tree of one short name has twice as much; smaller ones do not get smaller.
    private static let plainTreeLimit = 128

    private let index: BlobIndex
    private(set) var packs: [PackUse]
    /// The chosen copies, by number.
    private(set) var needed: BlobMarks
    private(set) var used = PrunePlan.Amount()
    private(set) var unused = PrunePlan.Amount()
    private(set) var duplicates = PrunePlan.Amount()

    /// - Parameters:
    ///   - marks: the blobs that are needed, by the numbers that stand for all copies.
    ///   - damaged: copies that cannot be read, by number. They are not chosen.
    init(_ files: IndexFiles, marks: BlobMarks, damaged: Set<Int>) {
        index = files.index
        needed = BlobMarks(size: index.count)
        packs = [PackUse](repeating: PackUse(), count: index.packs.count)
        var copies = soundCopies(marks, damaged)
        for number in 0..<index.count { classify(number, marks, damaged, copies) }
        for pack in packs.indices {
            let blobs = packs[pack].usedSize + packs[pack].unusedSize
            packs[pack].usedSize += files.size(ofPack: pack) - blobs
        }
        if copies.isEmpty { return }
        for number in 0..<index.count where !damaged.contains(number) { choose(number, &copies) }
    }

    /// For needed blobs with several copies, by the numbers that stand for them: how many can be read as far as is known.
    private func soundCopies(_ marks: BlobMarks, _ damaged: Set<Int>) -> [Int: Int] {
        var copies: [Int: Int] = [:]
        for number in 0..<index.count {
            guard let first = index.number(of: index.key(number)), first != number, marks.contains(first) else {
                continue
            }
            copies[first] = (copies[first] ?? (damaged.contains(first) ? 0 : 1)) + (damaged.contains(number) ? 0 : 1)
        }
        return copies
    }

    private mutating func classify(_ number: Int, _ marks: BlobMarks, _ damaged: Set<Int>, _ copies: [Int: Int]) {
        let (key, place, pack) = (index.key(number), index.place(number), index.packNumber(number))
        note(key, place, in: pack)
        let size = UInt64(place.length)
        guard let first = index.number(of: key), marks.contains(first) else {
            packs[pack].unusedSize += size
            packs[pack].unused += 1
            unused.add(size)
            return
        }
        if (copies[first] ?? 1) <= 1, !damaged.contains(number) {
            packs[pack].usedSize += size
            packs[pack].used += 1
            used.add(size)
            needed.insert(number)
        } else {
            packs[pack].unusedSize += size
            packs[pack].unused += 1
            if !damaged.contains(number) { packs[pack].duplicates += 1 }
            duplicates.add(size)
        }
    }

    private mutating func note(_ key: BlobKey, _ place: BlobPlace, in pack: Int) {
        if key.type == .data {
            packs[pack].hasData = true
            if !place.isCompressed { packs[pack].hasPlainData = true }
        } else {
            packs[pack].hasTrees = true
            if !place.isCompressed, place.contentLength > Self.plainTreeLimit { packs[pack].hasPlainTrees = true }
        }
    }

    /// Chooses this copy of a blob that has several, or leaves that to a later one.
    ///
    /// In `copies`: how many come; 0 for this one being the last; 1 for none being left to choose.
    private mutating func choose(_ number: Int, _ copies: inout [Int: Int]) {
        guard let first = index.number(of: index.key(number)), let count = copies[first], count != 1 else { return }
        let pack = index.packNumber(number)
        let size = UInt64(index.place(number).length)
        let use = packs[pack]
        guard use.used > 0 || use.duplicates == use.unused || count == 0 else {
            copies[first] = count == 2 ? 0 : count - 1
            return
        }
        packs[pack].usedSize += size
        packs[pack].used += 1
        packs[pack].unusedSize -= size
        packs[pack].unused -= 1
        packs[pack].duplicates -= 1
        used.add(size)
        duplicates.count -= 1
        duplicates.bytes -= size
        needed.insert(number)
        copies[first] = 1
    }
}
