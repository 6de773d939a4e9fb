import Codec
import Containers
import Disk
import Model

/// Makes sense of a zip's members: which of them are ours, and which entry each of the others is.
struct ZipParts {
    private(set) var metadata: BackupMetadata
    private(set) var manifest: Manifest?
    private(set) var table: EntryTable
    private(set) var members: [Int32] = []
    private(set) var seal: SHA256Digest?
    private(set) var objections: [String] = []
    private(set) var isPlain = false
    /// Of an encrypted zip: right for its manifest.
    private(set) var password: Password?

    private static let manifestName = Array(Manifest.fileName.utf8)
    private static let metadataName = Array(BackupMetadata.fileName.utf8)

    init(_ file: ZipFile, name: String, status: FileStatus, _ surroundings: ZipContents.Surroundings) throws {
        let all = file.directory.members
        seal = ZipSeal.read(file.directory.end.comment)
        let endsAsOurs =
            all.count >= 2 && file.directory.name(all[all.count - 2]).elementsEqual(Self.manifestName)
            && file.directory.name(all[all.count - 1]).elementsEqual(Self.metadataName)
        if try Self.isEncrypted(file.directory, hasManifest: seal != nil && endsAsOurs) {
            password = try Self.password(file, name, surroundings)
        }
        if seal != nil || endsAsOurs {
            guard endsAsOurs else { throw ZipError.damaged("it does not end with manifest and metadata") }
            let reader = ZipMemberReader(file, password, stop: surroundings.stop)
            manifest = try Self.manifest(all[all.count - 2], reader, entryLimit: all.count - 1)
            let bytes = try reader.bytes(all[all.count - 1], limit: UInt64(BackupMetadata.sizeLimit))
            metadata = try Self.metadata(bytes)
            try Self.check(manifest, lists: bytes)
            metadata = try Self.whole(metadata, manifest, isEncrypted: password != nil)
            table = manifest?.table ?? EntryTable(root: EntryRecord(kind: .directory))
            if metadata.format == .zip {
                guard seal != nil else { throw ZipError.damaged("the comment that seals it is missing or damaged") }
                members = try Self.inOrder(file.directory, table)
                return
            }
        }
        let tree = try ZipTree(file, surroundings)
        metadata = BackupMetadata(
            backupName: name, time: LocalTime(moment: status.modified, offset: surroundings.offset(status.modified)),
            items: tree.top, excludedItems: [], details: nil)
        table = tree.table
        members = tree.members
        try take(tree, file, surroundings)
    }

    /// Whether it is encrypted: then all that holds data is but the metadata, and the manifest decides on the password.
    private static func isEncrypted(_ directory: ZipDirectory, hasManifest: Bool) throws(ZipError) -> Bool {
        let all = directory.members
        guard all.contains(where: \.isAES) else { return false }
        guard hasManifest, all[all.count - 2].isAES else {
            throw .damaged("members of it are encrypted, and there is no sealed and encrypted \(Manifest.fileName)")
        }
        for member in all.dropLast() where !member.isAES {
            guard directory.name(member).last == UInt8(ascii: "/"), member.size == 0, member.compressed == 0 else {
                throw .damaged("the member \(directory.shown(member)) is not encrypted, and others are")
            }
        }
        guard !all[all.count - 1].isEncrypted else { throw .damaged("\(BackupMetadata.fileName) is encrypted") }
        return true
    }

    /// The password, if it is right.
    private static func password(
        _ file: ZipFile, _ name: String, _ surroundings: ZipContents.Surroundings
    ) throws -> Password {
        guard let password = try surroundings.password(name) else {
            throw ZipError.password("it is encrypted, and no password was given")
        }
        let manifest = file.directory.members[file.directory.members.count - 2]
        guard try ZipMemberReader(file, password, stop: surroundings.stop).isRight(for: manifest) else {
            // Where the bytes are not those that were written, nothing is known of the password.
            guard try file.isSealed(stop: surroundings.stop) else { throw ZipError.damaged(ZipSeal.broken) }
            throw ZipError.password("the password is wrong")
        }
        return password
    }

    /// Where the metadata withholds names, the whole of it is in the manifest.
    private static func whole(
        _ metadata: BackupMetadata, _ manifest: Manifest?, isEncrypted: Bool
    ) throws -> BackupMetadata {
        guard (metadata.details?.isEncrypted ?? false) == isEncrypted else {
            throw ZipError.damaged("\(BackupMetadata.fileName) is wrong about whether it is encrypted")
        }
        guard isEncrypted, let manifest else { return metadata }
        let whole = try Self.metadata(manifest.wholeMetadata)
        guard metadata.format == .zip, whole.format == .zip, whole.details?.isEncrypted == true else {
            throw ZipError.damaged("the metadata in \(Manifest.fileName) is not that of an encrypted zip")
        }
        return whole
    }

