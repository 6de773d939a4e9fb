import CYaml

/// A place in a text, counted from 1, in characters.
package struct YAMLPlace: Sendable, Equatable {
    package let line: Int
    package let column: Int
}

/// What a text cannot be read for, as a clause.
package struct YAMLError: Error {
    package let message: String
    package let place: YAMLPlace
}

/// A value of a YAML document and its place: <https://yaml.org/spec/1.1/>, without what a configuration never needs. An
/// alias, an anchor or a tag is an error: people who forget the quotes around `*.pyc` or `!keep.log` write them without
/// knowing, and a few lines of aliases for each other are a gigabyte. So is a key that is no scalar, or stands twice, and
/// text with a NUL, which no path holds.
package struct YAMLNode: Sendable {
    package struct Member: Sendable {
        package let key: String
        package let keyPlace: YAMLPlace
        package let value: YAMLNode
    }

    package enum Content: Sendable {
        /// As it is written, without quotes and escapes: what it means is for whoever knows what stands there.
        case scalar(String)
        case sequence([YAMLNode])
        case mapping([Member])
    }

    package let content: Content
    package let place: YAMLPlace

    package var scalar: String? {
        if case .scalar(let text) = content { text } else { nil }
    }

    package var sequence: [YAMLNode]? {
        if case .sequence(let nodes) = content { nodes } else { nil }
    }

    package var mapping: [Member]? {
        if case .mapping(let members) = content { members } else { nil }
    }

    /// The one document of `text`; nil where there is none.
    package static func document(in text: String) throws(YAMLError) -> YAMLNode? {
        // libyaml would count the mark of the byte order as a character of the first line.
        let isMarked = text.unicodeScalars.first == "\u{feff}"
        var reader = YAMLReader(Array(text.utf8.dropFirst(isMarked ? 3 : 0)))
        return try reader.document()
    }
}

/// Reads what libyaml's parser reports: <https://pyyaml.org/wiki/LibYAML>.
private struct YAMLReader: ~Copyable {
    private static let depthLimit = 100

    /// The parser refers to itself, and to the text: neither may move.
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeMutableBufferPointer<UInt8>

    init(_ bytes: [UInt8]) {
        text = .allocate(capacity: bytes.count)
        _ = text.initialize(from: bytes)
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
        text.deallocate()
    }

    mutating func document() throws(YAMLError) -> YAMLNode? {
        guard yaml_parser_initialize(parser) == 1 else { throw problem() }
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
        guard case .begin = try next().kind else { throw unexpected() }
        guard case .begin = try next().kind else { return nil }
        let root = try node(try next(), depth: 0)
        guard case .end = try next().kind else { throw unexpected() }
        let after = try next()
        guard case .end = after.kind else {
            throw YAMLError(message: "this is not valid YAML: there is a second document", place: after.place)
        }
        return root
    }

    // MARK: Nodes

    private mutating func node(_ event: Event, depth: Int) throws(YAMLError) -> YAMLNode {
        guard depth < Self.depthLimit else {
            throw YAMLError(message: "this is nested too deeply", place: event.place)
        }
        switch event.kind {
        case .scalar(let text): return YAMLNode(content: .scalar(text), place: event.place)
        case .sequence: return YAMLNode(content: .sequence(try sequence(depth + 1)), place: event.place)
        case .mapping: return YAMLNode(content: .mapping(try mapping(depth + 1)), place: event.place)
        case .begin, .end: throw unexpected()
        }
    }

    private mutating func sequence(_ depth: Int) throws(YAMLError) -> [YAMLNode] {
        var nodes: [YAMLNode] = []
        while true {
            let event = try next()
            if case .end = event.kind { return nodes }
            nodes.append(try node(event, depth: depth))
        }
    }

    private mutating func mapping(_ depth: Int) throws(YAMLError) -> [YAMLNode.Member] {
        var members: [YAMLNode.Member] = []
        // By their bytes: two that look alike can be the paths of two files.
        var seen: Set<[UInt8]> = []
        while true {
            let event = try next()
            if case .end = event.kind { return members }
            guard case .scalar(let key) = event.kind else {
                throw YAMLError(message: "a key must be a word", place: event.place)
            }
            guard seen.insert(Array(key.utf8)).inserted else {
                throw YAMLError(message: "'\(key.prefix(60))' stands twice", place: event.place)
            }
            members.append(
                YAMLNode.Member(key: key, keyPlace: event.place, value: try node(try next(), depth: depth)))
        }
    }

