import CLinux
import Glibc
import Model

/// An open directory. Everything below it is reached relative to its descriptor, never through a joined path, and never
/// through a symbolic link (promise 11).
package final class Directory: Sendable {
    package let descriptor: Int32

    init(adopting descriptor: Int32) {
        self.descriptor = descriptor
    }

    deinit {
        // Nothing was written through it, so closing cannot lose anything.
        linux_close(descriptor)
    }

    /// Opens the directory at a path of the user, following links.
    package convenience init(path: String) throws(DiskError) {
        let flags = O_RDONLY | linux_O_DIRECTORY
        self.init(
            adopting: try check(
                withCString(path.utf8) { linux_open(AT_FDCWD, $0, flags) }, "open", printable(path.utf8)))
    }

    /// Opens the directory `name` in this one.
    package func directory(_ name: some Collection<UInt8>) throws(DiskError) -> Directory {
        let flags = O_RDONLY | linux_O_DIRECTORY | linux_O_NOFOLLOW
        let opened = withCString(name) { linux_open(descriptor, $0, flags) }
        return Directory(adopting: try check(opened, "open", printable(name)))
    }

    /// Opens the directory at `path` below this one; no component may be a link.
    package func directory(at path: EntryPath) throws(DiskError) -> Directory {
        try path.bytes.withRawBytes { bytes throws(DiskError) in try directory(atBytes: bytes) }
    }

    /// The same for the bytes of a path in a table.
    package func directory(atBytes path: UnsafeRawBufferPointer) throws(DiskError) -> Directory {
        if path.isEmpty { return try duplicate() }
        let flags = O_RDONLY | linux_O_DIRECTORY | linux_O_NOFOLLOW
        // The kernel takes 4,095 bytes; and openat2 may be missing (before Linux 5.6, or filtered in a container).
        if path.count < 4096 {
            let opened = withCString(path) { linux_open_beneath(descriptor, $0, flags) }
            if opened >= 0 { return Directory(adopting: opened) }
            if opened != -ENOSYS && opened != -EPERM {
                throw DiskError("open", printable(path), number: -opened)
            }
        }
        var current = self
        for component in path.split(separator: UInt8(ascii: "/")) {
            current = try current.directory(component)
        }
        return current
    }

    /// Its path from the root, without links.
    package func absolutePath() throws(DiskError) -> [UInt8] {
        let open = try Directory(path: "/proc/self/fd")
        return try open.target(ofLink: "\(descriptor)".utf8)
    }

    /// The same directory through a descriptor of its own.
    package func duplicate() throws(DiskError) -> Directory {
        Directory(adopting: try check(linux_open(descriptor, ".", O_RDONLY | linux_O_DIRECTORY), "open", "."))
    }

    /// What stands at `name`; nil if nothing does.
    package func status(of name: some Collection<UInt8>) throws(DiskError) -> FileStatus? {
        var raw = linux_stat()
        let result = withCString(name) { linux_stat_at(descriptor, $0, &raw) }
        if result == -ENOENT { return nil }
        try check(result, "read the attributes of", printable(name))
        return FileStatus(raw)
    }

    /// Which file or directory `name` leads to, if it is a link; nil if it leads nowhere that we can reach.
    package func identity(following name: some Collection<UInt8>) -> FileIdentity? {
        var raw = linux_stat()
        guard withCString(name, { linux_stat_following(descriptor, $0, &raw) }) == 0 else { return nil }
        return FileStatus(raw).identity
    }

    package func status() throws(DiskError) -> FileStatus {
        var raw = linux_stat()
        try check(linux_stat_at(descriptor, "", &raw), "read the attributes of", ".")
        return FileStatus(raw)
    }

    /// Where the link `name` points.
    package func target(ofLink name: some Collection<UInt8>) throws(DiskError) -> [UInt8] {
        var failure: Int = 0
        let target = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            let length = withCString(name) { name in
                buffer.withMemoryRebound(to: CChar.self) { linux_readlink(descriptor, name, $0.baseAddress, 4096) }
            }
            count = max(0, length)
            failure = min(0, length)
        }
        try check(failure, "read the link", printable(name))
        return target
    }

    package func makeEmptyDirectory(_ name: some Collection<UInt8>, mode: UInt16 = 0o700) throws(DiskError) {
        try check(
            withCString(name) { linux_mkdir(descriptor, $0, UInt32(mode)) }, "make the directory", printable(name))
    }

    /// Makes the directory `name` and opens it.
    package func makeDirectory(_ name: some Collection<UInt8>, mode: UInt16 = 0o700) throws(DiskError) -> Directory {
        try makeEmptyDirectory(name, mode: mode)
        return try directory(name)
    }

    /// Makes a directory for files of ours: what a default access control list of this directory would give to everything
    /// made below it is taken away, so that files get exactly the attributes that we set.
    package func makeOwnDirectory(_ name: some Collection<UInt8>) throws(DiskError) -> Directory {
        let made = try makeDirectory(name)
        let result = linux_remove_xattr(made.descriptor, "system.posix_acl_default")
        if result != -ENODATA && result != -EOPNOTSUPP {
            try check(result, "remove the default ACL of", printable(name))
        }
        try giveToOwner(made.descriptor)
        return made
    }

    /// As root, what we make for ourselves belongs to whom its directory belongs to: else one run as root would lock out
    /// the app's own user.
    package func giveToOwner(_ made: Int32) throws(DiskError) {
        guard linux_effective_user() == 0 else { return }
        let owner = try status().owner
        guard owner != FileOwner(user: 0, group: 0) else { return }
        try check(linux_chown(made, owner.user, owner.group), "set the owner of", "a file of ours")
    }

    /// Opens the directory `name`, made if it is missing.
    package func directory(making name: some Collection<UInt8>) throws(DiskError) -> Directory {
        let result = withCString(name) { linux_mkdir(descriptor, $0, 0o700) }
        if result != -EEXIST { try check(result, "make the directory", printable(name)) }
        let opened = try directory(name)
        if result == 0 { try giveToOwner(opened.descriptor) }
        return opened
    }

    package func makeLink(_ name: some Collection<UInt8>, to target: [UInt8]) throws(DiskError) {
        let result = withCString(target) { target in withCString(name) { linux_symlink(target, descriptor, $0) } }
        try check(result, "make the link", printable(name))
    }

    /// Makes a fifo, for its owner alone.
    package func makeFifo(_ name: some Collection<UInt8>) throws(DiskError) {
        try check(withCString(name) { linux_mkfifo(descriptor, $0) }, "make the fifo", printable(name))
    }

    /// Makes a device node, for its owner alone. Takes root's rights.
    package func makeDevice(
        _ name: some Collection<UInt8>, isBlock: Bool, _ number: DeviceNumber
    ) throws(DiskError) {
        let result = withCString(name) { linux_mknod(descriptor, $0, isBlock ? 1 : 0, number.major, number.minor) }
        try check(result, "make the device", printable(name))
    }

    /// Gives the file `name` of this directory a second name in `other`.
    package func link(
        _ name: some Collection<UInt8>, to other: Directory, as newName: some Collection<UInt8>
    ) throws(DiskError) {
        let result = withCString(name) { from in
            withCString(newName) { linux_link(descriptor, from, other.descriptor, $0) }
        }
        try check(result, "link", printable(newName))
    }

    /// Moves `name` to `newName` in `other`, where nothing may stand.
    package func move(
        _ name: some Collection<UInt8>, to other: Directory, as newName: some Collection<UInt8>
    ) throws(DiskError) {
        let result = withCString(name) { from in
            withCString(newName) { linux_rename_noreplace(descriptor, from, other.descriptor, $0) }
        }
        try check(result, "move", printable(name))
    }

    /// The same within this directory, also where the file system knows no such move (NFS, FAT): then that nothing stands
    /// there is looked up. For what has a lock of ours; a directory is never put in the place of anything but an empty one.
    package func moveDirectory(_ name: some Collection<UInt8>, as newName: some Collection<UInt8>) throws(DiskError) {
        do throws(DiskError) {
            try move(name, to: self, as: newName)
        } catch {
            guard error.number == EINVAL, try status(of: newName) == nil else { throw error }
            try replace(newName, by: name)
        }
    }

    /// Moves the file `name` to `newName` in another directory, as ``moveDirectory(_:as:)`` does within one.
    package func moveFile(
        _ name: some Collection<UInt8>, to other: Directory, as newName: some Collection<UInt8>
    ) throws(DiskError) {
        do throws(DiskError) {
            try move(name, to: other, as: newName)
        } catch {
            guard error.number == EINVAL, try other.status(of: newName) == nil else { throw error }
            let result = withCString(name) { from in
                withCString(newName) { linux_rename(descriptor, from, other.descriptor, $0) }
            }
            try check(result, "move", printable(name))
        }
    }

    /// Moves `name` to `newName` in this directory, in place of what stands there.
    package func replace(_ newName: some Collection<UInt8>, by name: some Collection<UInt8>) throws(DiskError) {
        let result = withCString(name) { from in
            withCString(newName) { linux_rename(descriptor, from, descriptor, $0) }
        }
        try check(result, "replace", printable(newName))
    }

    /// Puts `name` and `other`, which both exist, in each other's place.
    package func exchange(
        _ name: some Collection<UInt8>, _ other: some Collection<UInt8>
    ) throws(DiskError) {
        let result = withCString(name) { from in
            withCString(other) { linux_rename_exchange(descriptor, from, descriptor, $0) }
        }
        try check(result, "replace", printable(other))
    }

    /// Takes the directory's lock for as long as it is open here. False if someone has it, or if there is no such thing.
    @discardableResult package func lockIfPossible() -> Bool {
        linux_lock(descriptor, 1, 0) == 0
    }

    /// Removes a file or a link.
    package func unlink(_ name: some Collection<UInt8>) throws(DiskError) {
        try check(withCString(name) { linux_unlink(descriptor, $0) }, "remove", printable(name))
    }

    package func removeEmptyDirectory(_ name: some Collection<UInt8>) throws(DiskError) {
        try check(withCString(name) { linux_rmdir(descriptor, $0) }, "remove", printable(name))
    }

    package func fsync() throws(DiskError) {
        try check(linux_fsync(descriptor), "sync", "the directory")
    }

    /// Writes out everything of the whole file system.
    package func syncFileSystem() throws(DiskError) {
        try check(linux_syncfs(descriptor), "sync", "the file system")
    }
}

