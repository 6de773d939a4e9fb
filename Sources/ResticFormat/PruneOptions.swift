import Model

/// What a prune may leave, and how much it may do.
package struct PruneOptions: Sendable {
    /// Bytes that no snapshot needs and that may stay, as it costs more to get rid of them than they are worth.
    package enum Unused: Sendable, Equatable {
        /// So many of a hundred of what is stored afterwards; below 100.
        case percent(Double)
        case bytes(UInt64)
        case unlimited

        /// Bytes, where `used` are needed.
        func limit(used: UInt64) -> UInt64 {
            switch self {
            case .percent(let percent) where percent >= 100: return .max
            case .percent(let percent):
                let share = max(0, percent)
                return UInt64(share / (100 - share) * Double(used))
            case .bytes(let bytes): return bytes
            case .unlimited: return .max
            }
        }
    }

    package var maxUnused = Unused.percent(5)
    /// Bytes of packs that may be stored anew; nil for as many as it takes.
    package var maxRepackSize: UInt64?
    /// Whether data that is not compressed is stored anew, compressed.
    package var repacksUncompressed = false
    /// Packs below this size are joined if there are ten of them; nil for what suits the packs that there are.
    package var smallPackSize: UInt64?
    /// Snapshots that do not count, as they were just removed: listings may still show them.
    package var ignored: Set<SHA256Digest> = []
    /// Bytes of blobs after which a new pack is full.
    package var packSize = 16 << 20
    package var compression = RepositoryWriter.Compression.zstd(3)

    package init() {}
}
