// Writes the seeds: `WARMSTART_WRITE_SEEDS=1 swift test --filter SeedTests`. They are committed, so that
// this is needed only when there is something new for them to hold.

import Foundation
import FuzzTargets
import Simulation
import TestSupport
import Testing
import WarmStart

@Suite(.enabled(if: setting("WARMSTART_WRITE_SEEDS", default: 0) > 0)) struct SeedTests {
  @Test func seedsAreWritten() throws {
    let files = try SampleFiles().files.sorted { $0.key < $1.key }
    try write(.header, headers(files))
    try write(.footer, sealed(files).flatMap { [[0] + $0, [Mend.all] + $0] })
    try write(.segment, files.flatMap(segments))
    try write(.directory, directories(files))
    try write(.operations, lives())
    try write(.import, imports())
    try write(.codec, payloads())
    try write(.text, texts())
  }

  /// What a target's first byte says of checksums.
  private enum Mend {
    static let all: UInt8 = 31
    static let rebuilt: UInt8 = 47
  }

  private func write(_ target: FuzzTarget, _ seeds: [[UInt8]]) throws {
    let folder = "\(RegressionTests.folder)/Corpus/\(target.rawValue)"
    try? FileManager.default.removeItem(atPath: folder)
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    for (number, seed) in seeds.enumerated() {
      TestSupport.write(seed, to: "\(folder)/\(number < 10 ? "0" : "")\(number)")
      try target.run(seed)
    }
  }

  // MARK: Segments

  private typealias Files = [(key: String, value: [UInt8])]

  private func sealed(_ files: Files) -> [[UInt8]] {
    files.filter { $0.key.hasSuffix(".seg") }.map(\.value)
  }

  /// Logs are written ahead with zeros.
  private func trimmed(_ bytes: [UInt8]) -> [UInt8] {
    let end = bytes.lastIndex { $0 != 0 } ?? 0
    return Array(bytes[..<min(bytes.count, end + 64)])
  }

  private func segments(_ name: String, _ bytes: [UInt8]) -> [[UInt8]] {
    guard name.hasSuffix(".log") else {
      return [[0] + bytes, [Mend.all] + bytes, [Mend.rebuilt] + bytes, [7] + bytes.dropLast(8)]
    }
    let log = trimmed(bytes)
    return [[64] + log, [64 + 7] + log, [128 + 64 + 7] + log, [64 + 7] + log.dropLast(200)]
  }

  private func headers(_ files: Files) -> [[UInt8]] {
    var seeds: [[UInt8]] = []
    for (_, bytes) in files {
      let salt = bytes[40..<48]
      let start = Int(bytes[56]) * 16 + 128 + (bytes[56] > 0 ? 8 : 0)
      for flags in [1, 3] as [UInt8] {
        seeds.append([flags] + salt + [0, 0, 0, 0] + bytes[..<start])
      }
      let offset = withUnsafeBytes(of: UInt32(start / 8).littleEndian) { Array($0) }
      let length = Int(bytes[start + 8]) + Int(bytes[start + 9]) << 8
      for flags in [0, 2] as [UInt8] {
        seeds.append([flags] + salt + offset + bytes[start..<start + length])
      }
    }
    return seeds
  }

  private func directories(_ files: Files) -> [[UInt8]] {
    func file(_ name: String, _ bytes: [UInt8], _ mending: UInt8) -> [UInt8] {
      let bytes = name.hasSuffix(".log") ? trimmed(bytes) : bytes
      let naming: UInt8 = name.hasSuffix(".log") ? 1 : 0
      return [mending, naming, UInt8(bytes.count & 255), UInt8(bytes.count >> 8)] + bytes
    }
    func flipped(_ bytes: [UInt8], _ offset: Int) -> [UInt8] {
      var bytes = bytes
      bytes[min(offset, bytes.count - 1)] ^= 4
      return bytes
    }
    let whole = files.flatMap { file($0.key, $0.value, 0) }
    var seeds = [whole, files.flatMap { file($0.key, $0.value, Mend.all) }]
    for (number, place) in [50, 130, 200, 300, 500, 900].enumerated() {
      seeds.append(
        files.enumerated().flatMap { index, each in
          index == number % files.count
            ? file(each.key, flipped(each.value, place), 0) : file(each.key, each.value, 0)
        })
    }
    for each in files { seeds.append(file(each.key, flipped(each.value, 70), 0)) }
    seeds.append(whole + [0, 5, 2, 0, 1, 2] + [0, 3, 0, 0] + [0, 4, 0, 0])
    return seeds
  }

  // MARK: The others

  private func lives() -> [[UInt8]] {
    (0..<40).map { seed in
      let random = SeededRandom(seed: UInt64(seed))
      let count = 40 + seed * 12
      return (0..<count).map { _ in UInt8(truncatingIfNeeded: random.next() >> 40) }
    }
  }

  private func imports() -> [[UInt8]] {
    let jsons = [
      #"{"schema_version":1,"producer":"gam 1","written_unix_secs":1700000000,"written_nanos":5,"#
        + #""objective":-12.5,"iteration":7,"kind":"Checkpoint","checksum_hex":"@H","#
        + #""payload_bytes":@N,"accessed":true,"accessed_unix_secs":1700000100,"accessed_nanos":1}"#,
      #"{"schema_version":1,"producer":"gam","kind":"Final","checksum_hex":"@H","payload_bytes":@N}"#,
      #"{"schema_version":1,"objective":null,"iteration":null,"checksum_hex":"@H","#
        + #""payload_bytes":@N}"#,
      #"{"schema_version":1,"producer":"\u00e9\ud83d\ude00","objective":1e308,"checksum_hex":"@H","#
        + #""payload_bytes":@N,"written_unix_secs":4611686017,"iteration":18446744073709551615}"#,
      #"{"schema_version":2}"#, "[]", "{", "\u{feff}{}",
    ]
    return jsons.flatMap { json in
      [[], Array("payload".utf8), [UInt8](repeating: 0, count: 100)].map { payload in
        [UInt8(json.utf8.count & 255), UInt8(json.utf8.count >> 8)] + Array(json.utf8) + payload
      }
    }
  }

  private func payloads() -> [[UInt8]] {
    var seeds: [[UInt8]] = []
    let encoder = PayloadEncoder()
    let numbers = (0..<100).flatMap { number in
      withUnsafeBytes(of: 100 + Double(number) / 7) { Array($0) }
    }
    for payload in [[UInt8](repeating: 7, count: 300), numbers, [1, 2, 3]] {
      var stored = [UInt8](repeating: 0, count: PayloadEncoder.bound(payload.count))
      let encoded = payload.withUnsafeBytes { payload in
        stored.withUnsafeMutableBytes { encoder.encode(payload, to: $0) }
      }
      let length = [UInt8(payload.count & 255), UInt8(payload.count >> 8), 0, 0]
      seeds.append([encoded.codec.rawValue] + length + stored[..<encoded.storedLength])
      seeds.append([128, 3, 0, 0, 0] + payload)
      seeds.append([128, 255, 255, 0, 255] + payload)
    }
    // Several blocks: a table of their lengths, and the first of them as it is.
    seeds.append([1, 0, 0, 8, 248] + [UInt8](repeating: 0, count: 8))
    let table: [UInt8] = [10, 0, 0, 0, 10, 0, 0, 0x80]
    seeds.append([2, 0, 0, 8, 248] + table + [UInt8](repeating: 1, count: 20))
    return seeds
  }

  private func texts() -> [[UInt8]] {
    let digits = String(repeating: "0123456789abcdef", count: 4)
    let texts: [(UInt8, String)] = [
      (0, digits), (0, digits.uppercased()), (1, "00000000"), (1, "ffff"), (1, digits),
      (2, "0123456789abcdef0123456789abcdef.seg"), (2, "0123456789abcdef0123456789abcdef.log"),
      (2, "r12-abc-1"), (3, "a \u{1b}[31m \u{202e} \u{e9}\u{4e2d}\u{1f600}\"\\\n\t"), (3, "text"),
      (4, "12345678"), (4, "\u{1}"), (5, "ls\nstore\n--json"), (5, "put\nstore\nff\n-\n--final"),
      (5, "fsck\nstore\n--repair\n--dry-run"), (5, "import\nx\n--from-gam\ny"), (5, "--help"),
      (5, "compact\nx\n--max-age\n3\n--size-budget\n5"), (5, "get\nstore\nff\n--best"),
      (5, "rm\nstore\nff\nee"), (5, "show\nx\n0\n--json"),
      (5, "--generate-completion-script\nbash"),
    ]
    return texts.map { [$0] + Array($1.utf8) }
  }
}
