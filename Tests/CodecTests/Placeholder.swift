import Testing

@Suite struct CodecPlaceholder {}
