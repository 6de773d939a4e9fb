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
                timeNamespace: namespaces.identity(following: "time".utf8)?.inode ?? 0, started: started.ticks)
        } catch {
            return nil
        }
    }

    /// Whether it is proven that the process `number` with this stamp has ended: `own` is of the same kernel and namespace, so that
    /// the number would mean it here, and there is none or another one. Where anything is unknown, it may be alive.
    package func hasEnded(_ number: Int32, seenBy own: ProcessStamp) -> Bool {
        guard number > 0, means(own) else { return false }
        // Not by proc, which may hide the processes of others.
        guard ProcessIdentity.exists(number) else { return true }
        guard timeNamespace == own.timeNamespace, let found = Self.start(of: number) else { return false }
        return found.ticks != started || found.isZombie
    }

    /// Whether it is proven that the process `number` with this stamp is there and has not ended.
    package func isAlive(_ number: Int32, seenBy own: ProcessStamp) -> Bool {
        guard number > 0, means(own), timeNamespace == own.timeNamespace, let found = Self.start(of: number) else {
            return false
        }
        return found.ticks == started && !found.isZombie
    }

    /// Whether a number means the same process to both.
    private func means(_ own: ProcessStamp) -> Bool {
        bootID == own.bootID && !bootID.isEmpty && processNamespace == own.processNamespace
    }

    /// Whether the number of the process means something else here than where it runs.
    package func isForeign(to own: ProcessStamp) -> Bool {
        bootID == own.bootID && processNamespace != own.processNamespace
    }

    /// When the process `number` was started, and whether it has ended and only its parent does not ask for it, as the first process
    /// of many containers never does; nil if proc does not tell.
    private static func start(of number: Int32) -> (ticks: UInt64, isZombie: Bool)? {
        do throws(DiskError) {
            let bytes = try OpenFile("stat".utf8, in: try Directory(path: "/proc/\(number)")).readStream(limit: 1 << 16)
            // The name of the program, in parentheses, may hold anything; what follows are the state and numbers.
            guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
            let fields = bytes[(end + 1)...].split(separator: UInt8(ascii: " "))
            guard fields.count > 19, let ticks = UInt64(String(decoding: fields[19], as: UTF8.self)) else { return nil }
            // One of its threads may still be stuck in a write.
            let isAlone = ["0", "1"].contains(String(decoding: fields[17], as: UTF8.self))
            return (ticks, isAlone && [UInt8(ascii: "Z"), UInt8(ascii: "X")].contains(fields[0].first))
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