// What is to be known before anything is changed.
extension Directory {
    /// Fails if we may not make and remove entries in this directory.
    package func checkEntriesMayChange() throws(DiskError) {
        try check(linux_may_change(descriptor, "."), "change", "the directory")
    }

    /// Whether this directory makes no difference between names that differ in case only. `names`: all that is in it.
    package func foldsCase(names: [[UInt8]]) throws(DiskError) -> Bool {
        if linux_folds_case(descriptor) != 0 { return true }
        // The flag is not known to every file system: what one of the names leads to, spelled otherwise, tells too.
        for name in names {
            let other = name.map { isLetter($0) ? $0 ^ 0x20 : $0 }
            guard other != name, !names.contains(other) else { continue }
            guard let found = try status(of: other) else { return false }
            return try status(of: name)?.identity == found.identity
        }
        return false
    }

    private func isLetter(_ byte: UInt8) -> Bool {
        UInt8(ascii: "a")...UInt8(ascii: "z") ~= byte | 0x20
    }
}

// Listing.
extension Directory {
    package struct Item: Sendable {
        package let name: [UInt8]
        /// Nil where the file system does not tell while listing.
        package let kind: EntryKind?
    }

    /// What is in the directory, in no particular order, without `.` and `..`.
    package func items() throws(DiskError) -> [Item] {
        var items: [Item] = []
        try list { items.append(Item(name: Array($0), kind: $1)) }
        return items
    }

