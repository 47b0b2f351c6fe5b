import TestSupport
import Testing
import WarmStart

@Suite struct FsckTests {
  private struct Verdict: Decodable {
    var verdict: String
    var segments: Int
    var records: Int
    var bytes: UInt64
    var tornTails: Int
    var damage: [Place]

    struct Place: Decodable {
      var segment: String
      var offset: UInt64
      var length: UInt64
      var what: String
    }
  }

  private func verdict(_ run: Tool) throws -> Verdict {
    try #require(try run.objects(Verdict.self).last)
  }

  @Test(arguments: [[], ["--quick"]])
  func aCleanStoreIsClean(options: [String]) throws {
    let sample = try SampleStore.filled()
    let run = Tool.run(command: [Tool.path, "fsck", sample.path, "--json"] + options)
    #expect(run.status == 0 && run.errors.isEmpty)
    let found = try verdict(run)
    #expect(found.verdict == "clean" && found.segments == 2 && found.records == 5)
    #expect(found.bytes > 100_000 && found.tornTails == 0 && found.damage.isEmpty)
  }

  /// A segment cannot have more records than these; two are looked at at once.
  @Test func memoryIsBoundedHoweverManyRecordsThereAre() throws {
    let directory = TemporaryDirectory()
    let path = directory.appending("store")
    var options = StoreOptions()
    options.durability = .buffered
    let store = try WarmStartStore.open(at: path, options: options)
    let records = setting("WARMSTART_EVERY", default: 1) > 1 ? 1 << 12 : 1 << 18
    for start in stride(from: 0, to: records, by: 1 << 11) {
      try store.save(
        (start..<start + 1 << 11).map {
          NewEntry([1], for: Fingerprint(words: (UInt64($0) &* 0x9e37_79b9_7f4a_7c15, 0, 0, 1)))
        })
    }
    try store.close()
    let output = directory.appending("out")
    let run = RunningTool(
      [Tool.path, "fsck", path, "--json"], input: "/dev/null", output: output,
      errors: directory.appending("err"))
    let peak = run.peakMemory()
    var ended = run.wait()
    ended.output = contents(output)
    #expect(ended.status == 0)
    #expect(try verdict(ended).records == records)
    print("fsck of \(records) records took \(peak >> 20) MiB")
    if records == 1 << 18 { #expect((10 << 20..<160 << 20).contains(peak)) }
  }

  @Test func aDamagedPayloadIsFoundAndNamed() throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("better".utf8))
    let run = Tool.run("fsck", sample.path, "--json")
    #expect(run.status == 4)
    let found = try verdict(run)
    #expect(found.verdict == "damaged" && found.damage.count == 1)
    let place = try #require(found.damage.first)
    #expect(sample.segments.first?.hasSuffix("/" + place.segment) == true)
    #expect(place.offset == 128 && place.length > 136 && !place.what.isEmpty)
    let text = Tool.run("fsck", sample.path)
    #expect(text.status == 4 && text.lines.count == 2)
    #expect(text.lines[0].contains(SampleStore.first.description))
  }

  @Test func quickDoesNotReadPayloads() throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("better".utf8))
    #expect(Tool.run("fsck", sample.path, "--quick").status == 0)
  }

  @Test(arguments: [[], ["--quick"]])
  func aSegmentCutShortIsDamaged(options: [String]) throws {
    let sample = try SampleStore.filled()
    sample.patch(sample.segments[1]) { $0.removeLast(50) }
    #expect(Tool.run(command: [Tool.path, "fsck", sample.path] + options).status == 4)
  }

  @Test func itsStatusesAreThoseOfFsck() throws {
    let sample = try SampleStore.filled()
    for run in [Tool.run("fsck"), Tool.run("fsck", sample.path, "--fast")] {
      #expect(run.status == 16 && run.complainsOnce)
    }
    for path in ["/nonexistent", Tool.path, "/etc"] {
      let run = Tool.run("fsck", path)
      #expect(run.status == 8 && run.complainsOnce)
    }
    let full = Tool.run(command: [Tool.path, "fsck", sample.path], output: "/dev/full")
    #expect(full.status == 8 && full.complainsOnce)
  }

  private struct Repair: Decodable {
    var verdict: String
    var salvaged: [String]
    var lost: [String]
    var quarantined: [String]
    var damage: [Damage]

    struct Damage: Decodable {
      var key: String?
      var run: String?
      var effect: String
    }
  }

  @Test func aRepairSavesWhatIsIntactAndSetsTheRestAside() throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("better".utf8))
    let damaged = sample.segments[0]
    let bytes = contents(damaged)
    let before = sample.segments.map(contents)
    let forecast = Tool.run("fsck", sample.path, "--repair", "--dry-run", "--json")
    #expect(forecast.status == 4)
    #expect(sample.segments.map(contents) == before)
    let run = Tool.run("fsck", sample.path, "--repair", "--json")
    #expect(run.status == 1 && run.errors.isEmpty)
    let planned = try #require(try forecast.objects(Repair.self).last)
    let done = try #require(try run.objects(Repair.self).last)
    #expect(planned.verdict == "damaged" && done.verdict == "repaired")
    #expect(planned.lost == done.lost && planned.salvaged == done.salvaged)
    #expect(planned.quarantined.map { sample.path + "/" + $0 } == [damaged])
    #expect(done.lost == [SampleStore.first.description])
    #expect(!done.salvaged.isEmpty)
    #expect(done.damage.map(\.effect) == ["entryLost"])
    #expect(done.damage[0].key == SampleStore.first.description && done.damage[0].run != nil)
    #expect(done.quarantined.count == 1)
    #expect(contents(sample.path + "/" + done.quarantined[0]) == bytes)
    #expect(Tool.run("fsck", sample.path).status == 0)
    let again = Tool.run("fsck", sample.path, "--repair")
    #expect(again.status == 0 && again.lines.count == 1)
  }

  @Test func whatIsNotOfTheStoreIsNamedAndLeftAlone() throws {
    let sample = try SampleStore.filled()
    write([1, 2, 3], to: sample.path + "/notes\n.txt")
    let run = Tool.run("fsck", sample.path, "--repair")
    #expect(run.status == 0 && run.lines.count == 2)
    #expect(contents(sample.path + "/notes\n.txt") == [1, 2, 3])
  }

  @Test(arguments: [["--dry-run"], ["--quick", "--dry-run"]])
  func wrongUsageRepairsNothing(options: [String]) throws {
    let sample = try SampleStore.filled()
    sample.damage(payload: Array("better".utf8))
    let run = Tool.run(command: [Tool.path, "fsck", sample.path] + options)
    #expect(run.status == 16 && run.complainsOnce)
    #expect(Tool.run("fsck", sample.path).status == 4)
  }

  @Test func aTornTailIsNoDamage() throws {
    let sample = SampleStore()
    var options = StoreOptions()
    options.durability = .buffered
    let store = try WarmStartStore.open(at: sample.path, options: options)
    try store.save(SampleStore.noise(1000), for: SampleStore.first)
    let copy = SampleStore()
    let log = try #require(copy.copyLog(of: sample))
    copy.patch(log) { bytes in
      let end = 128 + 500
      for index in end..<bytes.count { bytes[index] = 0xa5 }
    }
    let run = Tool.run("fsck", copy.path, "--json")
    #expect(run.status == 0)
    #expect(try verdict(run).tornTails == 1)
    try store.close()
  }
}
