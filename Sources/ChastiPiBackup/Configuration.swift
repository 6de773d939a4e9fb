import Model
public struct Configuration: Sendable {
    struct Choice { let selection: Selection; let items: [ItemPattern]; let rules: [ExclusionRule]; let tags: [String] }
    var fullReadDays: Int? { nil }
    func choice(for request: CreateRequest, ignoreFile: ExclusionFile?) throws -> Choice {
        var items = try request.items.map { try ItemPattern($0, origin: "--item") }
        if items.isEmpty { items = ItemPattern.defaults }
        var rules = request.usesDefaultExclusions ? Exclusions.defaults.rules : []
        rules += ignoreFile?.rules ?? []
        rules += try request.exclude.map { try ExclusionRule($0, origin: "--exclude") }
        return Choice(
            selection: Selection(items: items, rules: Exclusions(rules)), items: items, rules: rules, tags: request.tags
        )
    }
}
struct ConfigurationFile {
    let places: AppPlaces; let path: String?; func read() throws -> Configuration { Configuration() }
}
