import Model

/// The records of a zip file, as APPNOTE.TXT 6.3.10 by PKWARE (sections 4.3, 4.4 and 4.5) describes them. All numbers are
/// little-endian. `Documentation/Formats/zip.md` says which of them we write.
enum ZipRecord {
    static let local: UInt32 = 0x0403_4b50
    static let central: UInt32 = 0x0201_4b50
    static let end: UInt32 = 0x0605_4b50
    static let end64: UInt32 = 0x0606_4b50
    static let locator64: UInt32 = 0x0706_4b50
    static let descriptor: UInt32 = 0x0807_4b50

    static let localSize = 30
    static let centralSize = 46
    static let endSize = 22
    static let end64Size = 56
    static let locator64Size = 20

    /// Stands where a Zip64 field has the number.
    static let large32: UInt32 = 0xffff_ffff
    static let large16: UInt16 = 0xffff
    /// The host system in "version made by" whose attributes have a Unix mode in their upper half; macOS's are the same.
    static let unix: UInt8 = 3
    static let macOS: UInt8 = 19
}

enum ZipMethod {
    static let stored: UInt16 = 0
    static let deflated: UInt16 = 8
    static let aes: UInt16 = 99

    static func name(_ method: UInt16) -> String {
        switch method {
        case 1: "shrink"
        case 2...5: "reduce"
        case 6: "implode"
        case 9: "deflate64"
        case 12: "bzip2"
        case 14: "LZMA"
        case 20, 93: "zstd"
        case 94: "MP3"
        case 95: "xz"
        case 96: "JPEG"
        case 97: "WavPack"
        case 98: "PPMd"
        case aes: "AES"
        default: "number \(method)"
        }
    }
}

struct ZipFlags: OptionSet, Equatable {
    let rawValue: UInt16

    static let encrypted = ZipFlags(rawValue: 1)
    /// Sizes and checksum follow the data.
    static let descriptor = ZipFlags(rawValue: 1 << 3)
    static let patch = ZipFlags(rawValue: 1 << 5)
    static let strongEncryption = ZipFlags(rawValue: 1 << 6)
    /// Name and comment are UTF-8.
    static let utf8 = ZipFlags(rawValue: 1 << 11)
    static let hiddenHeaders = ZipFlags(rawValue: 1 << 13)
}

/// Extra fields, by their identifiers.
enum ZipExtra {
    static let zip64: UInt16 = 0x0001
    /// Info-ZIP's extended timestamp.
    static let time: UInt16 = 0x5455
    /// Info-ZIP's owner, third generation.
    static let owner: UInt16 = 0x7875
    /// Info-ZIP's name in UTF-8.
    static let utf8Name: UInt16 = 0x7075
    static let aes: UInt16 = 0x9901
}

extension [UInt8] {
    mutating func append16(_ value: UInt16) {
        append(UInt8(truncatingIfNeeded: value))
        append(UInt8(truncatingIfNeeded: value >> 8))
    }

    mutating func append32(_ value: UInt32) {
        append16(UInt16(truncatingIfNeeded: value))
        append16(UInt16(truncatingIfNeeded: value >> 16))
    }

    mutating func append64(_ value: UInt64) {
        append32(UInt32(truncatingIfNeeded: value))
        append32(UInt32(truncatingIfNeeded: value >> 32))
    }
}

/// Numbers at places in bytes; the caller has checked that they are there.
extension RandomAccessCollection where Element == UInt8, Index == Int {
    func number16(_ at: Int) -> UInt16 { UInt16(self[startIndex + at]) | UInt16(self[startIndex + at + 1]) << 8 }
    func number32(_ at: Int) -> UInt32 { UInt32(number16(at)) | UInt32(number16(at + 2)) << 16 }
    func number64(_ at: Int) -> UInt64 { UInt64(number32(at)) | UInt64(number32(at + 4)) << 32 }
}

/// A time as MS-DOS has it: local, in steps of two seconds, from 1980 on.
enum DOSTime {
    static func encode(_ time: LocalTime) -> UInt32 {
        let civil = time.civil
        if civil.year < 1980 { return 1 << 21 | 1 << 16 }
        if civil.year > 2107 { return 127 << 25 | 12 << 21 | 31 << 16 | 23 << 11 | 59 << 5 | 29 }
        let date = UInt32(civil.year - 1980) << 9 | UInt32(civil.month) << 5 | UInt32(civil.day)
        return date << 16 | UInt32(civil.hour) << 11 | UInt32(civil.minute) << 5 | UInt32(civil.second / 2)
    }

    /// The moment, if the local clock was `offset` seconds ahead then; nonsense gives some moment.
    static func decode(_ time: UInt32, offset: (Timestamp) -> Int) -> Timestamp {
        let (date, clock) = (time >> 16, time & 0xffff)
        let days = days(
            year: Int64(date >> 9) + 1980, month: Int64(max(1, min(12, date >> 5 & 15))), day: Int64(max(1, date & 31)))
        let seconds = Int64(clock >> 11) * 3600 + Int64(clock >> 5 & 63) * 60 + Int64(clock & 31) * 2
        let local = Timestamp(seconds: days * 86_400 + seconds)
        return local.adding(seconds: -Int64(offset(local)))
    }

    /// Days since 1970, by the proleptic Gregorian calendar.
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let shifted = month > 2 ? year : year - 1
        let era = shifted / 400
        let ofEra = shifted - era * 400
        let ofYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
    }
}
