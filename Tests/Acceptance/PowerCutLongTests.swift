import Disk
import Model
import TestKit
import Testing

/// The power is cut at each call that changes something: the process dies, and what the file system had not yet written out is
/// lost (T5). The image of a mounted file system, copied as it is, is what a disk would hold then.
@Suite(.serialized, .enabled(if: runsLongTests, "make test-long runs it"))
struct PowerCutLongTests {
    /// A file system in a file that can be copied and mounted again and again.
    private final class Image {
        let file: String
        let mountPoint: String
        private let scratch: TemporaryTree

        init(_ kind: String, megabytes: Int) throws {
            scratch = try TemporaryTree()
            file = scratch.path + "/image"
            mountPoint = scratch.path + "/mounted"
            try scratch.makeDirectory(entry("mounted"))
            try Self.sh(
                "truncate -s \(megabytes)M \(file) && mkfs.\(kind) \(kind == "ext4" ? "-q -J size=4" : "-q") \(file)")
        }

        private init(copying other: Image) throws {
            scratch = try TemporaryTree()
            file = scratch.path + "/image"
            mountPoint = scratch.path + "/mounted"
            try scratch.makeDirectory(entry("mounted"))
            try Self.sh("cp --sparse=always \(other.file) \(file)")
        }

        /// What the disk holds now, whatever the mounted file system still keeps in memory.
        func afterPowerCut() throws -> Image { try Image(copying: self) }

        /// Nothing is written out by time, only by those who sync. `place`: where it is mounted; by default where no other is.
        func mounted<R>(at place: String? = nil, _ body: (String) throws -> R) throws -> R {
            let mountPoint = place ?? self.mountPoint
            // xfs refuses a second file system with the same identity; ext4 knows no such option.
            let isXFS = try ToolRun.run("blkid", ["-o", "value", "-s", "TYPE", file]).output.starts(with: "xfs".utf8)
            try Self.sh("mount -o loop,\(isXFS ? "nouuid" : "commit=300") \(file) \(mountPoint)")
            let result = Result { try body(mountPoint + "/app") }
            try Self.sh("umount \(mountPoint)")
            return try result.get()
        }

        /// Mounts this one, and `other` at `place` in it.
        func mounted<R>(with other: Image, at place: String, _ body: (String) throws -> R) throws -> R {
            try mounted { app in
                try Self.sh("mount -o loop,commit=300 \(other.file) \(app)/\(place)")
                let result = Result { try body(app) }
                try Self.sh("umount \(app)/\(place)")
                return try result.get()
            }
        }

        static func sh(_ command: String) throws {
            let run = try ToolRun.run("sh", ["-c", command])
            guard run.status == 0 else {
                throw TemporaryTree.ToolFailed(text: "\(command): \(String(decoding: run.errors, as: UTF8.self))")
            }
        }
    }

    /// The app of ``SmallApp`` on a file system of its own, `verbs` already run.
    private func image(_ kind: String, of small: SmallApp, after verbs: [[String]]) throws -> Image {
        let image = try Image(kind, megabytes: kind == "xfs" ? 320 : 24)
        try image.mounted { app in
            try Image.sh("cp -a \(small.tree.path) \(app)")
            for verb in verbs {
                let answer = try Program.run(verb + ["--app", app])
                guard answer.status == 0 else { throw Program.UnexpectedAnswer(answer: answer) }
            }
        }
        return image
    }

    private func sideAfterwards(_ app: String, _ small: SmallApp) throws -> SmallApp.Side {
        try small.side(of: try Directory(path: app))
    }

