// The program against a reader in another language, which was written from FORMAT.md alone.

import Foundation
import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct ReaderTests {
  private static let fixtures = Bundle.module.resourceURL!.appendingPathComponent("Fixtures").path
  private static let golden = ["sealed", "crashed", "compacted", "quarantined"]
    .map { "\(fixtures)/golden-1/\($0)" }
  private static let hasPython = access("/usr/bin/python3", X_OK) == 0

  private func compare(_ arguments: [String]) -> Tool {
    Tool.run(
      command: ["/usr/bin/python3", "-B", "\(Self.fixtures)/reader/compare.py", Tool.path]
        + arguments)
  }

  @Test(.enabled(if: hasPython, "needs python3")) func bothReadTheSameOfWholeStores() throws {
    // One with everything, whose first log's writer lives; and one of two stores put together.
    let sample = try SampleStore.filled()
    let writer = try WarmStartStore.open(at: sample.path)
    try writer.save([1, 2, 3], for: SampleStore.third, objective: 1)
    let together = try merged()
    let run = compare(Self.golden + [sample.path, together.path])
    #expect(run.status == 0, "\(run.text.prefix(5000)) \(run.errors)")
    try writer.close()
    #expect(!listing(together.path).isEmpty)
  }

  @Test(.enabled(if: hasPython, "needs python3"), .timeLimit(.minutes(30)))
  func bothReadTheSameOfDamagedStores() {
    let rounds = setting("WARMSTART_READER_ROUNDS", default: 40)
    let seed = setting("WARMSTART_SEED", default: 1)
    let run = compare(["--rounds", "\(rounds)", "--seed", "\(seed)"] + Self.golden)
    #expect(run.status == 0, "\(run.text.prefix(5000)) \(run.errors)")
  }

  /// Two compactions of copies of one store, whose files were put together.
  private func merged() throws -> SampleStore {
    let first = try SampleStore.filled()
    let second = SampleStore()
    copyDirectory(first.path, to: second.path)
    for store in [first, second] {
      guard Tool.run("compact", store.path).status == 0 else {
        throw CocoaError(.featureUnsupported)
      }
    }
    for name in listing(second.path) where name.hasSuffix(".seg") {
      write(contents("\(second.path)/\(name)"), to: "\(first.path)/\(name)")
    }
    return first
  }

  @Test func whatIsThereTwiceIsListedOnce() throws {
    let alone = try SampleStore.filled()
    let together = try merged()
    struct Line: Decodable {
      var key, kind: String
      var slots: [String]
      var producer: String?
    }
    let expected = try Tool.run("ls", alone.path, "--json").objects(Line.self)
    let found = try Tool.run("ls", together.path, "--json").objects(Line.self)
    #expect(found.map(\.key) == expected.map(\.key) && !found.isEmpty)
    #expect(found.map(\.slots) == expected.map(\.slots))
    #expect(found.map(\.kind) == expected.map(\.kind))
    for key in expected.map(\.key) {
      let entries = try Tool.run("show", together.path, key, "--json").objects(Line.self)
      #expect(
        entries.map(\.slots)
          == (try Tool.run("show", alone.path, key, "--json").objects(Line.self)).map(\.slots))
    }
  }

  @Test func aMissingProducerIsNull() throws {
    let sample = SampleStore()
    var options = StoreOptions()
    options.producer = ""
    let store = try WarmStartStore.open(at: sample.path, options: options)
    try store.save([1], for: SampleStore.first)
    try store.close()
    struct Line: Decodable { var producer: String? }
    for verb in ["ls", "show"] {
      let run = Tool.run(
        command: [Tool.path, verb, sample.path] + (verb == "show" ? ["ab01"] : []) + ["--json"])
      #expect(run.text.contains("\"producer\":null"))
      #expect(try run.objects(Line.self).count == 1)
    }
  }
}