    /// A zip of others: perhaps of a backup folder, ours or the original's.
    private mutating func take(_ tree: ZipTree, _ file: ZipFile, _ surroundings: ZipContents.Surroundings) throws {
        objections = tree.objections
        let reader = ZipMemberReader(file, stop: surroundings.stop)
        guard let found = tree.metadata else {
            guard tree.manifest == nil else { throw ZipError.damaged("\(BackupMetadata.fileName) is missing") }
            isPlain = true
            return
        }
        let bytes = try reader.bytes(found, limit: UInt64(BackupMetadata.sizeLimit))
        metadata = try Self.metadata(bytes)
        guard let found = tree.manifest else {
            guard metadata.isOfOriginal else { throw ZipError.damaged("\(Manifest.fileName) is missing") }
            let moment = metadata.time.moment
            let seconds = surroundings.offset(moment)
            metadata.time = LocalTime(moment: moment.adding(seconds: -Int64(seconds)), offset: seconds)
            return
        }
        manifest = try Self.manifest(found, reader, entryLimit: table.count)
        try Self.check(manifest, lists: bytes)
        guard let listed = manifest?.table else { return }
        members = try tree.members(of: listed)
        table = listed
        objections = []
    }

    /// Read piece by piece: what is packed small may be larger than memory.
    private static func manifest(
        _ member: ZipMember, _ reader: ZipMemberReader, entryLimit: Int
    ) throws -> Manifest {
        guard member.size <= UInt64(ManifestReader.sizeLimit) else {
            throw ZipError.damaged("\(Manifest.fileName) is larger than it may be")
        }
        // Of what the size says only that is believed which the entries can need.
        let expected = min(Int(member.size), entryLimit * 400)
        var manifest = ManifestReader(size: expected, entryLimit: entryLimit)
        do {
            try reader.read(member) { try manifest.take($0) }
            return try manifest.finish()
        } catch let error as ManifestError {
            throw ZipError.damaged("\(Manifest.fileName): \(error)")
        }
    }

    private static func metadata(_ bytes: [UInt8]) throws(ZipError) -> BackupMetadata {
        do throws(MetadataError) {
            return try BackupMetadata.read(bytes)
        } catch {
            throw .damaged("\(BackupMetadata.fileName): \(error)")
        }
    }

    private static func check(_ manifest: Manifest?, lists metadata: [UInt8]) throws(ZipError) {
        guard let manifest, manifest.metadataSize == UInt64(metadata.count),
            manifest.metadataDigest == SHA256.digest(of: metadata)
        else { throw .damaged("\(BackupMetadata.fileName) is not the one that the manifest lists") }
    }

    /// In our own zips the members are the entries, one by one.
    private static func inOrder(_ directory: ZipDirectory, _ table: EntryTable) throws -> [Int32] {
        guard directory.members.count - 2 == table.count - 1 else {
            throw ZipError.damaged("it has \(directory.members.count - 2) members for \(table.count - 1) entries")
        }
        for index in 1..<max(1, table.count) {
            let member = directory.members[index - 1]
            var path = directory.name(member)
            if table[index].kind == .directory {
                guard path.last == UInt8(ascii: "/") else {
                    throw ZipError.damaged("\(table.path(of: index)) is missing")
                }
                path = path.dropLast()
            }
            let isSame = table.withPath(of: index) { $0.elementsEqual(path) }
            guard isSame else { throw ZipError.damaged("\(table.path(of: index)) is missing") }
            let size = table[index].kind == .link ? UInt64(table.target(of: index).count) : table[index].size
            guard member.size == size else {
                throw ZipError.damaged("\(table.path(of: index)) has \(member.size) bytes where \(size) were backed up")
            }
        }
        return [-1] + (0..<Int32(table.count - 1))
    }
}

/// The tree that the members of a zip of others make.
struct ZipTree {
    private(set) var table: EntryTable
    private(set) var members: [Int32] = [-1]
    private(set) var objections: [String] = []
    /// What lies at the top.
    private(set) var top: [EntryPath] = []
    private(set) var metadata: ZipMember?
    private(set) var manifest: ZipMember?
    private var impliedBytes = 0

    private struct Node {
        var path: EntryPath
        var kind: EntryKind
        var member: Int
    }

