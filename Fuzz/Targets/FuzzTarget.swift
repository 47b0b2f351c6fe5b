// What is fuzzed. Each target takes any bytes and says what is wrong, if anything is; the fuzzer calls it
// with bytes of its own, the tests with those that were kept.
//
// What a target must not do, whatever the bytes: trap, read or write out of bounds, run for long, or take
// much memory. The fuzzer looks after that. What it must say, it says by throwing a `Finding`.

import Glibc

/// Something that a target promises and that does not hold.
public struct Finding: Error, CustomStringConvertible {
  /// What is wrong.
  public let description: String

  init(_ description: String) { self.description = description }
}

/// Throws a finding unless the condition holds.
func require(
  _ condition: Bool, _ what: @autoclosure () -> String
) throws(Finding) {
  if !condition { throw Finding(what()) }
}

/// One thing that is fuzzed. Its name is that of its folders in `Fuzz/Corpus` and `Fuzz/Regressions`.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// Headers of records and segments: what decodes is encoded to the same bytes.
  case header
  /// The footer of a sealed segment.
  case footer
  /// One segment, sealed or a log, in a directory of its own that is read only.
  case segment
  /// A directory of damaged files, which is repaired.
  case directory
  /// A life of a store: what is done, what fails, who runs.
  case operations
  /// An entry of the ancestor.
  case `import`
  /// Payloads, packed and unpacked.
  case codec
  /// Texts: keys, names, what is shown of either.
  case text

  /// Runs it on some bytes.
  public func run(_ bytes: [UInt8]) throws(Finding) {
    switch self {
    case .header: try HeaderTarget.run(bytes)
    case .footer: try FooterTarget.run(bytes)
    case .segment: try SegmentTarget.run(bytes)
    case .directory: try DirectoryTarget.run(bytes)
    case .operations: try OperationsTarget.run(bytes)
    case .import: try ImportTarget.run(bytes)
    case .codec: try CodecTarget.run(bytes)
    case .text: try TextTarget.run(bytes)
    }
  }

  /// The one that the environment names (`WARMSTART_FUZZ_TARGET`): a process of the fuzzer has one.
  public static let ofThisProcess: FuzzTarget = {
    let name = getenv("WARMSTART_FUZZ_TARGET").map { String(cString: $0) } ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
      let names = allCases.map(\.rawValue).joined(separator: ", ")
      complain("WARMSTART_FUZZ_TARGET is to name one of \(names)")
      exit(64)
    }
    return target
  }()

  /// Runs it on bytes of the fuzzer's; a finding ends the process, so that the fuzzer keeps the bytes.
  public func runOrAbort(_ bytes: UnsafeRawBufferPointer) {
    do throws(Finding) { try run(Array(bytes)) } catch {
      complain("finding: \(error)")
      abort()
    }
  }
}

private func complain(_ what: String) {
  let line = Array((what + "\n").utf8)
  _ = line.withUnsafeBytes { write(STDERR_FILENO, $0.baseAddress, $0.count) }
}
