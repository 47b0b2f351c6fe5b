import Foundation
import TestSupport
import Testing
import WarmStart

@Suite struct StatTests {
  private struct Statistics: Decodable {
    var segments: Int
    var records: Int
    var keys: Int
    var liveBytes: UInt64
    var deadBytes: UInt64
    var totalBytes: UInt64
    var payloadBytes: UInt64
    var storedBytes: UInt64
    var damagedRecords: Int
  }

  @Test func theNumbersAreThoseOfTheStore() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("stat", sample.path, "--json")
    #expect(run.status == 0 && run.errors.isEmpty)
    let found = try #require(try run.objects(Statistics.self).first)
    #expect(found.segments == 2 && found.records == 5 && found.keys == 3)
    #expect(found.payloadBytes == 100_032 && found.storedBytes == 100_032)
    #expect(found.deadBytes == 0 && found.damagedRecords == 0)
    let total = listing(sample.path).reduce(0) { $0 + contents("\(sample.path)/\($1)").count }
    #expect(found.totalBytes == total)
    #expect(found.liveBytes > found.payloadBytes && found.liveBytes < found.totalBytes)
    #expect(
      try names(run.lines[0]) == [
        "segments", "records", "keys", "liveBytes", "deadBytes", "totalBytes", "payloadBytes",
        "storedBytes", "damagedRecords",
      ])
  }

  @Test func everySegmentHasALineOfItsOwn() throws {
    struct Line: Decodable {
      var segment: String
      var records: Int
      var liveBytes: UInt64
      var totalBytes: UInt64
    }
    let sample = try SampleStore.filled()
    let run = Tool.run("stat", sample.path, "--segments", "--json")
    let lines = try run.objects(Line.self)
    #expect(run.status == 0 && Set(lines.map(\.segment)) == Set(listing(sample.path)))
    #expect(
      lines.map(\.records) == [4, 1] && lines.map(\.segment).sorted() == lines.map(\.segment))
    for line in lines {
      #expect(line.totalBytes == contents("\(sample.path)/\(line.segment)").count)
      #expect(line.liveBytes < line.totalBytes)
    }
    let table = Tool.run("stat", sample.path, "--segments")
    #expect(table.status == 0 && table.lines.count == 3)
  }

  @Test func peopleGetALineForEachNumber() throws {
    let sample = try SampleStore.filled()
    let run = Tool.run("stat", sample.path)
    #expect(run.status == 0 && run.lines.count == 12)
    #expect(run.lines.contains { $0.hasPrefix("keys") && $0.hasSuffix(" 3") })
    #expect(run.lines.contains { $0.hasPrefix("compression") && $0.hasSuffix("1.0 to 1") })
  }

  @Test func damageThatIsKnownIsSaid() throws {
    let sample = try SampleStore.filled()
    sample.patch(sample.segments[0]) { $0.removeLast(8) }
    let run = Tool.run("stat", sample.path, "--json")
    #expect(run.status == 65 && run.complainsOnce)
    #expect(try run.objects(Statistics.self)[0].damagedRecords > 0)
  }
}
