import Disk
import Foundation
import Model
import TestKit
import Testing

/// What other programs pack we restore, and what we pack they extract.
@Suite(.enabled(if: Needs.tools("zip", "unzip", "7z", "bsdtar"), "zip, unzip, 7z and bsdtar"))
struct OddZipTests {
    /// What can be compared after any program's hands: kind, content and target.
    private func content(of directory: String, modes: Bool = false) throws -> [String: String] {
        let place = try Directory(path: directory)
        var result: [String: String] = [:]
        for (path, entry) in try TreeSnapshot(of: place).entries where !path.isRoot {
            if ["backups", ".chastipi", "backup_metadata.json", "MANIFEST.mtree"].contains(
                String(decoding: path.components[0], as: UTF8.self))
            {
                continue
            }
            // Set-id bits are not everyone's to give.
            let mode = modes && entry.kind != .link ? String(entry.mode & 0o777, radix: 8) : ""
            let text =
                entry.content.count > 100 ? "\(entry.content.count) \(entry.content.hashValue)" : "\(entry.content)"
            result["\(path)"] = "\(entry.kind.name) \(mode) \(text) \(printable(entry.target))"
        }
        return result
    }

    private func expectEqual(
        _ a: String, _ b: String, modes: Bool = false, _ what: String, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let (a, b) = (try content(of: a, modes: modes), try content(of: b, modes: modes))
        for path in Set(a.keys).union(b.keys).sorted() where a[path] != b[path] {
            Issue.record(
                "\(what): \(path): \(a[path] ?? "missing") / \(b[path] ?? "missing")", sourceLocation: sourceLocation)
        }
        #expect(a.count > 5, sourceLocation: sourceLocation)
    }

    private static let environment = ["LC_ALL": "C.UTF-8", "TZ": "UTC"]

    private func shell(_ script: String, in directory: String) throws {
        let result = try ToolRun.run("sh", ["-euc", script], in: directory, environment: Self.environment)
        guard result.status == 0 else {
            let told = String(decoding: result.output + result.errors, as: UTF8.self)
            throw TemporaryTree.ToolFailed(text: "\(script): \(told)")
        }
    }

    /// An app in `app/`, of names and kinds that any program packs.
    private func makePlace() throws -> TemporaryTree {
        let place = try TemporaryTree()
        try place.write("app/app.py", "the app")
        try place.write("app/data/a name/with 'quotes' \"here\"", "quotes")
        try place.write("app/data/é😀", "emoji")
        try place.write("app/data/empty", "")
        try place.write(
            entry("app/data/large"), Array(repeating: Array("all the same ".utf8), count: 200_000).flatMap { $0 })
        var random = SeededRandom(seed: 1)
        try place.write(entry("app/data/random"), random.bytes(300_000), mode: 0o600)
        try place.makeDirectory(entry("app/uploads"))
        try place.write(entry("app/run.sh"), Array("#!/bin/sh".utf8), mode: 0o755)
        return place
    }

    struct Way: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let script: String
        var modes = true

        init(_ name: String, _ script: String, modes: Bool = true) {
            (testDescription, self.script, self.modes) = (name, script, modes)
        }

