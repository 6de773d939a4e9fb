import ChastiPiBackup
import Glibc
import Model
let a = CommandLine.arguments
let clock = Clock(
    wall: {
        var t = timespec(); clock_gettime(CLOCK_REALTIME, &t);
        return Timestamp(seconds: Int64(t.tv_sec), nanoseconds: UInt32(t.tv_nsec))
    },
    monotonic: {
        var t = timespec(); clock_gettime(CLOCK_MONOTONIC, &t);
        return UInt64(t.tv_sec) * 1_000_000_000 + UInt64(t.tv_nsec)
    }, offset: { _ in 0 })
let run = RunContext(clock: clock, random: { n in (0..<n).map { _ in UInt8.random(in: 0...255) } }, threads: 2) { e in
    if case .progress = e {} else if case .started = e {} else { print(e) }
}
do {
    let m = try BackupManager(app: a[2], run: run)
    switch a[1] {
    case "create":
        var r = CreateRequest(); if a.count > 3 { r.name = try BackupName(a[3]) };
        if a.count > 4 { r.items = Array(a[4...]) }
        let c = try m.create(r);
        print(
            "created", c.backup.name, c.backup.entries ?? 0, c.bytesWritten, "shared", c.sharedFiles, c.skipped.count,
            c.absentItems.count)
    case "list":
        for b in try m.list().backups { print(b.name, b.state, b.entries ?? -1, b.bytes ?? 0, b.bytesAlone ?? 0) }
    case "verify":
        var r = VerifyRequest(); r.backups = [a[3]];
        for v in try m.verify(r) { print(v.files, v.bytes); for f in v.findings { print(f) } }
    case "restore":
        var r = RestoreRequest(backup: a[3]); r.skipsSafetyBackup = a.contains("--skip");
        if let i = a.firstIndex(of: "--to") {
            print(try m.restore(r, to: a[i + 1]))
        } else {
            print(
                try m.restore(r) { p in
                    for c in p.changes.prefix(20) { print(c.action, c.path) };
                    for k in p.kept { print("kept", k.path, k.reason) }; print("unchanged", p.unchanged); return true
                })
        }
    case "undo": print(try m.undo { _ in true })
    case "recover": print(try m.recover())
    case "delete": print(try m.delete([a[3]]) { _ in true })
    default: print("?")
    }
} catch { print("error:", error); exit(1) }
