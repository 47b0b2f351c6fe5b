// Stores that earlier versions wrote. They are never changed: each must be readable for ever.

import Crypto
import Foundation
import Glibc
import TestSupport
import Testing
import WarmStart

/// One store of `Fixtures/golden-1`, and what is to be read of it.
private struct GoldenStore {
  let name: String
  let directory = TemporaryDirectory()
  var path: String { directory.appending("store") }

  private static let folder = Bundle.module.resourceURL!
    .appendingPathComponent("Fixtures/golden-1").path

  static var names: [String] {
    listing(folder).filter { $0.hasSuffix(".txt") }.map { String($0.dropLast(4)) }
  }

  /// What was read when the store was written.
  var expected: String { String(decoding: contents("\(Self.folder)/\(name).txt"), as: UTF8.self) }

  /// A copy, so that the tests can do with it what they want.
  init(_ name: String) {
    self.name = name
    copyTree("\(Self.folder)/\(name)", to: path)
  }

  /// Everything that the tool tells of a store.
  static func reading(of path: String) throws -> String {
    // Not the whole object, which may get more members.
    struct Verdict: Decodable {
      var verdict: String
      var segments, records, tornTails: Int
    }
    let found = try Tool.run("fsck", path, "--json").objects(Verdict.self)[0]
    var lines = [
      "fsck \(found.verdict), segments \(found.segments), records \(found.records), torn \(found.tornTails)\n"
    ]
    let listed = Tool.run("ls", path, "--json")
    lines.append("ls " + listed.text)
    struct Line: Decodable { var key: String }
    for key in try listed.objects(Line.self).map(\.key) {
      lines.append("show " + Tool.run("show", path, key, "--json").text)
      for which in ["resume", "best", "latest"] {
        let payload = Tool.run("get", path, key, "--which", which).output
        let digest = SHA256.hash(data: payload).map { String(format: "%02x", $0) }.joined()
        lines.append("get \(key) \(which): \(payload.count) bytes, \(digest)\n")
      }
    }
    lines.append("stat " + Tool.run("stat", path, "--json").text)
    return lines.joined()
  }
}

private func copyTree(_ source: String, to target: String) {
  mkdir(target, 0o700)
  for name in listing(source) {
    var status = stat()
    stat("\(source)/\(name)", &status)
    if status.st_mode & S_IFMT == S_IFDIR {
      copyTree("\(source)/\(name)", to: "\(target)/\(name)")
    } else {
      write(contents("\(source)/\(name)"), to: "\(target)/\(name)")
    }
  }
}

@Suite struct GoldenStoreTests {
  @Test func thereIsOneOfEachKind() {
    #expect(GoldenStore.names == ["compacted", "crashed", "quarantined", "sealed"])
  }

  @Test(arguments: GoldenStore.names) func whatItHoldsIsRead(_ name: String) throws {
    let store = GoldenStore(name)
    #expect(try GoldenStore.reading(of: store.path) == store.expected)
  }

  @Test(arguments: GoldenStore.names) func itCanBeCompactedAndGoOn(_ name: String) throws {
    let store = GoldenStore(name)
    struct Line: Decodable, Equatable {
      var key, run, kind: String
      var label, producer: String?
      var objective: Double?
      var iteration: UInt64?
      var writtenNanos: UInt64
      var payloadBytes: Int
      var slots: [String]
    }
    let before = try Tool.run("ls", store.path, "--json").objects(Line.self)
    #expect(Tool.run("compact", store.path).status == 0)
    #expect(try Tool.run("ls", store.path, "--json").objects(Line.self) == before)
    #expect(Tool.run("fsck", store.path).status == 0)
    let key = String(repeating: "e", count: 64)
    #expect(Tool.run("put", store.path, key, input: Array("new".utf8)).status == 0)
    #expect(Tool.run("get", store.path, key).text == "new")
  }

