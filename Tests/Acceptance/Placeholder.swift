import Testing

@Suite struct AcceptancePlaceholder {}
