import TestKit
import Testing

@testable import Disk

@Suite struct FileSystemTraitsTests {
    private func listsConsistently(_ path: String) throws -> Bool {
        try FileSystemTraits(of: Directory(path: path)).listsConsistently
    }

    /// What other computers, or programs, may change unseen must not be among them.
    @Test func onlyKnownFileSystemsListConsistently() throws {
        for path in ["/proc", "/sys"] { #expect(try !listsConsistently(path)) }
        for kind in ["ext4", "xfs", "btrfs", "vfat"] {
            guard let system = try LoopFileSystem(kind, megabytes: 320) else {
                print("no \(kind) here: not tested")
                continue
            }
            let isConsistent = try listsConsistently(system.path)
            #expect(isConsistent, "\(kind)")
            withExtendedLifetime(system) {}
        }
    }
}