    init(_ file: ZipFile, _ surroundings: ZipContents.Surroundings) throws {
        table = EntryTable(root: EntryRecord(kind: .directory, flags: .ancestor))
        let directory = file.directory
        var nodes: [Node] = []
        for (index, member) in directory.members.enumerated() {
            try surroundings.stop.check()
            guard let path = try ZipName.path(of: member, in: directory) else { continue }
            nodes.append(Node(path: path, kind: try Self.kind(member, directory), member: index))
        }
        nodes.sort { $0.path < $1.path }
        for (a, b) in zip(nodes, nodes.dropFirst()) where a.path == b.path {
            throw ZipError.damaged("it holds \(a.path) twice")
        }
        if let above = Self.wrapper(of: nodes, surroundings) {
            nodes = nodes.compactMap { node in
                guard node.path != above else { return nil }
                let rest = Array(node.path.bytes.dropFirst(above.bytes.count + 1))
                return Node(path: EntryPath(unchecked: rest), kind: node.kind, member: node.member)
            }
        }
        let reader = ZipMemberReader(file, stop: surroundings.stop)
        for node in nodes {
            try surroundings.stop.check()
            try add(node, directory, reader, surroundings)
        }
        top = table.children(of: 0).map { table.path(of: $0) }
        try objectToSize(directory)
    }

    /// The one directory that everything lies in, if the app is in there.
    private static func wrapper(of nodes: [Node], _ surroundings: ZipContents.Surroundings) -> EntryPath? {
        guard let first = nodes.first?.path.components.first else { return nil }
        let top = EntryPath(unchecked: Array(first))
        guard nodes.allSatisfy({ $0.path.isAtOrBelow(top) && ($0.path != top || $0.kind == .directory) }) else {
            return nil
        }
        let metadata = top.appending(Array(BackupMetadata.fileName.utf8))
        return nodes.contains { $0.path == metadata } || !surroundings.isItem(top) ? top : nil
    }

    private static func kind(_ member: ZipMember, _ directory: ZipDirectory) throws -> EntryKind {
        let shown = directory.shown(member)
        try ZipMemberReader.accept(member, shown)
        let isNamedDirectory = directory.name(member).last == UInt8(ascii: "/")
        let type = (member.mode ?? 0) & 0o170000
        switch type {
        case 0o120000:
            guard !isNamedDirectory else { throw ZipError.damaged("the link \(shown) has the name of a directory") }
            return .link
        case 0o040000:
            guard isNamedDirectory || member.size == 0 else {
                throw ZipError.damaged("the directory \(shown) has content")
            }
            return .directory
        case 0, 0o100000:
            guard !isNamedDirectory || member.size == 0 else {
                throw ZipError.damaged("the directory \(shown) has content")
            }
            return isNamedDirectory ? .directory : .file
        default: throw ZipError.refused("the member \(shown) is a device, a fifo or a socket")
        }
    }

    private mutating func add(
        _ node: Node, _ directory: ZipDirectory, _ reader: ZipMemberReader, _ surroundings: ZipContents.Surroundings
    ) throws {
        let member = directory.members[node.member]
        if node.kind == .file, node.path.bytes.elementsEqual(BackupMetadata.fileName.utf8) {
            metadata = member
            return
        }
        if node.kind == .file, node.path.bytes.elementsEqual(Manifest.fileName.utf8) {
            manifest = member
            return
        }
        var record = EntryRecord(kind: node.kind)
        record.modified =
            member.modified.map { Timestamp(seconds: Int64($0)) }
            ?? DOSTime.decode(member.dosTime, offset: surroundings.offset)
        let mode = (member.mode ?? 0) & 0o7777
        record.mode = mode != 0 ? mode : (node.kind == .directory ? 0o755 : 0o644)
        record.size = node.kind == .file ? member.size : 0
        var target: [UInt8] = []
        if node.kind == .link {
            target = try reader.bytes(member, limit: 4095)
            guard !target.isEmpty, !target.contains(0) else {
                throw ZipError.damaged("the link \(node.path) leads nowhere")
            }
            if Self.leadsOut(target, from: node.path) { objections.append("\(node.path) is a link out of the app") }
        } else if mode & 0o6000 != 0 {
            objections.append("\(node.path) has set-id bits")
        }
        try addParents(of: node.path, record.modified)
        try append(record, node.path, target, member: Int32(node.member))
    }

    /// So many bytes the paths of directories that no member is for may take: a name of 4 KB can have 2000 of them.
    private static let impliedLimit = 32 << 20

    /// Directories that no member is for.
    private mutating func addParents(of path: EntryPath, _ modified: Timestamp) throws {
        var missing: [EntryPath] = []
        var next = path.parent
        while let parent = next, !parent.isRoot, table.index(of: parent) == nil {
            impliedBytes += parent.bytes.count
            guard impliedBytes <= Self.impliedLimit else {
                throw ZipError.refused("it has too many directories that no member is for")
            }
            missing.append(parent)
            next = parent.parent
        }
        for parent in missing.reversed() {
            var record = EntryRecord(kind: .directory)
            record.mode = 0o755
            record.modified = modified
            try append(record, parent, [], member: -1)
        }
    }

