// warmstart compact.

import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct CompactTests {
  private struct Report: Decodable {
    var mergedSegments: Int
    var segmentsAfter: Int
    var bytesBefore: UInt64
    var bytesAfter: UInt64
    var deadBytesAfter: UInt64
    var quarantined: [String]
  }
  private struct Forecast: Decodable {
    var segments: Int
    var gainBytes: UInt64
  }
  private let directory = TemporaryDirectory()
  private var path: String { directory.appending("store") }
  private let key = Fingerprint(bytes: Array(repeating: 7, count: 32))!

  /// Bytes that do not shrink.
  private func noise(_ count: Int) -> [UInt8] {
    var state = UInt32(count)
    return (0..<count).map { _ in
      state = state &* 1_664_525 &+ 1_013_904_223
      return UInt8(truncatingIfNeeded: state >> 24)
    }
  }

  private func fill(_ count: Int) throws {
    for number in 0..<count {
      var options = StoreOptions()
      options.compactsByItself = false
      let store = try WarmStartStore.open(at: path, options: options)
      try store.save(noise(2000 + number), for: key, objective: Double(-number))
      try store.close()
    }
  }

  private var segments: [String] { listing(path).filter { SegmentName($0) != nil } }

  @Test func theSpaceOfWhatIsDeadComesBack() throws {
    try fill(8)
    let names = listing(path)
    let dry = Tool.run("compact", path, "--dry-run", "--json")
    let forecast = try #require(try dry.objects(Forecast.self).first)
    // The one that holds the best entry is as good as it can be.
    #expect(dry.status == 0 && forecast.segments == 7 && forecast.gainBytes > 12_000)
    #expect(listing(path) == names)
    let before = Tool.run("get", path, key.description).output
    let run = Tool.run("compact", path, "--json")
    let report = try #require(try run.objects(Report.self).first)
    #expect(run.status == 0 && run.errors.isEmpty)
    #expect(report.mergedSegments == 7 && report.segmentsAfter == 1)
    #expect(report.bytesAfter < report.bytesBefore / 4 && report.deadBytesAfter == 0)
    #expect(segments.count == 1)
    #expect(Tool.run("get", path, key.description).output == before)
    #expect(Tool.run("fsck", path).status == 0)
  }

  @Test func damageIsNamedAndSetAside() throws {
    try fill(2)
    let name = segments[1]
    var bytes = contents("\(path)/\(name)")
    bytes[800] ^= 1
    write(bytes, to: "\(path)/\(name)")
    let run = Tool.run("compact", path, "--json")
    #expect(run.status == 65 && run.errors.contains(name))
    #expect(try run.objects(Report.self).first?.quarantined == ["quarantine/\(name)"])
    #expect(contents("\(path)/quarantine/\(name)") == bytes)
    #expect(Tool.run("get", path, key.description).output == noise(2000))
    #expect(Tool.run("fsck", path).status == 0)
  }

  @Test(arguments: [
    ["--ttl", "0"], ["--pace", "0"], ["--pace", "x"], ["--budget", "0"],
  ])
  func wrongUsageChangesNothing(options: [String]) throws {
    try fill(2)
    let names = listing(path)
    let run = Tool.run(command: [Tool.path, "compact", path] + options)
    #expect(run.status == 64 && run.complainsOnce)
    #expect(listing(path) == names)
  }

  @Test func whatIsNoStoreStaysAsItIs() throws {
    let run = Tool.run("compact", directory.appending("none"))
    #expect(run.status == 66 && run.complainsOnce)
    #expect(listing(directory.path).isEmpty)
  }
}
