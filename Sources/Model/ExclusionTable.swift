/// The rules of ``Exclusions`` laid out for asking about each of a hundred thousand entries: one array of small rows,
/// all literals in one other.
struct ExclusionTable: Sendable {
    private enum Kind: UInt8 { case name, nameSuffix, nameGlob, path, pathGlob }

    private struct Row {
        let kind: Kind
        let matchesDirectoriesOnly: Bool
        let rule: Int
        /// The literal in `literals`; for a glob, where it stands in `globs`.
        let range: Range<Int>
    }

    /// The last rule first, as the last that matches decides.
    private var rows: [Row] = []
    private var literals: [UInt8] = []
    private var globs: [Glob] = []

    init(_ rules: [ExclusionRule]) {
        for (index, rule) in rules.enumerated().reversed() {
            let (kind, range) = add(rule.pathPattern)
            rows.append(
                Row(kind: kind, matchesDirectoriesOnly: rule.matchesDirectoriesOnly, rule: index, range: range))
        }
    }

    private mutating func add(_ pattern: PathPattern) -> (Kind, Range<Int>) {
        switch pattern {
        case .name(let literal): (.name, add(literal))
        case .nameSuffix(let literal): (.nameSuffix, add(literal))
        case .path(let literal): (.path, add(literal))
        case .nameGlob(let glob): (.nameGlob, add(glob))
        case .pathGlob(let glob): (.pathGlob, add(glob))
        }
    }

    private mutating func add(_ literal: [UInt8]) -> Range<Int> {
        literals += literal
        return (literals.count - literal.count)..<literals.count
    }

    private mutating func add(_ glob: Glob) -> Range<Int> {
        globs.append(glob)
        return (globs.count - 1)..<globs.count
    }

    /// The index of the last rule that matches `path`. The source itself matches none.
    func lastMatch(_ path: UnsafeRawBufferPointer, isDirectory: Bool) -> Int? {
        if path.isEmpty { return nil }
        var start = path.count
        while start > 0, path[start - 1] != UInt8(ascii: "/") { start -= 1 }
        let name = UnsafeRawBufferPointer(rebasing: path[start...])
        return rows.withUnsafeBufferPointer { rows in
            literals.withUnsafeBytes { literals in
                rows.first { row in
                    (isDirectory || !row.matchesDirectoriesOnly)
                        && matches(row, literal: literals, path: path, name: name)
                }?.rule
            }
        }
    }

    @inline(__always)
    private func matches(
        _ row: Row, literal literals: UnsafeRawBufferPointer, path: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer
    ) -> Bool {
        switch row.kind {
        case .name: name.count == row.range.count && name.hasSuffix(literals, row.range)
        case .nameSuffix: name.hasSuffix(literals, row.range)
        case .path: path.count == row.range.count && path.hasSuffix(literals, row.range)
        case .nameGlob: globs[row.range.lowerBound].matches(name: name)
        case .pathGlob: globs[row.range.lowerBound].matches(path: path)
        }
    }
}

extension UnsafeRawBufferPointer {
    /// Whether the last bytes are those in `range` of `literals`. From the end, where names differ more than at the
    /// start.
    @inline(__always)
    fileprivate func hasSuffix(_ literals: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        if range.count > count { return false }
        var own = count
        for index in range.reversed() {
            own -= 1
            if self[own] != literals[index] { return false }
        }
        return true
    }
}
