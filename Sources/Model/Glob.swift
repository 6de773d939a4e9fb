/// A wildcard pattern over the bytes of a path, compiled; ``GlobParser`` makes it.
///
/// Matching takes at most (length of the pattern) x (length of the path) steps and allocates nothing. Both levels,
/// bytes within a component and components within a path, go back to the last star only: as everything else matches
/// exactly one byte (one component), an earlier star has nothing to gain from taking more.
struct Glob: Hashable, Sendable {
    enum Element: Hashable, Sendable {
        case byte(UInt8)
        case anyByte
        case oneOf(ByteSet)
        /// Any number of bytes within a component.
        case star
    }

    enum Part: Hashable, Sendable {
        /// One component: these elements.
        case component(Range<Int>)
        /// `**`: any number of components, also none.
        case anyDepth
    }

    var elements: [Element] = []
    var parts: [Part] = []

    /// Whether the whole of `path` matches, component by component.
    func matches(path: UnsafeRawBufferPointer) -> Bool {
        elements.withUnsafeBufferPointer { elements in
            parts.withUnsafeBufferPointer { parts in
                PathMatch(parts: parts, elements: elements, path: path).succeeds()
            }
        }
    }

    /// Whether `name`, one component, matches this pattern of one component.
    func matches(name: UnsafeRawBufferPointer) -> Bool {
        elements.withUnsafeBufferPointer { matchesComponent($0, name) }
    }
}

extension Glob {
    /// The bytes of `part` if it is a component without wildcards.
    func literal(_ part: Part) -> [UInt8]? {
        guard case .component(let range) = part else { return nil }
        return literal(elements[range])
    }

    /// The bytes of `elements` if there is no wildcard among them.
    func literal(_ elements: ArraySlice<Element>) -> [UInt8]? {
        var bytes: [UInt8] = []
        for element in elements {
            guard case .byte(let byte) = element else { return nil }
            bytes.append(byte)
        }
        return bytes
    }
}

private struct PathMatch {
    let parts: UnsafeBufferPointer<Glob.Part>
    let elements: UnsafeBufferPointer<Glob.Element>
    let path: UnsafeRawBufferPointer

    func succeeds() -> Bool {
        var part = 0
        // Where a component of the path starts; one behind the end of the path when none is left.
        var start = 0
        // Behind the last `**`, and where the component starts that it takes next if what follows does not match.
        var retryPart: Int?
        var retryStart = 0
        while start <= path.count {
            if part < parts.count, case .anyDepth = parts[part] {
                part += 1
                (retryPart, retryStart) = (part, start)
                continue
            }
            let end = endOfComponent(from: start)
            if part < parts.count, matches(parts[part], path[start..<end]) {
                part += 1
                start = end + 1
                continue
            }
            guard let retry = retryPart else { return false }
            retryStart = endOfComponent(from: retryStart) + 1
            (part, start) = (retry, retryStart)
        }
        return parts[part...].allSatisfy { $0 == .anyDepth }
    }

    private func endOfComponent(from start: Int) -> Int {
        var end = start
        while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
        return end
    }

    private func matches(_ part: Glob.Part, _ component: Slice<UnsafeRawBufferPointer>) -> Bool {
        guard case .component(let range) = part else { return false }
        return matchesComponent(
            UnsafeBufferPointer(rebasing: elements[range]), UnsafeRawBufferPointer(rebasing: component))
    }
}

private func matchesComponent(
    _ elements: UnsafeBufferPointer<Glob.Element>, _ text: UnsafeRawBufferPointer
) -> Bool {
    var element = 0
    var index = 0
    // Behind the last star, and what it takes next if what follows does not match.
    var retryElement: Int?
    var retryIndex = 0
    while index < text.count {
        if element < elements.count, case .star = elements[element] {
            element += 1
            (retryElement, retryIndex) = (element, index)
            continue
        }
        if element < elements.count, elements[element].matches(text[index]) {
            element += 1
            index += 1
            continue
        }
        guard let retry = retryElement else { return false }
        retryIndex += 1
        (element, index) = (retry, retryIndex)
    }
    return elements[element...].allSatisfy { $0 == .star }
}

extension Glob.Element {
    @inline(__always)
    fileprivate func matches(_ byte: UInt8) -> Bool {
        switch self {
        case .byte(let wanted): byte == wanted
        case .anyByte: true
        case .oneOf(let set): set.contains(byte)
        case .star: false
        }
    }
}

/// A set of byte values.
struct ByteSet: Hashable, Sendable {
    private var bits = SIMD4<UInt64>()

    func contains(_ byte: UInt8) -> Bool {
        bits[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1
    }

    mutating func insert(_ byte: UInt8) {
        bits[Int(byte >> 6)] |= 1 << UInt64(byte & 63)
    }

    mutating func insert(where belongs: (UInt8) -> Bool) {
        for byte in UInt8.min...UInt8.max where belongs(byte) { insert(byte) }
    }

    mutating func invert() {
        bits = ~bits
    }
}
