/// Why an entry cannot be added to a table.
package enum EntryTableError: Error {
    /// It does not come after the entry before it: the order is wrong, or the path is there twice.
    case outOfOrder
    /// The directory that would hold it is not in the table, or is no directory.
    case noParent
    /// More than 4 GiB of paths, 2³¹ entries, or 65,535 bytes in one name or target.
    case full
}

/// Entries in path order, the source itself first (index 0): what a walk found, what a manifest says, what a plan holds.
///
/// All paths and link targets lie in one array of bytes. Because of the order, the entries below a directory follow it
/// without a gap.
package struct EntryTable: Sendable {
    private var records: [PackedRecord] = []
    /// By entry; empty as long as there is none.
    private var digests: [SHA256Digest] = []
    private var arena: [UInt8] = []
    private var extendedSets: [[ExtendedAttribute]] = [[]]
    /// Names of the owners, by number, as far as they are known.
    package var userNames: [UInt32: String] = [:]
    package var groupNames: [UInt32: String] = [:]

    package init(root: EntryRecord) {
        records.append(PackedRecord(root))
        setDigest(of: 0, to: root.digest)
    }

    package var count: Int { records.count }

    package subscript(index: Int) -> EntryRecord {
        get {
            var record = records[index].record
            if !digests.isEmpty { record.digest = digests[index] }
            return record
        }
        set {
            records[index] = PackedRecord(newValue).placed(as: records[index])
            setDigest(of: index, to: newValue.digest)
        }
    }

    package func kind(of index: Int) -> EntryKind { records[index].kind }

    /// Takes over from the entry `old` of another table what a scan does not tell: extended attributes, and the hash of the content.
    package mutating func takeContent(of old: Int, in other: EntryTable, for index: Int) {
        if other.records[old].extended != 0 || records[index].extended != 0 {
            setExtended(other.extended(of: old), of: index)
        }
        guard other.records[old].isHashed else { return }
        records[index].isHashed = true
        setDigest(of: index, to: other.digests.isEmpty ? SHA256Digest() : other.digests[old])
    }

    private mutating func setDigest(of index: Int, to digest: SHA256Digest) {
        if digests.isEmpty {
            guard digest != SHA256Digest() else { return }
            digests.reserveCapacity(records.capacity)
            digests.append(contentsOf: repeatElement(SHA256Digest(), count: records.count))
        }
        digests[index] = digest
    }

    package mutating func reserve(entries: Int, bytes: Int) {
        records.reserveCapacity(entries)
        arena.reserveCapacity(bytes)
    }

    /// Adds the entry `name` of the directory at `parent`; the caller vouches for the order.
    @discardableResult
    package mutating func append(
        _ record: EntryRecord, name: UnsafeRawBufferPointer, in parent: Int, target: [UInt8] = [],
        extended: [ExtendedAttribute] = []
    ) throws(EntryTableError) -> Int {
        guard arena.count + Int(records[parent].pathLength) + name.count + target.count < UInt32.max - 2,
            records.count < Int32.max, let nameLength = UInt16(exactly: name.count), target.count <= UInt16.max
        else { throw .full }
        var packed = PackedRecord(record)
        packed.parent = Int32(parent)
        packed.pathStart = UInt32(arena.count)
        packed.nameLength = nameLength
        if parent != 0 {
            let start = Int(records[parent].pathStart)
            // Byte by byte: a slice of the array would make the append copy all of it.
            for position in start..<start + Int(records[parent].pathLength) { arena.append(arena[position]) }
            arena.append(UInt8(ascii: "/"))
        }
        arena.append(contentsOf: name)
        packed.pathLength = UInt32(arena.count) - packed.pathStart
        packed.targetLength = UInt16(target.count)
        arena.append(contentsOf: target)
        if !extended.isEmpty {
            extendedSets.append(extended)
            packed.extended = Int32(extendedSets.count - 1)
        }
        records.append(packed)
        if !digests.isEmpty { digests.append(SHA256Digest()) }
        setDigest(of: records.count - 1, to: record.digest)
        return records.count - 1
    }

    /// Adds the entry at `path`, which came from outside: its order and its parent are checked.
    ///
    /// `hint` is the index of the entry added before, so that finding the parent takes no search.
    @discardableResult
    package mutating func append(
        _ record: EntryRecord, path: EntryPath, target: [UInt8] = [], extended: [ExtendedAttribute] = []
    ) throws(EntryTableError) -> Int {
        guard !path.isRoot else { throw .outOfOrder }
        let last = records.count - 1
        guard last == 0 || withPath(of: last, { last in path.bytes.withRawBytes { Self.precedes(last, $0) } }) else {
            throw .outOfOrder
        }
        let parentLength = path.bytes.count - path.name.count - 1
        var parent = last
        while parent > 0, !isPath(of: parent, equalTo: path.bytes, length: parentLength) {
            parent = Int(records[parent].parent)
        }
        guard records[parent].kind == .directory, parent > 0 || parentLength < 0 else { throw .noParent }
        do {
            return try path.name.withUnsafeBytes {
                try append(record, name: $0, in: parent, target: target, extended: extended)
            }
        } catch let error as EntryTableError {
            throw error
        } catch {
            throw .full
        }
    }

    package mutating func setRoot(extended: [ExtendedAttribute]) {
        setExtended(extended, of: 0)
    }

    package mutating func setExtended(_ extended: [ExtendedAttribute], of index: Int) {
        guard !extended.isEmpty || records[index].extended != 0 else { return }
        extendedSets.append(extended)
        records[index].extended = Int32(extendedSets.count - 1)
    }
}

