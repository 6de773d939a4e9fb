import Disk
import Model
import TestKit
import Testing

@testable import ZipFormat

/// Where a zip ends is decided by one record alone.
@Suite struct ZipEndTests {
    private func end(comment: [UInt8] = [], count: UInt16 = 0, size: UInt32 = 0, start: UInt32 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append32(ZipRecord.end)
        bytes += [0, 0, 0, 0]
        bytes.append16(count)
        bytes.append16(count)
        bytes.append32(size)
        bytes.append32(start)
        bytes.append16(UInt16(comment.count))
        return bytes + comment
    }

    /// Nil if it is accepted.
    private func problem(_ bytes: [UInt8]) throws -> String? {
        let tree = try TemporaryTree()
        var file = try NewFile("x.zip".utf8, in: tree.directory)
        try file.write(bytes)
        do {
            _ = try ZipDirectory(try OpenFile("x.zip".utf8, in: tree.directory))
            return nil
        } catch let error as ZipError {
            return error.description
        }
    }

    @Test func anEmptyZipIsOne() throws {
        #expect(try problem(end()) == nil)
        #expect(try problem(end(comment: Array(repeating: 0x41, count: 65_535))) == nil)
    }

    @Test func whatDoesNotEndAsAZipIsNone() throws {
        for bytes in [[], [0x50], Array("PK".utf8), end() + [0], Array(end().dropLast()), [0] + end()] {
            #expect(try problem(bytes) != nil, "\(bytes.count) bytes")
        }
    }

    /// A comment that holds an end record would make two readers see two different zips.
    @Test func twoEndRecordsAreOneTooMany() throws {
        #expect(try problem(end(comment: end())) == "it has two end records")
        let far = end(comment: Array(repeating: 0x41, count: 5000) + end())
        #expect(try problem(far) == "it has two end records")
    }

    @Test func largerNumbersNeedTheirRecord() throws {
        #expect(try problem(end(count: 0xffff))?.contains("Zip64") == true)
        #expect(try problem(end(start: 0xffff_ffff))?.contains("Zip64") == true)
        #expect(try problem(end(size: 5)) != nil)
        #expect(try problem(end(count: 3)) != nil)
    }
}

@Suite struct DOSTimeTests {
    @Test(arguments: [315_532_800, 951_782_400, 1_709_164_798, 1_764_000_000, 4_102_444_800])
    func timesComeBack(seconds: Int) {
        let moment = Timestamp(seconds: Int64(seconds) & ~1)
        for offset in [0, 3600, -34_200, 20_700] {
            let local = LocalTime(moment: moment, offset: offset)
            let encoded = DOSTime.encode(local)
            if local.civil.year >= 1980 { #expect(DOSTime.decode(encoded) { _ in offset } == moment) }
        }
    }
}