    /// The kind of an item; nil if it is gone since.
    package func kind(of item: Item) throws(DiskError) -> EntryKind? {
        if let kind = item.kind { return kind }
        return try status(of: item.name)?.kind
    }

    /// Calls `body` with the name and the kind of each entry, in no particular order.
    package func list(_ body: (UnsafeRawBufferPointer, EntryKind?) -> Void) throws(DiskError) {
        // A descriptor of its own: the position in a directory belongs to the descriptor.
        let own = try duplicate()
        let size = 32 * 1024
        let failure: Int = withUnsafeTemporaryAllocation(byteCount: size, alignment: 8) { buffer in
            while true {
                let filled = linux_list(own.descriptor, buffer.baseAddress, UInt(size))
                if filled <= 0 { return filled }
                var offset = 0
                var entry = linux_dirent()
                while linux_next_dirent(buffer.baseAddress, filled, &offset, &entry) == 1 {
                    let name = UnsafeRawBufferPointer(start: entry.name, count: Int(entry.name_length))
                    let isDots = name[0] == 0x2e && (name.count == 1 || name.count == 2 && name[1] == 0x2e)
                    if !isDots { body(name, Self.kind(ofType: entry.type)) }
                }
            }
        }
        try check(failure, "list", "the directory")
    }

    private static func kind(ofType type: UInt8) -> EntryKind? {
        switch Int(type) {
        case 8: .file
        case 4: .directory
        case 10: .link
        case 1: .fifo
        case 12: .socket
        case 2: .characterDevice
        case 6: .blockDevice
        default: nil
        }
    }
}

// What cannot be opened for reading: a directory without permissions for its owner, or a node, whose driver or other end would notice.
extension Directory {
    /// Sets the mode of the directory `name`, also of one that we could not open otherwise.
    package func setMode(_ mode: UInt16, of name: some Collection<UInt8>) throws(DiskError) {
        try setMode(mode, of: name, opening: linux_O_DIRECTORY)
    }

    /// Sets the mode of the fifo or device `name`, which is not opened.
    func setMode(_ mode: UInt16, ofNode name: some Collection<UInt8>) throws(DiskError) {
        try setMode(mode, of: name, opening: 0)
    }

    private func setMode(_ mode: UInt16, of name: some Collection<UInt8>, opening flags: Int32) throws(DiskError) {
        let path = try check(
            withCString(name) { linux_open(descriptor, $0, linux_O_PATH | linux_O_NOFOLLOW | flags) },
            "open", printable(name))
        defer { linux_close(path) }
        // A descriptor made with O_PATH takes no fchmod; the path that stands for it does.
        try check(linux_chmod_path_descriptor(path, UInt32(mode)), "set the mode of", printable(name))
    }
}
