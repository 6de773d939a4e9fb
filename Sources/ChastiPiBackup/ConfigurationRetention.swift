import Codec
import Model

extension ConfigurationReader {
    private static let retentionKeys = RetentionPolicy.keys + ["tags", "include_named"]

    /// Counts and spans by name, as the options of `prune` have them.
    func retention(_ node: YAMLNode) throws -> RetentionPolicy {
        guard let mapping = node.mapping else {
            throw problem(node, "'retention' consists of lines such as 'daily: 7' or 'within: 30d'")
        }
        var policy = RetentionPolicy()
        for member in mapping {
            let (key, value) = (member.key, member.value)
            switch key {
            case "tags":
                for (text, place) in try strings(value) {
                    guard
                        text.split(separator: ",", omittingEmptySubsequences: false)
                            .allSatisfy({ Configuration.isTag(String($0)) })
                    else { throw problem(place, "'\(printable(text.utf8))' is no tag, nor tags with commas between") }
                    policy.keep(tags: text)
                }
            case "include_named":
                guard let isIncluded = Self.boolean(value) else {
                    throw problem(value, "'include_named' is true or false")
                }
                policy.includesNamed = isIncluded
            case _ where RetentionPolicy.keys.contains(key): try set(key, to: value, in: &policy)
            default: throw unknown(member, among: Self.retentionKeys)
            }
        }
        if policy.isEmpty {
            throw problem(node, "'retention' keeps nothing: say what to keep, or leave the key out to keep everything")
        }
        return policy
    }

    private func set(_ key: String, to node: YAMLNode, in policy: inout RetentionPolicy) throws {
        guard let text = node.scalar else { throw problem(node, "'\(key)' takes one value") }
        do throws(RetentionError) {
            try policy.set(key, to: text)
        } catch {
            throw problem(node, "'\(key)': \(error)")
        }
    }
}
