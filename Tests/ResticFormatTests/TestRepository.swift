import Codec
import Model
import ResticFormat
import Storage
import TestKit

/// Repositories of ours for tests.
enum TestRepository {
    static let now = LocalTime(moment: Timestamp(seconds: 1_714_972_089, nanoseconds: 5), offset: 7200)

    static func password(_ text: String = ResticRepository.password) throws -> Password {
        guard let password = Password(text.utf8) else { throw ResticFailure(text: "no password", arguments: []) }
        return password
    }

    /// As weak as they may be: tests need no strong keys.
    static func parameters() throws -> ScryptParameters {
        guard let weak = ScryptParameters(cost: 1024, blockSize: 8, parallelism: 1) else {
            throw ResticFailure(text: "no parameters", arguments: [])
        }
        return weak
    }

    static func create(
        _ backend: any Backend, _ version: RepositoryConfiguration.Version = .two,
        _ polynomial: ChunkerPolynomial? = nil
    ) throws -> Repository {
        var new = NewRepository()
        new.version = version
        new.polynomial = polynomial
        new.parameters = try parameters()
        return try Repository.create(new, at: backend, try password(), now: now)
    }
}