    private mutating func append(
        _ record: EntryRecord, _ path: EntryPath, _ target: [UInt8], member: Int32
    ) throws {
        do throws(EntryTableError) {
            try table.append(record, path: path, target: target)
        } catch {
            throw error == .noParent
                ? ZipError.damaged("\(path) lies below what is no directory") : .damaged("it has too many members")
        }
        members.append(member)
    }

    /// Whether a link can lead out of the app. Any name on its way may be a link too: only the steps up before the first name
    /// are sure to go where they seem to.
    private static func leadsOut(_ target: [UInt8], from path: EntryPath) -> Bool {
        if target.first == UInt8(ascii: "/") { return true }
        let steps = target.split(separator: UInt8(ascii: "/")).filter { !$0.elementsEqual(".".utf8) }
        let up = steps.prefix { $0.elementsEqual("..".utf8) }.count
        return up >= path.components.count || steps.dropFirst(up).contains { $0.elementsEqual("..".utf8) }
    }

    private static let plausible: (bytes: UInt64, ratio: UInt64, entries: Int) = (256 << 20, 100, 250_000)

    /// What is packed to fill a disk is packed very small.
    private mutating func objectToSize(_ directory: ZipDirectory) throws {
        let total = directory.members.lazy.map(\.size).saturatingSum()
        let packed = directory.end.commentAt
        if table.count > Self.plausible.entries { objections.append("it holds \(table.count) entries") }
        if total > Self.plausible.bytes, total / Self.plausible.ratio > packed {
            objections.append("it would unpack to \(ByteCount(total)), \(total / max(1, packed)) times its size")
        }
    }

    /// The members of the entries that a manifest lists: each must be there, and nothing else.
    func members(of listed: EntryTable) throws -> [Int32] {
        var result = [Int32](repeating: -1, count: listed.count)
        var matched = 0
        for index in 1..<max(1, listed.count) {
            let path = listed.path(of: index)
            guard let own = table.index(of: path), table[own].kind == listed[index].kind,
                table[own].size == listed[index].size, table.hasSameTarget(own, as: index, of: listed)
            else { throw ZipError.damaged("\(path) is missing, or not as the manifest has it") }
            result[index] = members[own]
            matched += 1
        }
        guard matched == table.count - 1 else { throw ZipError.damaged("it holds what its manifest does not list") }
        return result
    }
}

/// Names of members in zips of others.
enum ZipName {
    /// Nil for what is left out: the zip's own top, and what macOS adds for itself.
    static func path(of member: ZipMember, in directory: ZipDirectory) throws -> EntryPath? {
        var bytes = Array(directory.bestName(member))
        func refuse(_ why: String) -> ZipError {
            .damaged("the member \(directory.shown(member)) has a name that \(why)")
        }
        if bytes.isEmpty { throw refuse("is empty") }
        if bytes.contains(0) { throw refuse("holds a NUL") }
        if bytes.contains(UInt8(ascii: "\\")) { throw refuse("holds a backslash") }
        if bytes[0] == UInt8(ascii: "/") { throw refuse("is absolute") }
        if bytes.count >= 2, bytes[1] == UInt8(ascii: ":"), Character(Unicode.Scalar(bytes[0])).isLetter {
            throw refuse("begins with a drive letter")
        }
        if !member.flags.contains(.utf8), member.utf8Name == nil, member.host != ZipRecord.unix,
            member.host != ZipRecord.macOS, String(validating: bytes, as: UTF8.self) == nil
        {
            bytes = CodePage437.decode(bytes)
        }
        while bytes.starts(with: "./".utf8) { bytes.removeFirst(2) }
        if bytes.last == UInt8(ascii: "/") { bytes.removeLast() }
        if bytes.isEmpty || bytes == [UInt8(ascii: ".")] { return nil }
        guard let path = EntryPath(checking: bytes), !path.isRoot else { throw refuse("leads elsewhere") }
        if path.components.contains(where: { $0.count > 255 }) || bytes.count > 4095 { throw refuse("is too long") }
        if path.components.first?.elementsEqual("__MACOSX".utf8) == true { return nil }
        return path
    }
}

/// What zips of MS-DOS and old Windows call the upper half of their character set.
enum CodePage437 {
    private static let upper = Array(
        ("ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■"
            + "\u{a0}").unicodeScalars)

    static func decode(_ bytes: [UInt8]) -> [UInt8] {
        var text = ""
        for byte in bytes {
            text.unicodeScalars.append(byte < 0x80 ? Unicode.Scalar(byte) : upper[Int(byte) - 0x80])
        }
        return Array(text.utf8)
    }
}
