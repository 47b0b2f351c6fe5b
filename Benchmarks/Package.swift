// swift-tools-version: 6.2
import PackageDescription

let package = Package(
  name: "Benchmarks",
  dependencies: [
    .package(name: "WarmStart", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
  ],
  targets: [
    // The bare log compresses as the store does.
    .systemLibrary(name: "CLZ4Bare", path: "Sources/CLZ4", providers: [.apt(["liblz4-dev"])]),
    .executableTarget(
      name: "benchmark",
      dependencies: [
        "CLZ4Bare",
        .product(name: "WarmStart", package: "WarmStart"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ]),
  ],
  swiftLanguageModes: [.v6]
)
