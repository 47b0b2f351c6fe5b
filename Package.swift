// swift-tools-version: 6.2
import PackageDescription

let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
  name: "WarmStart",
  products: [
    .library(name: "WarmStart", targets: ["WarmStart"]),
    .executable(name: "warmstart", targets: ["warmstart"]),
    .executable(name: "co2-gam", targets: ["co2-gam"]),
    .library(name: "FuzzTargets", targets: ["FuzzTargets"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
  ],
  targets: [
    .systemLibrary(
      name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .target(name: "CWarmStart", cSettings: [.define("_GNU_SOURCE")]),
    .target(
      name: "WarmStart",
      dependencies: [
        "CLZ4", "CWarmStart",
        .product(name: "Crypto", package: "swift-crypto"),
        .product(name: "Logging", package: "swift-log"),
      ],
      cSettings: [.define("_GNU_SOURCE")],
      swiftSettings: strict),
    .target(
      name: "WarmStartTool",
      dependencies: [
        "WarmStart",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      path: "Tools/warmstart",
      exclude: ["warmstart.1"],
      swiftSettings: strict),
    .executableTarget(
      name: "warmstart", dependencies: ["WarmStartTool"], path: "Tools/program",
      swiftSettings: strict),
    .target(name: "CO2Model", path: "Examples/co2-gam/Model", swiftSettings: strict),
    .executableTarget(
      name: "co2-gam",
      dependencies: [
        "CO2Model", "WarmStart",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      path: "Examples/co2-gam/App",
      swiftSettings: strict),
    .executableTarget(
      name: "checkpoint-writer",
      dependencies: ["WarmStart"],
      path: "Tests/Programs/checkpoint-writer",
      swiftSettings: strict),
    .executableTarget(
      name: "layers", dependencies: ["WarmStart"], path: "Benchmarks/Layers",
      swiftSettings: strict),
    .target(
      name: "TestSupport", dependencies: ["WarmStart"], path: "Tests/Support",
      swiftSettings: strict),
    .target(
      name: "Simulation", dependencies: ["WarmStart"], path: "Tests/Simulation",
      swiftSettings: strict),
    .executableTarget(
      name: "simulate", dependencies: ["Simulation"], path: "Tests/Programs/simulate",
      swiftSettings: strict),
    .target(
      name: "FuzzTargets",
      dependencies: [
        "WarmStart", "WarmStartTool", "Simulation", "TestSupport",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      path: "Fuzz/Targets", swiftSettings: strict),
    .testTarget(
      name: "SimulationTests", dependencies: ["Simulation", "WarmStart", "TestSupport"],
      swiftSettings: strict),
    .testTarget(
      name: "EngineTests",
      dependencies: ["WarmStart", "CLZ4", "CWarmStart", "TestSupport", "layers"],
      swiftSettings: strict),
    .testTarget(
      name: "StoreTests",
      dependencies: [
        "WarmStart", "CWarmStart", "TestSupport", .product(name: "Logging", package: "swift-log"),
      ],
      resources: [.copy("Vectors")], swiftSettings: strict),
    .testTarget(
      name: "CrashTests", dependencies: ["WarmStart", "TestSupport", "checkpoint-writer"],
      swiftSettings: strict),
    .testTarget(
      name: "ToolTests",
      dependencies: [
        "WarmStart", "TestSupport", "warmstart", .product(name: "Crypto", package: "swift-crypto"),
      ],
      resources: [.copy("Fixtures")], swiftSettings: strict),
    .testTarget(
      name: "FuzzTests", dependencies: ["FuzzTargets", "Simulation", "WarmStart", "TestSupport"],
      swiftSettings: strict),
    .testTarget(name: "CO2Tests", dependencies: ["CO2Model", "co2-gam"], swiftSettings: strict),
  ],
  swiftLanguageModes: [.v6]
)
