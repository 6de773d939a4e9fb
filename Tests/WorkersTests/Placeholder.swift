import Testing

@Suite struct WorkersPlaceholder {}
