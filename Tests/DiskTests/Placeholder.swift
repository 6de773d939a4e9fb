import Testing

@Suite struct DiskPlaceholder {}
