import Codec
import Model

/// The keys of a repository, encrypted under a password. A repository has such a file for each password.
///
/// Source: restic's design document, "Keys, Encryption and MAC".
package struct KeyFile: Sendable {
    /// Restic takes no other sizes.
    static let saltSize = 64
    package static let sizeLimit = 64 << 10

    /// Informational.
    package let created: LocalTime
    package let userName: String
    package let hostName: String
    package let parameters: ScryptParameters
    private let salt: [UInt8]
    /// The JSON of the keys, as a message under those of the password.
    private let message: [UInt8]

    /// Reads a file.
    package init(_ bytes: [UInt8]) throws(FormatError) {
        let json = try readObject(bytes, what: "it")
        guard json["kdf"]?.stringValue == "scrypt" else { throw FormatError("its key derivation is not scrypt") }
        guard let cost = json["N"]?.integerValue, let block = json["r"]?.integerValue,
            let parallelism = json["p"]?.integerValue,
            let parameters = ScryptParameters(
                cost: Int(cost), blockSize: Int(block), parallelism: Int(parallelism))
        else { throw FormatError("its parameters of scrypt are wrong or ask for too much") }
        guard let salt = json["salt"]?.stringValue.flatMap({ Base64.decode($0.utf8) }), salt.count == Self.saltSize
        else { throw FormatError("its salt has not \(Self.saltSize) bytes") }
        guard let message = json["data"]?.stringValue.flatMap({ Base64.decode($0.utf8) }) else {
            throw FormatError("its data is not base64")
        }
        self.parameters = parameters
        self.salt = salt
        self.message = message
        userName = json["username"]?.stringValue ?? ""
        hostName = json["hostname"]?.stringValue ?? ""
        created =
            json["created"]?.stringValue.flatMap { LocalTime(goText: $0) }
            ?? LocalTime(moment: Timestamp(seconds: 0), offset: 0)
    }

    /// Encrypts `keys` under a password of any bytes.
    package init(
        _ keys: MessageKeys, password: Password, _ parameters: ScryptParameters, created: LocalTime, userName: String,
        hostName: String
    ) throws {
        self.created = created
        self.userName = userName
        self.hostName = hostName
        self.parameters = parameters
        salt = SecureRandom.bytes(Self.saltSize)
        var cipher = MessageCipher(try Self.keys(of: password, salt, parameters))
        message = cipher.seal(keys.json)
    }

    /// The file's bytes; its name is their SHA-256.
    package var bytes: [UInt8] {
        var writer = CanonicalWriter(capacity: 1024)
        writer.literal("{\"created\":")
        writer.time(created)
        writer.literal(",\"username\":")
        writer.string(Array(userName.utf8))
        writer.literal(",\"hostname\":")
        writer.string(Array(hostName.utf8))
        writer.literal(",\"kdf\":\"scrypt\",\"N\":")
        writer.unsigned(UInt64(parameters.cost))
        writer.literal(",\"r\":")
        writer.unsigned(UInt64(parameters.blockSize))
        writer.literal(",\"p\":")
        writer.unsigned(UInt64(parameters.parallelism))
        writer.literal(",\"salt\":")
        writer.base64(salt)
        writer.literal(",\"data\":")
        writer.base64(message)
        writer.literal("}")
        return Array(writer.bytes)
    }

    /// The repository's keys; nil if the password is not this file's. Takes about as long as opening a repository does.
    package func open(with password: Password) throws -> MessageKeys? {
        var cipher = MessageCipher(try Self.keys(of: password, salt, parameters))
        let json: [UInt8]
        do throws(MessageError) {
            json = try cipher.open(message)
        } catch {
            return nil
        }
        return try MessageKeys(json: json)
    }

    private static func keys(
        of password: Password, _ salt: [UInt8], _ parameters: ScryptParameters
    ) throws -> MessageKeys {
        let bytes = try Scrypt.derive(password: password.bytes, salt: salt, parameters, count: MessageKeys.size)
        guard let keys = MessageKeys(bytes) else { throw FormatError("the password makes no usable key") }
        return keys
    }
}

/// Reads a small document that is an object.
func readObject(_ bytes: [UInt8], what: String) throws(FormatError) -> JSONValue {
    let json: JSONValue
    do throws(JSONError) {
        json = try JSONReader.read(bytes, limits: JSONLimits(bytes: 64 << 20, depth: 16, values: 500_000))
    } catch {
        throw FormatError("\(what) is not JSON: \(error)")
    }
    guard json.objectValue != nil else { throw FormatError("\(what) is not a JSON object") }
    return json
}

extension MessageKeys {
    init(json bytes: [UInt8]) throws(FormatError) {
        let json = try readObject(bytes, what: "what it holds")
        func part(_ value: JSONValue?) -> [UInt8] { value?.stringValue.flatMap { Base64.decode($0.utf8) } ?? [] }
        guard
            let keys = MessageKeys(
                encryption: part(json["encrypt"]), nonceKey: part(json["mac"]?["k"]),
                authentication: part(json["mac"]?["r"]))
        else { throw FormatError("it holds keys that cannot be used") }
        self = keys
    }

    var json: [UInt8] {
        var writer = CanonicalWriter(capacity: 256)
        writer.literal("{\"mac\":{\"k\":")
        writer.base64(nonceKey)
        writer.literal(",\"r\":")
        writer.base64(authentication)
        writer.literal("},\"encrypt\":")
        writer.base64(encryption)
        writer.literal("}")
        return Array(writer.bytes)
    }
}

extension LocalTime {
    init?(goText text: String) {
        guard let time = Array(text.utf8).withUnsafeBytes({ LocalTime(goText: $0) }) else { return nil }
        self = time
    }
}
