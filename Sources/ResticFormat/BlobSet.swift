import Model

/// The IDs of blobs of one type: a table that takes less than 48 bytes for each.
///
/// As in ``BlobIndex``, IDs lie in blocks, so that growing copies none of them.
struct BlobSet: Sendable {
    private static let blockBits = 10
    private var blocks: [[SHA256Digest]] = []
    private var count = 0
    private var table = HashSlots()
    /// Few: blobs of which a damaged copy was met.
    private var removed: Set<SHA256Digest> = []

    /// Returns whether the ID is new.
    mutating func insert(_ id: SHA256Digest) -> Bool {
        if isListed(id) { return removed.remove(id) != nil }
        if count & (1 << Self.blockBits - 1) == 0 {
            var block: [SHA256Digest] = []
            block.reserveCapacity(1 << Self.blockBits)
            blocks.append(block)
        }
        blocks[blocks.count - 1].append(id)
        count += 1
        if table.isFull(count) { table = HashSlots(count: count) { self.id($0) } }
        table.insert(count - 1, id)
        return true
    }

    mutating func remove(_ id: SHA256Digest) {
        if isListed(id) { removed.insert(id) }
    }

    private func isListed(_ id: SHA256Digest) -> Bool {
        var isFound = false
        table.search(id) { number in
            isFound = self.id(number) == id
            return isFound
        }
        return isFound
    }

    private func id(_ number: Int) -> SHA256Digest {
        blocks[number >> Self.blockBits][number & (1 << Self.blockBits - 1)]
    }
}
