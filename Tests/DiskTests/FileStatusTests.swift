import Disk
import Foundation
import Model
import Testing

@Suite struct FileStatusTests {
    /// Regression (issue 5): the number of a device was made up in a way of our own; no tree with it was equal to restic's.
    @Test(arguments: ["/", "/proc", "/dev", "/dev/shm", "/tmp"])
    func theDeviceIsThatOfStat(path: String) throws {
        var expected = stat()
        try #require(stat(path, &expected) == 0)
        let status = try Directory(path: path).status()
        #expect(status.device == UInt64(expected.st_dev))
        #expect(status.inode == UInt64(expected.st_ino))
    }
}
