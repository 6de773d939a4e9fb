import Codec
import Disk
import Model
import ResticFormat
import Storage

/// How a repository is to be made.
public struct NewRepositoryRequest: Sendable {
    /// Makes a password that nobody can guess, and keeps it in the file that would have it, or in the kit.
    public var generatesPassword = false
    /// The path of a new file for whoever has nothing else than this repository.
    public var kit: String?
    /// Whether the kit has the password, or only says where it is kept.
    public var kitHasPassword = true

    public init() {}
}

/// A repository that was made, or would be.
public struct NewRepositoryResult: Sendable {
    /// 64 hexadecimal digits; nil in a preview.
    public let id: String?
    public let path: String
    /// The new file that has the generated password.
    public let passwordFile: String?
    public let kit: String?
}

/// Makes a repository: all of it, with its password and kit where they were asked for, or nothing.
struct RepositoryMaking {
    let place: RepositoryPlace
    let request: NewRepositoryRequest
    let run: RunContext

    /// Everything that can be known before something is made.
    private struct Preparation {
        let directory: NewRepositoryDirectory
        /// Of the directory, from the root.
        let location: String
        let password: NewRepositoryPassword
        let kit: SecretFile?
        /// As long as the repository has no ID.
        let kitText: [UInt8]

        func result(_ id: SHA256Digest?) -> NewRepositoryResult {
            NewRepositoryResult(
                id: id?.hex, path: location, passwordFile: password.newFile?.path, kit: kit?.path)
        }
    }

    private func prepare() throws -> Preparation {
        let directory = try NewRepositoryDirectory(place)
        let kit = try request.kit.map { try SecretFile(path: $0, what: "the emergency kit") }
        let password = try NewRepositoryPassword(place: place, request: request, run: run)
        let files = [kit, password.newFile].compactMap(\.self)
        if files.count == 2, try files[0].isSame(as: files[1]) {
            throw BackupError(
                .usage, "the emergency kit and the password cannot go to one file", advice: "Name another for the kit")
        }
        if try files.contains(where: { try directory.isPlace(of: $0) }) {
            throw BackupError(
                .usage, "neither the emergency kit nor the password can lie in the repository itself",
                advice: "Name a file elsewhere: who needs it cannot open the repository")
        }
        let location = try directory.location()
        return Preparation(
            directory: directory, location: location, password: password, kit: kit,
            kitText: kit == nil ? [] : try text(of: nil, at: location, password))
    }

    func preview() throws -> NewRepositoryResult {
        try prepare().result(nil)
    }

    func make() throws -> NewRepositoryResult {
        let preparation = try prepare()
        let (directory, password, kit) = (preparation.directory, preparation.password, preparation.kit)
        var made: [SecretFile] = []
        do {
            // Before the repository: none is ever there whose password nobody has.
            if let file = password.newFile {
                try file.create(Array("\(password.text ?? "")\n".utf8))
                made.append(file)
            }
            if let kit {
                try kit.create(preparation.kitText)
                made.append(kit)
            }
            try directory.make()
            let id = try create(password.password).configuration.id
            try kit?.replace(try text(of: id.hex, at: preparation.location, password))
            return preparation.result(id)
        } catch {
            // What another made meanwhile is there to stay.
            if (error as? BackupError)?.code != .nameTaken { try directory.takeBack() }
            for file in made { try file.remove() }
            throw error
        }
    }

    private func create(_ password: Password) throws -> Repository {
        var new = NewRepository()
        new.userName = OwnerNames.user(ProcessIdentity.user) ?? ""
        new.hostName = HostName.current
        return try Repository.create(new, at: try LocalBackend(path: place.path), password, now: run.now())
    }

    private func text(of id: String?, at location: String, _ password: NewRepositoryPassword) throws -> [UInt8] {
        let kept: EmergencyKit.Password
        if request.kitHasPassword {
            guard let text = password.printableText else {
                throw BackupError(
                    .usage, "the password cannot be printed in the emergency kit",
                    advice: "Use --kit-without-password, and keep the password elsewhere")
            }
            kept = .here(text)
        } else {
            kept = password.origin.map { .elsewhere($0) } ?? .nobodyKnowsWhere
        }
        let kit = EmergencyKit(
            location: location, id: id, made: run.now(), host: HostName.current, password: kept)
        return Array(kit.text.utf8)
    }
}

/// The directory of a new repository.
private final class NewRepositoryDirectory {
    private let place: RepositoryPlace
    private let parent: Directory
    private let name: [UInt8]
    private let shown: String
    private let exists: Bool
    private var isMade = false

    /// Throws where there is a repository already, where something else is, or where the directory above is missing.
    init(_ place: RepositoryPlace) throws {
        shown = place.shownPath
        self.place = place
        exists = try Self.isEmpty(place)
        let parts = PathParts(place.path)
        name = Array(parts.name.utf8)
        do throws(DiskError) {
            // What exists is opened by its own path: it may be a link.
            parent = try Directory(path: exists ? place.path : parts.parent)
        } catch {
            throw BackupError(
                .system, "cannot make \(shown): the directory above it: \(error.reason)",
                advice: "Is its disk mounted? Only the last directory of the path is made")
        }
    }

