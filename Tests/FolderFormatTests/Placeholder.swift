import Testing

@Suite struct FolderFormatPlaceholder {}
