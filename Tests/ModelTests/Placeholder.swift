import Testing

@Suite struct ModelPlaceholder {}
