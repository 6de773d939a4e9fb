import Model

extension TreeNode {
    /// The node of an entry of a source, as restic makes it: with the time of change as that of access, and times in local time.
    /// `content` and `subtree` are the caller's to add. Extended attributes stand in the order in which the file system lists them.
    ///
    /// `offset`: seconds that local time is east of UTC at a moment.
    package init?(_ table: EntryTable, _ index: Int, offset: (Timestamp) -> Int) {
        self.init(table, index, table[index], offset: offset)
    }

    /// The same for an entry that has meanwhile become `record`.
    init?(_ table: EntryTable, _ index: Int, _ record: EntryRecord, offset: (Timestamp) -> Int) {
        let kind: Kind
        switch record.kind {
        case .file: kind = .file
        case .directory: kind = .directory
        case .link: kind = .link
        case .fifo: kind = .fifo
        case .socket: kind = .socket
        case .characterDevice: kind = .characterDevice
        case .blockDevice: kind = .blockDevice
        }
        self.init(name: table.withName(of: index) { Array($0) }, kind: kind)
        mode = Self.mode(kind, permissions: record.mode)
        modified = LocalTime(moment: record.modified, offset: offset(record.modified))
        accessed = modified
        changed = LocalTime(moment: record.changed, offset: offset(record.changed))
        (user, group) = (record.user, record.group)
        userName = Array((table.userNames[user] ?? "").utf8)
        groupName = Array((table.groupNames[group] ?? "").utf8)
        (inode, device) = (record.inode, record.device)
        if kind == .file { size = record.size }
        if record.kind.isDevice {
            represented = DeviceNumber(text: table.target(of: index))?.packed ?? 0
        }
        // Restic counts the names of all but directories and fifos.
        if kind != .directory && kind != .fifo { links = UInt64(record.links) }
        if record.inode == 0, record.linkGroup != 0 {
            // What other backups say of hard links: names of one file have one number.
            (inode, links) = (UInt64(record.linkGroup), max(2, links))
        }
        if kind == .link { target = table.target(of: index) }
        extended = table.extended(of: index).byRank()
    }
}