        static func python(_ name: String, _ body: String, modes: Bool = false) -> Way {
            let walk = """
                import os, sys, zipfile
                def everything():
                    for folder, folders, files in os.walk('.'):
                        for name in sorted(folders) + sorted(files):
                            yield os.path.join(folder, name)
                """
            return Way(name, "cat > ../make.py <<'END'\n\(walk)\n\(body)\nEND\npython3 ../make.py", modes: modes)
        }
    }

    static let ways: [Way] = [
        Way("zip -r", "zip -qr ../x.zip ."),
        Way("zip -r of a folder", "cd ..; zip -qr x.zip app"),
        Way("zip -0", "zip -qr0 ../x.zip ."),
        Way("zip -9", "zip -qr9 ../x.zip ."),
        Way("zip -y with links", "ln -s data/empty link; ln -s ../app.py data/up; zip -qry ../x.zip ."),
        Way("zip -fd", "zip -qr -fd ../x.zip ."),
        Way("zip in a stream", "zip -qr - . | cat > ../x.zip"),
        Way("zip -fz- in a stream", "zip -qr -fz- - . | cat > ../x.zip"),
        Way("zip with Zip64", "zip -qr -fz ../x.zip ."),
        Way("zip -D", "zip -qrD ../x.zip .; rmdir uploads", modes: false),
        Way("zip -X", "zip -qrX ../x.zip ."),
        Way("zip with a comment", "echo 'a comment' | zip -qrz ../x.zip ."),
        Way("zip with UTF-8 flags", "zip -qr -UN=UTF8 ../x.zip ."),
        Way("7z", "7z a -tzip ../x.zip . >/dev/null", modes: false),
        Way("7z -mx=0", "7z a -tzip -mx=0 ../x.zip . >/dev/null", modes: false),
        Way("7z -mcu", "7z a -tzip -mcu=on ../x.zip . >/dev/null", modes: false),
        Way("7z in a stream", "7z a -tzip -so dummy . > ../x.zip", modes: false),
        Way("bsdtar", "bsdtar -cf ../x.zip --format zip ."),
        Way("bsdtar, stored", "bsdtar -cf ../x.zip --format zip --options zip:compression=store ."),
        .python(
            "Python", "z = zipfile.ZipFile('../x.zip', 'w', 8)\nfor n in everything(): z.write(n)\nz.close()",
            modes: true),
        .python("Python, stored", "z = zipfile.ZipFile('../x.zip', 'w')\nfor n in everything(): z.write(n)\nz.close()"),
        .python(
            "Python in a stream",
            "z = zipfile.ZipFile(os.fdopen(os.open('../x.zip', 65), 'wb', 0), 'w', 8)\n"
                + "for n in everything(): z.write(n)\nz.close()"),
        .python("shutil", "import shutil\nshutil.make_archive('../x', 'zip', '.')"),
        .python(
            "Python as Windows does it",
            """
            z = zipfile.ZipFile('../x.zip', 'w', 8)
            for n in everything():
                if os.path.isdir(n): n += '/'
                i = zipfile.ZipInfo(n[2:], (2024, 2, 29, 23, 59, 58))
                i.create_system = 0
                z.writestr(i, b'' if n.endswith('/') else open(n, 'rb').read(), 8)
            z.close()
            """),
        .python(
            "Python, names in code page 437",
            """
            os.rename('data/é😀', 'data/éñ')
            class Info(zipfile.ZipInfo):
                def _encodeFilenameFlags(self): return self.filename.encode('cp437'), self.flag_bits
            z = zipfile.ZipFile('../x.zip', 'w', 8)
            for n in everything():
                if os.path.isdir(n): n += '/'
                i = Info(n[2:])
                i.create_system = 0
                z.writestr(i, b'' if n.endswith('/') else open(n, 'rb').read(), 8)
            z.close()
            """),
    ]

    @Test(arguments: OddZipTests.ways)
    func whatOthersPackIsRestored(way: Way) throws {
        let place = try makePlace()
        try shell(way.script, in: place.path + "/app")
        try shell("mkdir other", in: place.path)
        for verb in [["verify"], ["show"], ["restore"]] {
            let target = verb == ["restore"] ? ["--to", place.path + "/out"] : []
            let answer = try Program.run(
                verb + [place.path + "/x.zip"] + target + ["--app", place.path + "/other"],
                environment: Self.environment)
            #expect(answer.status == 0, "\(answer)")
        }
        try expectEqual(place.path + "/app", place.path + "/out", modes: way.modes, way.testDescription)
    }

    @Test func deflate64IsRefusedByName() throws {
        let place = try makePlace()
        try shell("7z a -tzip -mm=Deflate64 ../x.zip . >/dev/null", in: place.path + "/app")
        try Program.run(["restore", place.path + "/x.zip", "--to", place.path + "/out", "--app", place.path + "/app"])
            .expectError(1, "deflate64")
    }

    /// A folder of ours, packed by someone: with its manifest nothing is lost.
    @Test func aPackedFolderOfOursIsWhole() throws {
        let place = try makePlace()
        let app = ["--app", place.path + "/app"]
        try shell("ln -s /etc/hostname data/outside; chmod 4755 run.sh", in: place.path + "/app")
        #expect(try Program.run(["create", "--name", "one", "--item", "."] + app).status == 0)
        try shell("zip -qry ../../x.zip one; cd one; zip -qry ../../../y.zip .", in: place.path + "/app/backups")
        for zip in ["x", "y"] {
            let verified = try Program.run(["verify", "\(place.path)/\(zip).zip"] + app)
            #expect(verified.status == 0, "\(verified)")
            let restored = try Program.run(
                ["restore", "\(place.path)/\(zip).zip", "--trust", "--to", "\(place.path)/out-\(zip)"] + app)
            #expect(restored.status == 0, "\(restored)")
            try expectEqual(place.path + "/app", "\(place.path)/out-\(zip)", modes: true, zip)
        }
    }

    /// What the original tool packs is a folder with its five keys.
    @Test func aZipOfTheOriginalIsRestored() throws {
        let place = try makePlace()
        try place.write(
            "app/backup_metadata.json",
            #"{"backup_name": "x", "created_at": "2024-01-02T03:04:05.678901", "version": "1.0", "#
                + #""items_backed_up": ["app.py", "data"], "excluded_items": []}"#)
        try shell("python3 -c \"import shutil; shutil.make_archive('x', 'zip', 'app')\"", in: place.path)
        try shell("rm app/backup_metadata.json; mkdir other", in: place.path)
        let answer = try Program.run(
            ["restore", place.path + "/x.zip", "--to", place.path + "/out", "--app", place.path + "/other"])
        #expect(answer.status == 0, "\(answer)")
        try expectEqual(place.path + "/app", place.path + "/out", "original")
    }

    // MARK: The other way round

    struct Extractor: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let test: String
        let extract: String
        /// What the program cannot keep, undone in the app before the comparison.
        var cannot = "true"
        var modes = true
    }

    static let extractors: [Extractor] = [
        Extractor(
            testDescription: "unzip", test: "unzip -tq z.zip && zip -qT z.zip",
            extract: "unzip -q -^ z.zip -d ../../out"),
        Extractor(testDescription: "7z", test: "7z t z.zip", extract: "7z x -y -snl -o../../out z.zip"),
        Extractor(
            testDescription: "bsdtar", test: "bsdtar -tf z.zip",
            extract: "mkdir ../../out; bsdtar -xpf z.zip -C ../../out"),
        Extractor(
            testDescription: "Python",
            test: "python3 -c \"import zipfile; assert zipfile.ZipFile('z.zip').testzip() is None\"",
            extract: "python3 -m zipfile -e z.zip ../../out",
            // It makes files of links, and takes names that are not UTF-8 for code page 437.
            cannot: "rm data/link data/latin* ../out/data/latin*; rm ../out/data/link", modes: false),
    ]

    @Test(arguments: OddZipTests.extractors)
    func whatWePackIsExtracted(by tool: Extractor) throws {
        let place = try makePlace()
        try shell(
            """
            printf newline > "$(printf 'data/new\\nline')"; printf b > 'data/back\\slash'
            printf latin > "$(printf 'data/latin\\374')"
            ln -s 'a name' data/link; ln data/empty data/same; ln data/large data/same-large
            truncate -s 3M data/sparse; printf end >> data/sparse
            yes 'a line that compresses' | head -c 20000000 > data/compresses
            head -c 20000000 /dev/urandom > data/does-not
            chmod 751 'data/a name'; chmod 400 data/random
            """, in: place.path + "/app")
        let made = try Program.run(["zip", "--name", "z", "--item", ".", "--app", place.path + "/app"])
        #expect(made.status == 0, "\(made)")
        try shell(tool.test, in: place.path + "/app/backups")
        try shell(tool.extract, in: place.path + "/app/backups")
        try shell(tool.cannot, in: place.path + "/app")
        try expectEqual(place.path + "/app", place.path + "/out", modes: tool.modes, tool.testDescription)
    }
}