// What an entry is called, points to and carries.
extension EntryTable {
    package func path(of index: Int) -> EntryPath {
        let record = records[index]
        let start = Int(record.pathStart)
        return EntryPath(unchecked: Array(arena[start..<start + Int(record.pathLength)]))
    }

    /// Bytes of the path; 0 for the source itself.
    package func pathLength(of index: Int) -> Int { Int(records[index].pathLength) }

    /// Calls `body` with the bytes of the path; none for the source itself.
    @inline(__always)
    package func withPath<R>(of index: Int, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        let record = records[index]
        return slice(record.pathStart, record.pathLength, body)
    }

    /// Calls `body` with the bytes of the last component.
    @inline(__always)
    package func withName<R, E: Error>(
        of index: Int, _ body: (UnsafeRawBufferPointer) throws(E) -> R
    ) throws(E) -> R {
        let record = records[index]
        return try arena.withRawBytes { arena throws(E) in
            let start = Int(record.pathStart + record.pathLength) - Int(record.nameLength)
            return try body(UnsafeRawBufferPointer(rebasing: arena[start..<start + Int(record.nameLength)]))
        }
    }

    /// Where a symbolic link points; of a device, the text of its ``DeviceNumber``; else nothing.
    package func target(of index: Int) -> [UInt8] {
        let record = records[index]
        let start = Int(record.pathStart) + Int(record.pathLength)
        return Array(arena[start..<start + Int(record.targetLength)])
    }

    package func hasSameTarget(_ index: Int, as other: Int, of table: EntryTable) -> Bool {
        records[index].targetLength == table.records[other].targetLength && target(of: index) == table.target(of: other)
    }

    package func extended(of index: Int) -> [ExtendedAttribute] {
        extendedSets[Int(records[index].extended)]
    }

    package func attributes(of index: Int) -> Attributes {
        let record = records[index].record
        return Attributes(
            mode: record.mode, user: record.user, group: record.group, modified: record.modified,
            extended: extended(of: index))
    }

    private func slice<R>(_ start: UInt32, _ length: UInt32, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        arena.withUnsafeBytes { body(UnsafeRawBufferPointer(rebasing: $0[Int(start)..<Int(start) + Int(length)])) }
    }
}

// Where an entry stands.
extension EntryTable {
    /// The index of the entry at `path`.
    package func index(of path: EntryPath) -> Int? {
        path.bytes.withRawBytes { index(ofBytes: $0) }
    }

    /// The same for the bytes of a path.
    package func index(ofBytes path: UnsafeRawBufferPointer) -> Int? {
        var low = 0
        var high = records.count
        while low < high {
            let middle = (low + high) / 2
            if withPath(of: middle, { Self.precedes($0, path) }) {
                low = middle + 1
            } else {
                high = middle
            }
        }
        guard low < records.count, Int(records[low].pathLength) == path.count else { return nil }
        return withPath(of: low, { $0.isEqual(to: path) }) ? low : nil
    }

