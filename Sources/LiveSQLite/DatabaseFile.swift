import Containers
import Disk
import Model

/// A database of the source: its file and its companions, which are one unit.
struct DatabaseFile: Sendable {
    let directory: Directory
    let name: [UInt8]

    var log: [UInt8] { name + Array("-wal".utf8) }
    var index: [UInt8] { name + Array("-shm".utf8) }
    var journal: [UInt8] { name + Array("-journal".utf8) }

    /// How it stands now; nil if it is gone.
    func state() throws(DiskError) -> DatabaseState? {
        guard let database = try directory.status(of: name), database.kind == .file else { return nil }
        for log in [log, journal] {
            guard let status = try status(ofCompanion: log), status.kind == .file, status.size > 0,
                let header = try header(of: log)
            else { continue }
            return DatabaseState(database: database, log: status, logHeader: header)
        }
        return DatabaseState(database: database, log: nil, logHeader: [])
    }

    /// Nil if it has just been deleted, as a rollback journal is with each transaction.
    private func header(of log: [UInt8]) throws(DiskError) -> [UInt8]? {
        do throws(DiskError) {
            return try OpenFile(log, in: directory).bytes(at: 0, count: 32)
        } catch {
            guard error.code == .notFound else { throw error }
            return nil
        }
    }

    /// Nil if it is not there, also where the database's name leaves no room for such a name.
    func status(ofCompanion name: [UInt8]) throws(DiskError) -> FileStatus? {
        name.count <= 255 ? try directory.status(of: name) : nil
    }

    /// What SQLite opens: a path through our descriptor of the directory, so that no joined path is followed, with
    /// `parameters` of <https://sqlite.org/uri.html>.
    func uri(_ parameters: String) -> String {
        Self.uri(name, in: directory, parameters)
    }

    static func uri(_ name: some Sequence<UInt8>, in directory: Directory, _ parameters: String) -> String {
        var text = "file:/proc/self/fd/\(directory.descriptor)/"
        for byte in name {
            let isPlain =
                byte < 0x80 && (Character(Unicode.Scalar(byte)).isLetter || Character(Unicode.Scalar(byte)).isNumber)
            if isPlain || "._-".utf8.contains(byte) {
                text.unicodeScalars.append(Unicode.Scalar(byte))
            } else {
                text += "%" + (byte < 16 ? "0" : "") + String(byte, radix: 16)
            }
        }
        return parameters.isEmpty ? text : "\(text)?\(parameters)"
    }
}
