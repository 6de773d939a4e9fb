import CLinux
import Glibc
import Model

/// Reads and sets what an entry carries besides its content.
package enum FileAttributes {
    /// Extended attributes of a file or directory, sorted by name. None where the file system has no such thing.
    package static func extended(of descriptor: Int32) throws(DiskError) -> [ExtendedAttribute] {
        try extended(
            list: { linux_list_xattrs(descriptor, $0, $1) }, get: { linux_get_xattr(descriptor, $0, $1, $2) })
    }

    /// The same for the entry `name`, also of a link itself.
    package static func extended(
        of name: some Collection<UInt8>, in directory: Directory
    ) throws(DiskError) -> [ExtendedAttribute] {
        try extended(
            list: { buffer, size in
                withCString(name) { linux_list_xattrs_at(directory.descriptor, $0, buffer, size) }
            },
            get: { attribute, buffer, size in
                withCString(name) { linux_get_xattr_at(directory.descriptor, $0, attribute, buffer, size) }
            })
    }

    private static func extended(
        list: (UnsafeMutablePointer<CChar>?, UInt) -> Int,
        get: (UnsafePointer<CChar>, UnsafeMutableRawPointer?, UInt) -> Int
    ) throws(DiskError) -> [ExtendedAttribute] {
        let length = list(nil, 0)
        if length == 0 || length == -Int(EOPNOTSUPP) { return [] }
        try check(length, "list the extended attributes of", "the file")
        let names = try filled(upTo: 65_536) { list($0?.assumingMemoryBound(to: CChar.self), $1) }
        var attributes: [ExtendedAttribute] = []
        for name in names.split(separator: 0) {
            do throws(DiskError) {
                let value = try filled(upTo: 65_536) { buffer, size in withCString(name) { get($0, buffer, size) } }
                attributes.append(ExtendedAttribute(name: Array(name), value: value))
            } catch  where error.number == ENODATA {
                // Removed since the list was made.
                continue
            }
        }
        return attributes.ranked()
    }

    private static func filled(
        upTo limit: Int, _ fill: (UnsafeMutableRawPointer?, UInt) -> Int
    ) throws(DiskError) -> [UInt8] {
        var result = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            result = fill(buffer.baseAddress, UInt(limit))
            count = max(0, result)
        }
        try check(result, "read the extended attributes of", "the file")
        return bytes
    }

    /// Sets everything but content on an open file or directory. What the target cannot hold or we may not set is
    /// returned, as clauses; all other failures are errors.
    ///
    /// The order matters: a change of owner clears set-id bits and capabilities, an extended attribute of a user needs
    /// write permission, and every change but the last touches the times.
    package static func apply(
        _ wanted: Attributes, to descriptor: Int32, now current: FileOwner, ownership: Ownership,
        currentExtended: [ExtendedAttribute]? = nil
    ) throws(DiskError) -> [String] {
        var unset: [String] = []
        let named = ownership.owner(for: wanted)
        let owner = ownership.attainable(named, from: current)
        if owner != current {
            let result = linux_chown(descriptor, owner.user, owner.group)
            try tolerate(result, "owner \(named.user):\(named.group)", "set the owner of", &unset)
        }
        if owner != named { unset.append("owner \(named.user):\(named.group)") }
        let before: [ExtendedAttribute]
        if let currentExtended { before = currentExtended } else { before = try extended(of: descriptor) }
        for attribute in before where !wanted.extended.contains(where: { $0.name == attribute.name }) {
            let result = withCString(attribute.name) { linux_remove_xattr(descriptor, $0) }
            try tolerate(result, "without \(printable(attribute.name))", "remove an attribute of", &unset)
        }
        for attribute in wanted.extended where !before.contains(attribute) {
            let result = withCString(attribute.name) { name in
                attribute.value.withRawBytes { linux_set_xattr(descriptor, name, $0.baseAddress, UInt($0.count)) }
            }
            try tolerate(result, printable(attribute.name), "set an attribute of", &unset)
        }
        let mode = ownership.attainableMode(wanted.mode, for: named, belongingTo: owner)
        if mode != wanted.mode { unset.append("set-id bits of mode \(String(wanted.mode, radix: 8))") }
        try check(linux_chmod(descriptor, UInt32(mode)), "set the mode of", "the file")
        let time = wanted.modified
        try check(linux_set_modified(descriptor, time.seconds, time.nanoseconds), "set the time of", "the file")
        return unset
    }

    /// Sets owner, extended attributes, mode and time of the link, fifo or device `name`, which is not opened; a link has no mode.
    package static func apply(
        _ wanted: Attributes, toUnopened name: some Collection<UInt8>, in directory: Directory, ownership: Ownership
    ) throws(DiskError) -> [String] {
        var unset: [String] = []
        let named = ownership.owner(for: wanted)
        guard let status = try directory.status(of: name) else {
            throw DiskError("read the attributes of", printable(name), number: ENOENT)
        }
        let (current, owner) = (status.owner, ownership.attainable(named, from: status.owner))
        if current != named {
            if owner != current {
                let result = withCString(name) { linux_chown_at(directory.descriptor, $0, owner.user, owner.group) }
                try tolerate(result, "owner \(named.user):\(named.group)", "set the owner of", &unset)
            }
            if owner != named { unset.append("owner \(named.user):\(named.group)") }
        }
        for attribute in wanted.extended {
            let result = withCString(name) { name in
                withCString(attribute.name) { key in
                    attribute.value.withRawBytes {
                        linux_set_xattr_at(directory.descriptor, name, key, $0.baseAddress, UInt($0.count))
                    }
                }
            }
            try tolerate(result, printable(attribute.name), "set an attribute of", &unset)
        }
        if status.kind != .link {
            let mode = ownership.attainableMode(wanted.mode, for: named, belongingTo: owner)
            if mode != wanted.mode { unset.append("set-id bits of mode \(String(wanted.mode, radix: 8))") }
            try directory.setMode(mode, ofNode: name)
        }
        let time = wanted.modified
        let result = withCString(name) {
            linux_set_modified_at(directory.descriptor, $0, time.seconds, time.nanoseconds)
        }
        try check(result, "set the time of", printable(name))
        return unset
    }

    /// What we may not set, or the file system cannot hold, is noted; the rest is an error.
    private static func tolerate(
        _ result: Int32, _ what: @autoclosure () -> String, _ operation: StaticString, _ unset: inout [String]
    ) throws(DiskError) {
        switch -result {
        case EPERM, EACCES, EOPNOTSUPP, EINVAL, ERANGE, ENODATA: unset.append(what())
        default: try check(result, operation, "the file")
        }
    }
}
