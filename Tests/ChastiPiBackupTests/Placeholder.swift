import Testing

@Suite struct ChastiPiBackupPlaceholder {}
