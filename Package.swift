// swift-tools-version: 6.2
import PackageDescription

// The floors of the house, lowest first (CONTRIBUTING.md explains them; Scripts/check-floors holds them).
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .treatAllWarnings(as: .error),
]
let strictC: [CSetting] = [
    .treatAllWarnings(as: .error),
    // Counts the calls that change something on disk and lets tests make them fail; never in a release build.
    .define("CHASTIPI_FAULTS", .when(configuration: .debug)),
]

func floor(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: name, dependencies: dependencies, swiftSettings: strict)
}

func tests(_ name: String, _ dependencies: [Target.Dependency], excluding: [String] = []) -> Target {
    .testTarget(name: name, dependencies: dependencies + ["TestKit"], exclude: excluding, swiftSettings: strict)
}

let package = Package(
    name: "chastipi-backup",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "ChastiPiBackup", targets: ["ChastiPiBackup", "Model"]),
        .executable(name: "chastipi-backup", targets: ["chastipi-backup"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2")
    ],
    targets: [
        // Floor 0: values, and the C modules.
        floor("Model"),
        .target(name: "CLinux", cSettings: strictC),
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CDeflate", pkgConfig: "libdeflate", providers: [.apt(["libdeflate-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        // Without pkg-config, which knows the shared library: it is small, and few computers have it.
        .systemLibrary(name: "CYaml", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        // Floor 1.
        floor("Disk", ["Model", "CLinux"]),
        floor("Codec", ["Model", "CCrypto", "CDeflate", "CYaml", "CZlib", "CZstd"]),
        floor("Workers", ["Model"]),
        // Floor 2: what formats share.
        floor("Containers", ["Model", "Disk", "Codec", "Workers"]),
        floor(
            "LiveSQLite",
            ["Model", "Disk", "Codec", "Workers", "Containers", "CSQLite"]),
        floor("Storage", ["Model", "Disk"]),
        // Floor 3: formats.
        floor("FolderFormat", ["Model", "Disk", "Codec", "Workers", "Containers"]),
        floor("ZipFormat", ["Model", "Disk", "Codec", "Workers", "Containers"]),
        floor("ResticFormat", ["Model", "Disk", "Codec", "Workers", "Containers", "Storage"]),
        // Floor 4: the library that people import.
        floor(
            "ChastiPiBackup",
            [
                "Model", "Disk", "Codec", "Workers", "Containers", "LiveSQLite", "Storage", "FolderFormat", "ZipFormat",
                "ResticFormat",
            ]),
        // Floor 6: the program.
        .executableTarget(
            name: "chastipi-backup",
            dependencies: [
                "Model", "ChastiPiBackup", "CLinux",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ],
            swiftSettings: strict),
        // Tests.
        .target(
            name: "TestKit", dependencies: ["Model", "Disk", "Storage", "CLinux"], path: "Tests/TestKit",
            swiftSettings: strict),
        tests("ModelTests", ["Model"], excluding: ["Retention"]),
        tests("DiskTests", ["Model", "Disk", "CLinux"]),
        tests("CodecTests", ["Model", "Codec", "Workers"]),
        tests("WorkersTests", ["Model", "Workers"]),
        tests("ContainersTests", ["Model", "Containers", "Codec", "Disk"]),
        tests("StorageTests", ["Model", "Storage", "Disk", "Workers"]),
        tests("FolderFormatTests", ["Model", "FolderFormat", "Containers", "Codec", "Disk", "Workers"]),
        tests("ZipFormatTests", ["Model", "ZipFormat", "Containers", "Codec", "Disk", "Workers"]),
        tests("ResticFormatTests", ["Model", "ResticFormat", "Storage", "Codec", "Disk", "Workers"]),
        tests("ChastiPiBackupTests", ["Model", "ChastiPiBackup", "Disk", "ResticFormat"]),
        tests("Acceptance", ["Model", "Disk", "Codec", "Storage", "ResticFormat"], excluding: ["Golden", "Zips"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .gnu17
)