    /// The indices of the entries for which `isWanted` holds, in order.
    package func indices(where isWanted: (EntryRecord) -> Bool) -> [Int] {
        records.indices.filter { isWanted(self[$0]) }
    }

    /// The first index after `index` that is not below it.
    package func endOfSubtree(at index: Int) -> Int {
        if index == 0 { return records.count }
        // Most directories are small: in steps that double, until one is too far.
        var low = index + 1
        var step = 8
        while low + step < records.count, isBelow(low + step, index) {
            low += step + 1
            step *= 2
        }
        var high = min(low + step, records.count)
        while low < high {
            let middle = (low + high) / 2
            if isBelow(middle, index) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The indices of what lies directly in the directory at `index`, in order.
    package func children(of index: Int) -> some Sequence<Int> {
        sequence(state: index + 1) { next -> Int? in
            guard next < records.count, Int(records[next].parent) == index else { return nil }
            let child = next
            next = records[child].kind == .directory ? endOfSubtree(at: child) : child + 1
            return child
        }
    }

    /// Less than 0, 0 or more: whether the entry comes before, with or after entry `other` of another table.
    package func order(of index: Int, comparedTo other: Int, in table: EntryTable) -> Int {
        withPath(of: index) { a in table.withPath(of: other) { b in Self.order(of: a, comparedTo: b) } }
    }

    /// The entries for which `isKept` holds, the source itself always among them. Who keeps an entry keeps its parents.
    package func filtered(_ isKept: (Int) -> Bool) -> EntryTable {
        var result = self
        result.keep(isKept)
        return result
    }

    /// Drops the entries for which `isKept` does not hold, and what lies below them.
    package mutating func keep(_ isKept: (Int) -> Bool) {
        var moved = [Int32](repeating: -1, count: records.count)
        moved[0] = 0
        var count = 1
        for index in 1..<max(1, records.count) where isKept(index) && moved[Int(records[index].parent)] >= 0 {
            moved[index] = Int32(count)
            if index > count {
                records[count] = records[index]
                if !digests.isEmpty { digests[count] = digests[index] }
            }
            records[count].parent = moved[Int(records[count].parent)]
            count += 1
        }
        if !digests.isEmpty { digests.removeLast(records.count - count) }
        records.removeLast(records.count - count)
    }

    /// This table with more entries, in any order, whose directories it has. Where its own entries are then stands in `moved`.
    package func inserting(
        _ entries: [(path: EntryPath, record: EntryRecord)], moved: inout [Int]
    ) throws(EntryTableError) -> EntryTable {
        var result = EntryTable(root: self[0])
        result.setRoot(extended: extended(of: 0))
        result.userNames = userNames
        result.groupNames = groupNames
        var waiting = entries.sorted { $0.path < $1.path }[...]
        moved = [0]
        for index in 1..<max(1, records.count) {
            let path = path(of: index)
            while let next = waiting.first, next.path < path {
                try result.append(next.record, path: next.path)
                waiting.removeFirst()
            }
            moved.append(
                try result.append(self[index], path: path, target: target(of: index), extended: extended(of: index)))
        }
        for (path, record) in waiting { try result.append(record, path: path) }
        return result
    }

    private func isBelow(_ index: Int, _ ancestor: Int) -> Bool {
        let length = Int(records[ancestor].pathLength)
        return withPath(of: ancestor) { above in
            withPath(of: index) { path in
                path.count > length && path[length] == UInt8(ascii: "/") && path.firstDifference(from: above) == length
            }
        }
    }

    private func isPath(of index: Int, equalTo bytes: [UInt8], length: Int) -> Bool {
        guard length >= 0, Int(records[index].pathLength) == length else { return false }
        return withPath(of: index) { $0.elementsEqual(bytes.prefix(length)) }
    }

    private static func precedes(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> Bool {
        order(of: a, comparedTo: b) < 0
    }

    /// Path order; see ``EntryPath``.
    @inline(__always)
    private static func order(of a: UnsafeRawBufferPointer, comparedTo b: UnsafeRawBufferPointer) -> Int {
        let place = a.firstDifference(from: b)
        if place == min(a.count, b.count) { return a.count - b.count }
        return Int(EntryPath.orderKey(a[place])) - Int(EntryPath.orderKey(b[place]))
    }
}