    // MARK: Events

    private struct Event {
        enum Kind {
            /// Of the stream, or of a document.
            case begin
            /// Of whatever began last.
            case end
            case scalar(String), sequence, mapping
        }

        let kind: Kind
        let place: YAMLPlace
    }

    private mutating func next() throws(YAMLError) -> Event {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw problem() }
        defer { yaml_event_delete(&event) }
        let (kind, isPlain) = Self.kind(of: event)
        guard isPlain else { throw notPlain(at: event.start_mark) }
        if case .scalar(let text) = kind, text.utf8.contains(0) {
            throw YAMLError(message: "this has a NUL character", place: YAMLPlace(event.start_mark))
        }
        return Event(kind: kind, place: YAMLPlace(event.start_mark))
    }

    /// And whether it has neither anchor nor tag, and is no alias.
    private static func kind(of event: yaml_event_t) -> (Event.Kind, isPlain: Bool) {
        switch event.type {
        case YAML_STREAM_START_EVENT, YAML_DOCUMENT_START_EVENT: return (.begin, true)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let text = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
            return (.scalar(text), scalar.anchor == nil && scalar.tag == nil)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            return (.sequence, start.anchor == nil && start.tag == nil)
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            return (.mapping, start.anchor == nil && start.tag == nil)
        case YAML_ALIAS_EVENT: return (.end, false)
        default: return (.end, true)
        }
    }

    // MARK: Errors

    private func problem() -> YAMLError {
        let parser = parser.pointee
        switch parser.error {
        case YAML_MEMORY_ERROR: return YAMLError(message: "out of memory", place: YAMLPlace(parser.mark))
        case YAML_READER_ERROR:
            return invalid(parser.problem, at: place(ofByte: parser.problem_offset))
        default:
            let context = parser.context.map { String(cString: $0) } ?? ""
            if ["an alias", "an anchor", "a tag"].contains(where: context.hasSuffix) {
                return notPlain(at: parser.context_mark)
            }
            // Of a tag such as `!a!b`.
            if parser.problem.map({ String(cString: $0) }) == "found undefined tag handle" {
                return notPlain(at: parser.problem_mark)
            }
            return invalid(parser.problem, at: YAMLPlace(parser.problem_mark))
        }
    }

    private func invalid(_ problem: UnsafePointer<CChar>?, at place: YAMLPlace) -> YAMLError {
        let what = problem.map { ": \(String(cString: $0))" } ?? ""
        return YAMLError(message: "this is not valid YAML\(what)", place: place)
    }

    private func unexpected() -> YAMLError {
        invalid(nil, at: YAMLPlace(parser.pointee.mark))
    }

    /// Lines end as they do for libyaml.
    private func place(ofByte offset: Int) -> YAMLPlace {
        var (line, column) = (1, 1)
        var last: Unicode.Scalar = " "
        for scalar in String(decoding: text.prefix(offset), as: UTF8.self).unicodeScalars {
            switch scalar {
            case "\n" where last == "\r": break
            case "\n", "\r", "\u{85}", "\u{2028}", "\u{2029}": (line, column) = (line + 1, 1)
            default: column += 1
            }
            last = scalar
        }
        return YAMLPlace(line: line, column: column)
    }

    private func notPlain(at mark: yaml_mark_t) -> YAMLError {
        let rest = String(decoding: text, as: UTF8.self).unicodeScalars.dropFirst(mark.index)
        let word = rest.prefix { $0.isASCII && !" \t\r\n,]}'".unicodeScalars.contains($0) }
        // How it goes on tells whether that is all of the value.
        let next = rest.dropFirst(word.count).first { $0 != " " && $0 != "\t" } ?? "\n"
        let isAll = "\r\n#:".unicodeScalars.contains(next) && word.count <= 60
        let example = isAll ? ", such as '\(String(word))'" : ""
        return YAMLError(
            message: "a value that begins with '\(rest.first.map(String.init) ?? "")' must stand in quotes\(example)",
            place: YAMLPlace(mark))
    }
}

extension YAMLPlace {
    fileprivate init(_ mark: yaml_mark_t) {
        self.init(line: mark.line + 1, column: mark.column + 1)
    }
}
