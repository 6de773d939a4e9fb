import Codec
import Model

extension ConfigurationReader {
    private static let repositoryKeys = ["location", "password_file", "password_command"]

    /// Lines `name: /path`, or a name with what is known of the repository below it.
    func repositories(_ node: YAMLNode) throws -> [RepositoryPlace] {
        guard let mapping = node.mapping else {
            throw problem(node, "'repositories' consists of lines such as 'usb: /mnt/usb/repository'")
        }
        var places: [RepositoryPlace] = []
        for member in mapping {
            guard RepositoryPlace.isName(member.key) else {
                throw problem(
                    member.keyPlace, "a repository's name is made of letters, digits, '.', '_' and '-'")
            }
            places.append(try place(member.key, member.value, origin: origin(member.keyPlace)))
        }
        return places
    }

    private func place(_ name: String, _ node: YAMLNode, origin: String) throws -> RepositoryPlace {
        guard let mapping = node.mapping else { return try place(name, at: node, password: nil, origin) }
        var values: [String: YAMLNode] = [:]
        for member in mapping {
            guard Self.repositoryKeys.contains(member.key) else {
                throw unknown(member, among: Self.repositoryKeys)
            }
            values[member.key] = member.value
        }
        guard let location = values["location"] else {
            throw problem(node, "the repository '\(name)' has no 'location'")
        }
        var password: PasswordOrigin?
        if let file = values["password_file"] { password = .file(try absolutePath(file)) }
        if let command = values["password_command"] {
            guard password == nil else {
                throw problem(command, "'password_file' and 'password_command' do not go together")
            }
            password = .command(try words(of: command))
        }
        return try place(name, at: location, password: password, origin)
    }

    private func place(
        _ name: String, at node: YAMLNode, password: PasswordOrigin?, _ origin: String
    ) throws -> RepositoryPlace {
        guard let location = node.scalar else { throw problem(node, "this must be the path of a repository") }
        let place: RepositoryPlace
        do throws(BackupError) {
            place = try RepositoryPlace(location: location, name: name, password: password, origin: origin)
        } catch {
            throw problem(node, error.message)
        }
        guard place.path.hasPrefix("/") else { throw notAbsolute(node) }
        return place
    }

    private func absolutePath(_ node: YAMLNode) throws -> String {
        guard let text = node.scalar, text.hasPrefix("/") else { throw notAbsolute(node) }
        return text
    }

    /// Whoever starts the program is anywhere.
    private func notAbsolute(_ node: YAMLNode) -> BackupError {
        problem(node, "this must be a path that begins with '/'")
    }

    private func words(of node: YAMLNode) throws -> [String] {
        guard let text = node.scalar else { throw problem(node, "this must be a command") }
        do throws(CommandWordsError) {
            return try CommandWords.split(text)
        } catch {
            throw problem(node, "\(error)")
        }
    }
}
