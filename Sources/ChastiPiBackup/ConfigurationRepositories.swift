import Model
import Yams

extension ConfigurationReader {
    private static let repositoryKeys = ["location", "password_file", "password_command"]

    /// Lines `name: /path`, or a name with what is known of the repository below it.
    func repositories(_ node: Node) throws -> [RepositoryPlace] {
        guard let mapping = node.mapping else {
            throw problem(node, "'repositories' consists of lines such as 'usb: /mnt/usb/repository'")
        }
        var places: [RepositoryPlace] = []
        for (key, value) in mapping {
            guard let name = key.scalar?.string, RepositoryPlace.isName(name) else {
                throw problem(key, "a repository's name is made of letters, digits, '.', '_' and '-'")
            }
            guard !places.contains(where: { $0.name == name }) else { throw problem(key, "'\(name)' stands twice") }
            places.append(try place(name, value, origin: origin(key)))
        }
        return places
    }

    private func place(_ name: String, _ node: Node, origin: String) throws -> RepositoryPlace {
        guard let mapping = node.mapping else { return try place(name, at: node, password: nil, origin) }
        var values: [String: Node] = [:]
        for (keyNode, value) in mapping {
            guard let key = keyNode.scalar?.string else { throw problem(keyNode, "a key must be a word") }
            guard Self.repositoryKeys.contains(key) else {
                throw unknown(key, keyNode, among: Self.repositoryKeys)
            }
            guard values.updateValue(value, forKey: key) == nil else { throw problem(keyNode, "'\(key)' stands twice") }
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
        _ name: String, at node: Node, password: PasswordOrigin?, _ origin: String
    ) throws -> RepositoryPlace {
        guard let location = node.scalar?.string else { throw problem(node, "this must be the path of a repository") }
        let place: RepositoryPlace
        do throws(BackupError) {
            place = try RepositoryPlace(location: location, name: name, password: password, origin: origin)
        } catch {
            throw problem(node, error.message)
        }
        guard place.path.hasPrefix("/") else { throw notAbsolute(node) }
        return place
    }

    private func absolutePath(_ node: Node) throws -> String {
        guard let text = node.scalar?.string, text.hasPrefix("/") else { throw notAbsolute(node) }
        return text
    }

    /// Whoever starts the program is anywhere.
    private func notAbsolute(_ node: Node) -> BackupError {
        problem(node, "this must be a path that begins with '/'")
    }

    private func words(of node: Node) throws -> [String] {
        guard let text = node.scalar?.string else { throw problem(node, "this must be a command") }
        do throws(CommandWordsError) {
            return try CommandWords.split(text)
        } catch {
            throw problem(node, "\(error)")
        }
    }
}