    @Test(arguments: ["ext4", "xfs"])
    func aPowerCutAtEachCallLeavesTheOldOrTheNewTree(kind: String) throws {
        let small = try SmallApp()
        let restore = ["restore", "one", "--skip-safety-backup"]
        for (before, verb) in [([], restore), ([restore], ["undo"])] {
            let start = try image(kind, of: small, after: before)
            var ends: [String: Int] = [:]
            for number in 1... {
                let image = try start.afterPowerCut()
                let (status, cut) = try image.mounted { app in
                    let answer = try Program.run(
                        verb + ["--app", app], environment: ["CHASTIPI_FAULT": "\(number):kill"])
                    return (answer.status, try image.afterPowerCut())
                }
                let side = try cut.mounted { app in
                    let recovered = try Program.run(["recover", "--app", app])
                    #expect(recovered.status == 0, "call \(number): \(recovered)")
                    return try sideAfterwards(app, small)
                }
                #expect(side == .old || side == .new, "\(kind), \(verb), call \(number): \(side)")
                ends["\(side)", default: 0] += 1
                if status == 0 {
                    #expect(side == (before.isEmpty ? .new : .old), "what was reported must survive: \(side)")
                    break
                }
            }
            #expect(ends.count == 2, "\(ends)")
        }
    }

    /// File systems persist independently of each other: only syncing all of them before each commit point orders them (M2).
    @Test func aPowerCutWithASecondFileSystemLeavesTheOldOrTheNewTree() throws {
        let small = try SmallApp()
        let data = try Image("ext4", megabytes: 24)
        try data.mounted { root in
            let top = root.dropLast("/app".count)
            try Image.sh("rmdir \(top)/lost+found && cp -a \(small.tree.path)/data/. \(top)/")
        }
        let app = try Image("ext4", megabytes: 24)
        try app.mounted { path in
            // Only what is on the second file system goes, so that its mount point's directory stays as it is.
            try Image.sh(
                "cp -a \(small.tree.path) \(path) && rm -rf \(path)/data/* && touch -d 2001-01-01 \(path)/data")
            try Image.sh("touch -r \(small.tree.path) \(path)")
        }
        var ends: [String: Int] = [:]
        for number in 1... {
            let (first, second) = (try app.afterPowerCut(), try data.afterPowerCut())
            let (status, cut) = try first.mounted(with: second, at: "data") { path in
                let answer = try Program.run(
                    ["restore", "one", "--skip-safety-backup", "--app", path],
                    environment: ["CHASTIPI_FAULT": "\(number):kill"])
                return (answer.status, (try first.afterPowerCut(), try second.afterPowerCut()))
            }
            let side = try cut.0.mounted(with: cut.1, at: "data") { path in
                let recovered = try Program.run(["recover", "--app", path])
                #expect(recovered.status == 0, "call \(number): \(recovered)")
                return try sideAfterwards(path, small)
            }
            #expect(side == .old || side == .new, "call \(number): \(side)")
            ends["\(side)", default: 0] += 1
            if status == 0 { break }
        }
        #expect(ends.count == 2, "\(ends)")
    }

    /// The process is killed first, and the power is cut while the recovery runs.
    @Test func aPowerCutDuringTheRecoveryChangesNothing() throws {
        let small = try SmallApp()
        let start = try image("ext4", of: small, after: [])
        let app = try small.tree.copied()
        let count = try Program(in: app).countCalls("restore", ["one", "--skip-safety-backup"])
        // The exchange is in the last part of a restore; every third call of it is enough for so many recoveries.
        for number in stride(from: count / 2, through: count, by: 3) {
            let killed = try start.afterPowerCut()
            _ = try killed.mounted { app in
                try Program.run(
                    ["restore", "one", "--skip-safety-backup", "--app", app],
                    environment: ["CHASTIPI_FAULT": "\(number):kill"])
            }
            for second in 1... {
                let image = try killed.afterPowerCut()
                let (status, cut) = try image.mounted { app in
                    let answer = try Program.run(
                        ["recover", "--app", app], environment: ["CHASTIPI_FAULT": "\(second):kill"])
                    return (answer.status, try image.afterPowerCut())
                }
                let side = try cut.mounted { app in
                    #expect(try Program.run(["recover", "--app", app]).status == 0)
                    return try sideAfterwards(app, small)
                }
                #expect(side == .old || side == .new, "calls \(number), \(second): \(side)")
                if status == 0 { break }
            }
        }
    }

