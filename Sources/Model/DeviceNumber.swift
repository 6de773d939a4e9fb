/// Which device a device node stands for.
package struct DeviceNumber: Equatable, Sendable {
    package let major: UInt32
    package let minor: UInt32

    package init(major: UInt32, minor: UInt32) {
        self.major = major
        self.minor = minor
    }
}

extension DeviceNumber {
    /// From the number that Linux has for it in `st_rdev`: the low 12 bits of the major number stand between the low 8 and the
    /// next 12 of the minor one. Source: makedev(3), `bits/sysmacros.h` of glibc.
    package init(packed: UInt64) {
        major = UInt32(truncatingIfNeeded: packed >> 8 & 0xfff | packed >> 32 & 0xffff_f000)
        minor = UInt32(truncatingIfNeeded: packed & 0xff | packed >> 12 & 0xffff_ff00)
    }

    package var packed: UInt64 {
        let (major, minor) = (UInt64(major), UInt64(minor))
        return minor & 0xff | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | (major & 0xffff_f000) << 32
    }

    /// `MAJOR:MINOR`, in decimal: what tables have in place of a link's target.
    package var text: [UInt8] { Array("\(major):\(minor)".utf8) }

    package init?(text: [UInt8]) {
        let parts = text.split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
        guard parts.count == 2, let major = UInt32(String(decoding: parts[0], as: UTF8.self)),
            let minor = UInt32(String(decoding: parts[1], as: UTF8.self))
        else { return nil }
        self.init(major: major, minor: minor)
    }
}
