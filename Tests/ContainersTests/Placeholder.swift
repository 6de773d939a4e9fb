import Testing

@Suite struct ContainersPlaceholder {}