    /// False where there is nothing at all.
    private static func isEmpty(_ place: RepositoryPlace) throws -> Bool {
        let directory: Directory
        do throws(DiskError) {
            directory = try Directory(path: place.path)
        } catch {
            if error.code == .notFound { return false }
            throw BackupError(.refused, "cannot make a repository at \(place.shownPath): \(error.reason)")
        }
        let items = try directory.items()
        if items.isEmpty { return true }
        let known = Set(ObjectKind.allCases.map { Array($0.rawValue.utf8) })
        guard items.allSatisfy({ known.contains($0.name) || $0.name.starts(with: "config-tmp-".utf8) }) else {
            throw BackupError(
                .refused, "\(place.shownPath) is not empty and no repository: it has \(counted(items.count))",
                advice: "Name a directory of its own, which need not exist")
        }
        // Empty directories are what is left where the making of one was cut off.
        let backend = try LocalBackend(path: place.path)
        let stored = try ObjectKind.allCases.filter { try !backend.list($0).isEmpty }
        if stored.isEmpty { return true }
        // The key comes before the configuration. It may be another's who is just making one: it is not removed.
        if stored == [.key] {
            throw BackupError(
                .nameTaken,
                "the making of a repository at \(place.shownPath) was cut off: it has a key and nothing else",
                advice: "If nobody is making it just now, remove that directory and run it again")
        }
        throw BackupError(.nameTaken, "there is a repository at \(place.shownPath) already")
    }

    /// Whether a file would be in it.
    func isPlace(of file: SecretFile) throws -> Bool { try exists && file.lies(in: parent) }

    /// Its path from the root: whoever reads it is elsewhere.
    func location() throws(DiskError) -> String {
        guard !place.path.hasPrefix("/") else { return place.path }
        var path = try parent.absolutePath()
        if !exists { path += Array("/".utf8) + name }
        return String(validating: path, as: UTF8.self) ?? place.path
    }

    private static func counted(_ count: Int) -> String { count == 1 ? "1 entry" : "\(count) entries" }

    /// Throws where something came there since this was made: it is another's.
    func make() throws {
        guard !exists else {
            isMade = try Self.isEmpty(place)
            return
        }
        do throws(DiskError) {
            do throws(DiskError) {
                _ = try parent.makeOwnDirectory(name)
            } catch {
                // Perhaps it was made, and something of it could not be set.
                guard error.code != .exists, try parent.status(of: name) != nil else { throw error }
                try parent.removeEmptyDirectory(name)
                throw error
            }
            isMade = true
            try parent.fsync()
        } catch {
            throw BackupError(.system, "cannot make \(shown): \(error.reason)")
        }
    }

    /// Removes what was made: nothing else was there.
    func takeBack() throws {
        guard isMade else { return }
        guard exists else { return try TreeRemoval.remove(name, in: parent) }
        for item in try parent.items() { try TreeRemoval.remove(item.name, in: parent) }
    }
}

/// The password of a new repository.
private struct NewRepositoryPassword {
    let password: Password
    /// Where it will be found; nil if only somebody knows it.
    let origin: PasswordOrigin?
    /// The generated password.
    let text: String?
    /// The file that it goes to.
    let newFile: SecretFile?

    init(place: RepositoryPlace, request: NewRepositoryRequest, run: RunContext) throws {
        let search = RepositoryPasswordSearch(place: place, run: run)
        origin = try search.origin()
        guard !request.generatesPassword else {
            let generated = try PasswordText.random()
            (text, password) = (generated.text, generated.password)
            newFile = try Self.file(origin, request)
            return
        }
        text = nil
        newFile = nil
        if let origin {
            password = try search.read(origin)
        } else if let typed = try run.repositoryPasswords.ask(.new) {
            password = typed
        } else {
            throw BackupError(
                .usage, "no password was given, and there is no terminal to ask for it",
                advice: "Give it with --password-file FILE, or let one be made with --generate-password")
        }
    }

    private static func file(_ origin: PasswordOrigin?, _ request: NewRepositoryRequest) throws -> SecretFile? {
        switch origin {
        case .file(let path): return try SecretFile(path: path, what: "the password file")
        case nil:
            guard request.kit != nil, request.kitHasPassword else {
                throw BackupError(
                    .usage, "a generated password must be kept somewhere",
                    advice: "Name a new file for it with --password-file, or add --emergency-kit FILE")
            }
            return nil
        case .command, .known:
            throw BackupError(
                .usage, "a password is given already, by a command or by the environment",
                advice: "Leave --generate-password out, or name a new file with --password-file")
        }
    }

    /// Nil if it cannot be typed as it would be shown.
    var printableText: String? {
        let shown = printable(password.bytes)
        return shown.utf8.elementsEqual(password.bytes) ? shown : nil
    }
}

extension PasswordText {
    /// No two of these look alike.
    private static let letters = Array("0123456789abcdefghjkmnpqrstvwxyz".utf8)
    private static let groups = 7
    private static let groupSize = 4

    /// 140 bits of the kernel's, in groups that can be read out.
    static func random() throws -> (text: String, password: Password) {
        let bytes = SecureRandom.bytes(groups * groupSize)
        let parts = (0..<groups).map { group in
            let part = bytes[group * groupSize..<(group + 1) * groupSize]
            return String(decoding: part.map { letters[Int($0) % letters.count] }, as: UTF8.self)
        }
        let text = parts.joined(separator: "-")
        guard let password = Password(text.utf8) else { throw FormatError("no password was made") }
        return (text, password)
    }
}
