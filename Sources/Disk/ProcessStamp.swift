import Glibc
import Model

/// Tells a process from all others that ever had its number, as long as the kernel runs.
package struct ProcessStamp: Equatable, Sendable {
    /// Of the kernel that runs it: random, and another one after each start of the machine.
    package let bootID: String
    /// The namespace in which its number means something: containers have their own.
    package let processNamespace: UInt64
    /// The namespace in which its start was counted; 0 where the kernel knows none.
    package let timeNamespace: UInt64
    /// When it was started, in ticks since the machine was.
    package let started: UInt64

    package init(bootID: String, processNamespace: UInt64, timeNamespace: UInt64, started: UInt64) {
        self.bootID = bootID
        self.processNamespace = processNamespace
        self.timeNamespace = timeNamespace
        self.started = started
    }

    /// Of this process; nil where proc does not tell.
    package static func own() -> ProcessStamp? {
        do throws(DiskError) {
            let namespaces = try Directory(path: "/proc/self/ns")
            let kernel = try Directory(path: "/proc/sys/kernel/random")
            let bootID = try OpenFile("boot_id".utf8, in: kernel).readStream(limit: 1 << 10)
            guard let process = namespaces.identity(following: "pid".utf8)?.inode, let started = start(of: getpid())
            else { return nil }
            return ProcessStamp(
                bootID: String(decoding: bootID.prefix { $0 != 0x0a }, as: UTF8.self), processNamespace: process,
                timeNamespace: namespaces.identity(following: "time".utf8)?.inode ?? 0, started: started)
        } catch {
            return nil
        }
    }

    /// Whether it is proven that the process `number` with this stamp has ended: `own` is of the same kernel and namespace, so that
    /// the number would mean it here, and there is none or another one. Where anything is unknown, it may be alive.
    package func hasEnded(_ number: Int32, seenBy own: ProcessStamp) -> Bool {
        guard number > 0, bootID == own.bootID, !bootID.isEmpty, processNamespace == own.processNamespace else {
            return false
        }
        // Not by proc, which may hide the processes of others.
        guard ProcessIdentity.exists(number) else { return true }
        guard timeNamespace == own.timeNamespace, let started = Self.start(of: number) else { return false }
        return started != self.started
    }

    /// Whether the number of the process means something else here than where it runs.
    package func isForeign(to own: ProcessStamp) -> Bool {
        bootID == own.bootID && processNamespace != own.processNamespace
    }

    /// When the process `number` was started; nil if proc does not tell.
    private static func start(of number: Int32) -> UInt64? {
        do throws(DiskError) {
            let bytes = try OpenFile("stat".utf8, in: try Directory(path: "/proc/\(number)")).readStream(limit: 1 << 16)
            // The name of the program, in parentheses, may hold anything; what follows are numbers, of which it is the 20th.
            guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
            let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
            return fields.count > 19 ? UInt64(String(decoding: fields[19], as: UTF8.self)) : nil
        } catch {
            return nil
        }
    }
}

extension ProcessIdentity {
    /// Whether there is a process of this number, whoever it belongs to.
    package static func exists(_ number: Int32) -> Bool {
        number > 0 && (kill(number, 0) == 0 || errno != ESRCH)
    }
}
