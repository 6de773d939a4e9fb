/// What an exclusion rule asks of a path. Nearly all patterns that people write are names and `*.suffix`, so these
/// are kept apart: they need one comparison of bytes.
enum PathPattern: Hashable, Sendable {
    /// The last component is exactly this.
    case name([UInt8])
    /// The last component ends with this.
    case nameSuffix([UInt8])
    /// The last component matches this.
    case nameGlob(Glob)
    /// The whole path is exactly this.
    case path([UInt8])
    /// The whole path matches this.
    case pathGlob(Glob)

    /// Of a pattern without `!` before it and a slash behind it. One with a slash is for whole paths.
    init(_ pattern: ArraySlice<UInt8>) throws(ExclusionError.Reason) {
        let slash = UInt8(ascii: "/")
        let spansPath = pattern.contains(slash)
        let anchored = pattern.first == slash ? pattern.dropFirst() : pattern
        var glob = try GlobParser.parse(anchored, spansPath: spansPath)
        // "**/x" is "x": any depth, then one component.
        let isName =
            !spansPath || glob.parts.count == 2 && glob.parts.first == .anyDepth && glob.parts.last != .anyDepth
        if isName {
            glob.parts.removeAll { $0 == .anyDepth }
            self = .nameGlob(glob)
            if let literal = glob.literal(glob.elements[...]) {
                self = .name(literal)
            } else if glob.elements.first == .star, let literal = glob.literal(glob.elements.dropFirst()) {
                self = .nameSuffix(literal)
            }
        } else {
            let components = glob.parts.compactMap { glob.literal($0) }
            self =
                components.count == glob.parts.count
                ? .path(Array(components.joined(separator: [slash]))) : .pathGlob(glob)
        }
    }
}
