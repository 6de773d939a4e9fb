/// What a run tells while it goes on. Text, JSON lines and log files are different ways to show the same events.
public enum Event: Sendable, Equatable {
    /// A part of the run begins; the totals are 0 where they are not known.
    case started(Phase, entries: Int, bytes: UInt64)
    /// How far the part has come; at most ten times a second.
    case progress(Phase, entries: Int, bytes: UInt64, current: String)
    /// An entry could not be read or kept.
    case skipped(Skipped)
    /// Something the user should know; the run goes on.
    case warning(String)
    /// Something worth telling that needs no action.
    case note(String)

    public enum Phase: String, Sendable, Codable {
        case scanning, saving, comparing, staging, applying, verifying, removing, syncing
    }

    /// Grows when the meaning of an event changes.
    public static let schemaVersion = 1
}
