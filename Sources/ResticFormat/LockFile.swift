import Codec
import Disk
import Model

/// Whom a lock keeps out.
package enum LockKind: Sendable {
    /// Those who want an exclusive one.
    case shared
    /// Everyone.
    case exclusive
}

/// Says that a program uses a repository.
///
/// Source: restic's design document, "Locks". What we add tells our own processes apart; others ignore it.
package struct LockFile: Equatable, Sendable {
    package static let sizeLimit = 64 << 10
    /// Seconds after which a lock that nobody has refreshed counts as left behind.
    static let lifetime: Int64 = 30 * 60

    package var time: LocalTime
    package var kind: LockKind
    package var hostName = ""
    package var userName = ""
    package var process: Int32 = 0
    package var user: UInt32 = 0
    package var group: UInt32 = 0
    /// What the process does; empty if that is not known.
    package var verb = ""
    /// Nil in locks of other programs.
    package var stamp: ProcessStamp?

    package init(time: LocalTime, kind: LockKind) {
        self.time = time
        self.kind = kind
    }

    /// A lock of this process.
    package static func own(_ kind: LockKind, verb: String, at time: LocalTime) -> LockFile {
        var lock = LockFile(time: time, kind: kind)
        lock.hostName = HostName.current
        (lock.user, lock.group) = (ProcessIdentity.user, ProcessIdentity.group)
        lock.userName = OwnerNames.user(lock.user) ?? ""
        lock.process = ProcessIdentity.number
        lock.verb = verb
        lock.stamp = ProcessStamp.own()
        return lock
    }
}

// The document.
extension LockFile {
    private static let ownKey = "chastipi_backup"

    /// Reads the decrypted and decompressed document.
    package init(json bytes: [UInt8]) throws(FormatError) {
        let json = try readObject(bytes, what: "the lock")
        guard let time = json["time"]?.stringValue.flatMap({ LocalTime(goText: $0) }) else {
            throw FormatError("the lock has no time")
        }
        guard let isExclusive = json["exclusive"]?.boolValue else {
            throw FormatError("the lock does not say whether it is exclusive")
        }
        self.init(time: time, kind: isExclusive ? .exclusive : .shared)
        hostName = json["hostname"]?.stringValue ?? ""
        userName = json["username"]?.stringValue ?? ""
        // 0 is no process: whether one is alive is then not asked.
        process = json["pid"]?.integerValue.flatMap { Int32(exactly: $0) } ?? 0
        user = json["uid"]?.unsignedValue.flatMap { UInt32(exactly: $0) } ?? 0
        group = json["gid"]?.unsignedValue.flatMap { UInt32(exactly: $0) } ?? 0
        guard let ours = json[Self.ownKey] else { return }
        verb = ours["verb"]?.stringValue ?? ""
        guard let bootID = ours["boot_id"]?.stringValue, let started = ours["started"]?.unsignedValue,
            let process = ours["pid_namespace"]?.unsignedValue, let time = ours["time_namespace"]?.unsignedValue
        else { return }
        stamp = ProcessStamp(bootID: bootID, processNamespace: process, timeNamespace: time, started: started)
    }

    /// The document, as it is before it is compressed and encrypted.
    package var json: [UInt8] {
        var writer = CanonicalWriter(capacity: 1024)
        writer.literal("{\"time\":")
        writer.time(time)
        writer.literal(kind == .exclusive ? ",\"exclusive\":true" : ",\"exclusive\":false")
        writer.literal(",\"hostname\":")
        writer.string(Array(hostName.utf8))
        writer.literal(",\"username\":")
        writer.string(Array(userName.utf8))
        writer.literal(",\"pid\":")
        if process < 0 { writer.literal("-") }
        writer.unsigned(UInt64(process.magnitude))
        if user != 0 {
            writer.literal(",\"uid\":")
            writer.unsigned(UInt64(user))
        }
        if group != 0 {
            writer.literal(",\"gid\":")
            writer.unsigned(UInt64(group))
        }
        if stamp != nil || !verb.isEmpty { writeOwn(to: &writer) }
        writer.literal("}")
        return Array(writer.bytes)
    }

    private func writeOwn(to writer: inout CanonicalWriter) {
        writer.literal(",")
        writer.string(Array(Self.ownKey.utf8))
        writer.literal(":{\"verb\":")
        writer.string(Array(verb.utf8))
        if let stamp {
            writer.literal(",\"boot_id\":")
            writer.string(Array(stamp.bootID.utf8))
            writer.literal(",\"pid_namespace\":")
            writer.unsigned(stamp.processNamespace)
            writer.literal(",\"time_namespace\":")
            writer.unsigned(stamp.timeNamespace)
            writer.literal(",\"started\":")
            writer.unsigned(stamp.started)
        }
        writer.literal("}")
    }
}

// What it means.
extension LockFile {
    /// Whether both may hold their locks at the same time.
    func agrees(with other: LockKind) -> Bool { kind == .shared && other == .shared }

    /// Whether it is proven that the process which holds the lock has ended. Only locks of ours can prove it, to another process of
    /// the same host, kernel and namespace.
    func isOrphan(seenBy own: LockFile) -> Bool {
        guard let stamp, let ownStamp = own.stamp, hostName == own.hostName else { return false }
        return stamp.hasEnded(process, seenBy: ownStamp)
    }

    /// Whether it is proven that the process which holds the lock is there.
    private func isAlive(seenBy own: LockFile) -> Bool {
        guard let stamp, let ownStamp = own.stamp, hostName == own.hostName else { return false }
        return stamp.isAlive(process, seenBy: ownStamp)
    }

    /// Restic's rule for locks that were left behind: old, or of a process of this host that is not there. Not a proof: another host may
    /// have the same name. But one that is proven to be held is not old: the clock was set, or the machine slept.
    func isStale(at now: Timestamp, seenBy own: LockFile) -> Bool {
        if isAlive(seenBy: own) { return false }
        if now.seconds > time.moment.seconds, now.seconds - time.moment.seconds > Self.lifetime { return true }
        guard hostName == own.hostName, process > 0 else { return false }
        // In another container the number is that of somebody else, or of nobody.
        if let stamp, let ownStamp = own.stamp, stamp.isForeign(to: ownStamp) { return false }
        return isOrphan(seenBy: own) || !ProcessIdentity.exists(process)
    }

    /// `user@host (process 7, backup)`, safe to print.
    package var holder: String {
        let name = printable("\(userName.isEmpty ? "somebody" : userName)@\(hostName)".utf8)
        return verb.isEmpty ? "\(name) (process \(process))" : "\(name) (process \(process), \(printable(verb.utf8)))"
    }

    /// How long ago it was refreshed; nothing where the clocks do not agree.
    package func age(at now: Timestamp) -> Age {
        Age(seconds: max(0, now.seconds.subtractingReportingOverflow(time.moment.seconds).partialValue))
    }
}
