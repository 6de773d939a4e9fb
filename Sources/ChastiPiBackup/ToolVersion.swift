/// The version of library and program.
public enum ToolVersion {
    public static let text = "0.1.0"
}