    @Test func aPowerCutDuringACreateLeavesNothingHalf() throws {
        let small = try SmallApp()
        let start = try image("ext4", of: small, after: [])
        for number in 1... {
            let image = try start.afterPowerCut()
            let (status, cut) = try image.mounted { app in
                let answer = try Program.run(
                    ["create", "--name", "two", "--app", app], environment: ["CHASTIPI_FAULT": "\(number):kill"])
                return (answer.status, try image.afterPowerCut())
            }
            try cut.mounted { app in
                let listed = try Program.run(["list", "--app", app])
                #expect(try Program.run(["verify", "one", "--app", app]).status == 0, "call \(number)")
                if listed.output.contains("two ") {
                    #expect(try Program.run(["verify", "two", "--app", app]).status == 0, "call \(number)")
                } else {
                    #expect(status != 0, "a backup that was reported is gone")
                }
            }
            if status == 0 { break }
        }
    }

    // MARK: Repositories

    /// What was there before is whole, what is listed is whole, and the next run goes on.
    @Test(arguments: [["create", "--name", "two"], ["prune", "--keep-last", "1", "--yes", "--yes-remove-many"]])
    func aPowerCutLeavesARepositorySound(verb: [String]) throws {
        let small = try SmallApp()
        let secret = try TemporaryTree()
        // The backups are those of an app at one place.
        try secret.makeDirectory(entry("disk"))
        let place = secret.path + "/disk"
        try secret.write(entry("password"), Array("word".utf8), mode: 0o600)
        func run(_ verb: [String], _ app: String, fault: String? = nil) throws -> Program.Answer {
            var environment = ["CHASTIPI_BACKUP_PASSWORD_FILE": secret.path + "/password"]
            environment["CHASTIPI_FAULT"] = fault
            return try Program.run(
                verb + ["--repository", app + "/../repository", "--app", app], environment: environment)
        }
        func names(_ app: String) throws -> [String] {
            let list = try run(["list", "--json"], app)
            #expect(list.status == 0, "\(list)")
            return list.output.matches(of: /"name": "([^"]+)"/).map { String($0.1) }
        }
        let start = try image("ext4", of: small, after: [])
        try start.mounted(at: place) { app in
            try CheapRepository.make(at: app + "/../repository", password: "word")
            for _ in 0..<3 {
                #expect(try run(["create"], app).status == 0)
                try Image.sh("echo more >> \(app)/data/app.db; head -c 3000 /dev/urandom > \(app)/data/random")
            }
        }
        var kept = 0
        for number in 1... {
            let image = try start.afterPowerCut()
            let (status, cut) = try image.mounted(at: place) { app in
                let answer = try run(verb, app, fault: "\(number):kill")
                return (answer.status, try image.afterPowerCut())
            }
            try cut.mounted(at: place) { app in
                let names = try names(app)
                #expect(verb[0] == "create" ? names.count >= 3 : !names.isEmpty, "call \(number): \(names)")
                kept = names.count
                for name in names {
                    let verified = try run(["verify", name], app)
                    #expect(verified.status == 0, "call \(number): \(verified)")
                }
                if number % 5 == 0 {
                    let check = try ToolRun.run(
                        "restic", ["--repo", app + "/../repository", "--no-cache", "check", "--read-data"],
                        environment: ["RESTIC_PASSWORD": "word"])
                    #expect(check.status == 0, "call \(number): \(String(decoding: check.errors, as: UTF8.self))")
                }
                #expect(try run(["create", "--name", "next"], app).status == 0)
                #expect(try run(["verify", "next"], app).status == 0)
            }
            if status == 0 {
                #expect(kept == (verb[0] == "create" ? 4 : 1), "what was reported must survive")
                break
            }
        }
    }
}
