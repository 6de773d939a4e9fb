import Foundation
import Model
import TestKit
import Testing

/// Holes stay holes, whatever a backup goes through.
@Suite struct SparseRepositoryTests {
    @Test func copiesKeepHoles() throws {
        let kept = try RepositoryApp(isCheap: true)
        let app = kept.app
        try app.shell(
            "printf x > data/sparse; truncate -s 60M data/sparse; printf x >> data/sparse; truncate -s 300k data/small")
        try kept.done("create", "--name", "one")
        try app.shell("rm data/sparse data/small")
        for format in ["folder", "zip"] {
            try kept.done("copy", "one", "--to", format, "--name", format)
            // The zip is encrypted by the repository's password.
            try app.done(
                "restore", format, "--to", kept.home.path + "/" + format, environment: kept.environment)
            let sizes = try app.shell("cd \(kept.home.path)/\(format)/data; stat -c '%s %b' sparse small").split(
                separator: "\n")
            let sparse = sizes[0].split(separator: " ").compactMap { Int($0) }
            #expect(sparse[0] == 62_914_561 && sparse[1] < 400, "\(format): \(sizes)")
            // A zip says so only of what has half a MiB of zeros.
            if format == "folder" { #expect(sizes[1] == "307200 0", "\(sizes)") }
        }
    }

    @Test func aLargeHoleIsSavedAndRestored() throws {
        let kept = try RepositoryApp(isCheap: true)
        try kept.app.shell("truncate -s 1G data/hole")
        try kept.done("create", "--name", "one")
        try kept.done("restore", "one", "--to", kept.home.path + "/to")
        #expect(try kept.app.shell("stat -c '%s %b' \(kept.home.path)/to/data/hole") == "1073741824 0\n")
    }
}