  /// Writes the stores anew, for another version of the format, into the directory that
  /// `WARMSTART_GOLDEN` names.
  @Test(.enabled(if: getenv("WARMSTART_GOLDEN") != nil)) func write() throws {
    let target = String(cString: getenv("WARMSTART_GOLDEN"))
    for (name, make) in [
      ("sealed", GoldenMaker.sealed), ("crashed", GoldenMaker.crashed),
      ("compacted", GoldenMaker.compacted), ("quarantined", GoldenMaker.quarantined),
    ] {
      let directory = TemporaryDirectory()
      try make(directory.appending("store"))
      unlink(directory.appending("store/compaction.lock"))
      copyTree(directory.appending("store"), to: "\(target)/\(name)")
      let text = try GoldenStore.reading(of: "\(target)/\(name)")
      TestSupport.write(Array(text.utf8), to: "\(target)/\(name).txt")
    }
  }
}

/// Makes stores with everything that the format has.
private enum GoldenMaker {
  private static func open(_ path: String, as producer: String? = "fit 1") throws -> WarmStartStore
  {
    var options = StoreOptions()
    options.producer = producer
    options.compactsByItself = false
    return try WarmStartStore.open(at: path, options: options)
  }

  /// Every codec, empty payloads, blocks that shrink and that do not, texts at their limits.
  private static func fill(_ store: WarmStartStore) throws {
    let numbers = (0..<40_000).map { Double($0) * 0.1 }
    let bytes = numbers.withUnsafeBytes { Array($0) }
    let sparse = [UInt8](repeating: 7, count: 3000) + SampleStore.noise(100)
    try store.save(Array(bytes[..<4000]), for: SampleStore.key("01"), objective: 1, iteration: 1)
    try store.save(
      bytes, for: SampleStore.key("02"), objective: -0.0, iteration: .max,
      label: String(repeating: "é", count: 64), run: RunID(String(repeating: "r", count: 64))!)
    try store.save(sparse, for: SampleStore.key("03"), objective: 1e300)
    try store.save([], for: SampleStore.key("04"), kind: .final)
    try store.save(SampleStore.noise(333), for: SampleStore.key("05"), iteration: 0)
    try store.save(
      [UInt8](repeating: 0, count: 262_144) + SampleStore.noise(3000),
      for: SampleStore.key("06"), objective: -.greatestFiniteMagnitude)
    try store.save(Array("worse".utf8), for: SampleStore.key("01"), objective: 2)
    try store.save(Array("gone".utf8), for: SampleStore.key("07"), objective: 2)
    try store.remove(SampleStore.key("07"))
  }

  static func sealed(_ path: String) throws {
    let first = try open(path)
    try fill(first)
    try first.close()
    let second = try open(path, as: String(repeating: "p", count: 256))
    try second.save(Array("final".utf8), for: SampleStore.key("01"), kind: .final, objective: 9)
    _ = try second.lookup(SampleStore.key("03"))
    try second.close()
  }

  /// The log of a writer that was killed amid a write, with zeros ahead.
  static func crashed(_ path: String) throws {
    let directory = TemporaryDirectory()
    let store = try open(directory.appending("store"))
    try fill(store)
    copyTree(directory.appending("store"), to: path)
    try store.close()
    let log = "\(path)/" + listing(path).first { $0.hasSuffix(".log") }!
    var bytes = contents(log)
    let end = bytes.lastIndex { $0 != 0 }! / 8 * 8 + 8
    bytes.replaceSubrange(end..<end + 300, with: SampleStore.noise(300))
    bytes.replaceSubrange(end..<end + 4, with: Array("WREc".utf8))
    bytes.removeLast(max(0, bytes.count - end - 5000))
    TestSupport.write(bytes, to: log)
  }

  static func compacted(_ path: String) throws {
    try sealed(path)
    let store = try open(path)
    try store.compact()
    try store.close()
  }

  /// A segment with damage was set aside.
  static func quarantined(_ path: String) throws {
    try sealed(path)
    let name = listing(path).sorted().first { $0.hasSuffix(".seg") }!
    var bytes = contents("\(path)/\(name)")
    bytes[128 + 200] ^= 1
    TestSupport.write(bytes, to: "\(path)/\(name)")
    try #require(Tool.run("fsck", path, "--repair").status == 1)
  }
}
