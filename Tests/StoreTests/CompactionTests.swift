// Compaction: what is dead goes, what counts stays, whatever happens meanwhile.

import Glibc
import TestSupport
import Testing
import WarmStart

@Suite struct CompactionTests {
  private let bench = Bench()
  private let files = FaultyFiles()

  /// The segments, under their names; the lock file and the quarantine are none.
  private var segments: [String] { listing(bench.path).filter { SegmentName($0) != nil } }

  private func bytes() -> Int {
    segments.reduce(0) { $0 + contents("\(bench.path)/\($1)").count }
  }

  /// What every key answers to every question.
  private func answers(_ keys: Range<Int>, _ producer: String = "fit 1") throws -> [String] {
    let store = try bench.open(as: producer, .readOnly)
    return try keys.flatMap { number in
      try [
        store.lookup(key(number)), store.lookupBest(key(number)), store.lookupLatest(key(number)),
      ]
      .map { String(describing: $0) }
    }
  }

  /// Sessions that end, each in a segment of its own.
  private func fits(_ count: Int, keys: Int = 3, bytes: Int = 600) throws {
    for number in 0..<count {
      let store = try bench.open(as: number % 3 == 0 ? "fit 2" : "fit 1")
      for step in 0..<4 {
        bench.clock.advance(seconds: 1)
        try store.save(
          noise(number * 10 + step, count: bytes), for: key(number % keys),
          kind: step == 3 ? .final : .checkpoint, objective: Double((number * 7 + step * 3) % 11),
          iteration: UInt64(step), label: "fit \(number)")
      }
      try store.close()
    }
  }

  @Test func everyAnswerStaysAndWhatIsDeadGoes() throws {
    try fits(20)
    let before = (try answers(0..<3), try answers(0..<3, "fit 2"), bytes())
    let report = try bench.open().compact()
    #expect(report.mergedSegments == 20)
    #expect(report.damage.isEmpty && report.quarantined.isEmpty)
    #expect(segments.count == 1)
    #expect(try answers(0..<3) == before.0)
    #expect(try answers(0..<3, "fit 2") == before.1)
    #expect(bytes() < before.2 / 3)
    let store = try bench.open()
    #expect(try store.engine().verify(.payloads).damage.isEmpty)
    #expect(try store.statistics.deadBytes == 0)
    // There is nothing left to do.
    #expect(try store.compact().mergedSegments == 0)
  }

  @Test func aStoreThatIsOpenElsewhereSeesTheSame() throws {
    let other = try bench.open(as: "fit 2")
    try other.save(payload(1), for: key(9), objective: 1)
    try fits(6)
    let before = try other.lookup(key(1))
    #expect(before != nil)
    try bench.open().compact()
    #expect(try other.lookup(key(1)) == before)
    // The log of a living writer is left alone, and goes on.
    try other.save(payload(2), for: key(9), objective: 0)
    #expect(try bench.open().lookup(key(9))?.payload == payload(2))
    try other.close()
    try bench.open().compact()
    #expect(try bench.open().lookup(key(9))?.payload == payload(2))
    #expect(segments.count == 1)
  }

  @Test func whatWasRemovedStaysRemovedAndItsRemovalGoesAtLast() throws {
    try fits(3, keys: 1)
    let store = try bench.open()
    try store.remove(key(0))
    try store.close()
    let other = try bench.open()
    try other.compact()
    #expect(try other.lookup(key(0)) == nil)
    #expect(try other.statistics.records == 0)
    #expect(segments.isEmpty)
    #expect(try bench.open(.readOnly).keys.isEmpty)
  }

  @Test func aRemovalStaysWhileALivingWriterHoldsWhatIsOlder() throws {
    let writer = try bench.open()
    try writer.save(payload(1), for: key(1))
    let other = try bench.open()
    bench.clock.advance(seconds: 1)
    try other.remove(key(1))
    try other.close()
    try bench.open().compact()
    try bench.open().compact()
    #expect(try bench.open().lookup(key(1)) == nil)
    try writer.close()
    #expect(try bench.open().lookup(key(1)) == nil)
    try bench.open().compact()
    #expect(try bench.open(.readOnly).lookup(key(1)) == nil)
    #expect(segments.isEmpty)
  }

  @Test func whatIsNotOnStableStorageMakesNothingDead() throws {
    try fits(2, keys: 1)
    let best = try #require(try bench.open().lookupBest(key(0)))
    let writer = try bench.open { $0.durability = .buffered }
    bench.clock.advance(seconds: 1)
    try writer.save(payload(1), for: key(0), objective: -5)
    try bench.open().compact()
    // The power goes: the log of the writer is lost.
    let log = try #require(segments.first { $0.hasSuffix(".log") })
    #expect(bench.remove(log))
    #expect(try bench.open(.readOnly).lookupBest(key(0)) == best)
  }

  @Test func expiredKeysGoAndDoNotComeBack() throws {
    bench.options.timeToLive = 1000
    try fits(2, keys: 2)
    bench.clock.advance(seconds: 900)
    let store = try bench.open()
    try store.save(payload(1), for: key(1), objective: 99)
    bench.clock.advance(seconds: 200)
    try store.compact()
    #expect(try store.keys == [key(1)])
    #expect(try bench.open { $0.timeToLive = 0 }.keys == [key(1)])
  }

  @Test func aLookupThatIsNotedIsStillNotedAfterwards() throws {
    bench.options.timeToLive = 1000
    try fits(2, keys: 2)
    bench.clock.advance(seconds: 900)
    let store = try bench.open()
    #expect(try store.lookup(key(0)) != nil)
    try store.close()
    try bench.open().compact()
    bench.clock.advance(seconds: 900)
    #expect(try bench.open().keys == [key(0)])
  }

  // MARK: Damage

  @Test func aSegmentWithDamageIsSetAsideAndTheRestCompacted() throws {
    let store = try bench.open()
    try store.save(noise(1, count: 900), for: key(1), objective: 2)
    try store.save(noise(2, count: 900), for: key(1), objective: 1)
    try store.save(noise(3, count: 900), for: key(2), objective: 1)
    try store.close()
    try fits(2, keys: 1)
    let name = segments[0]
    var bytes = contents("\(bench.path)/\(name)")
    let at = try #require(bytes.firstRange(of: noise(2, count: 900))).lowerBound
    bytes[at + 500] ^= 4
    write(bytes, to: "\(bench.path)/\(name)")
    let report = try bench.open().compact()
    #expect(report.quarantined == ["quarantine/\(name)"])
    #expect(report.damage.contains { $0.segment == name && $0.key == key(1) })
    #expect(contents("\(bench.path)/quarantine/\(name)") == bytes)
    let after = try bench.open(.readOnly)
    #expect(try after.lookup(key(1))?.payload == noise(1, count: 900))
    #expect(try after.lookup(key(2))?.payload == noise(3, count: 900))
    #expect(try after.lookup(key(0)) != nil)
    #expect(try after.engine().verify(.payloads).damage.isEmpty)
    #expect(segments.count == 1)
  }

  @Test func aLargeSegmentWithDamageThatLosesNothingIsSetAsideToo() throws {
    bench.options.segmentLimit = 64 << 10
    let store = try bench.open()
    try store.save(noise(1, count: 60_000), for: key(1))
    try store.close()
    let name = segments[0]
    var bytes = contents("\(bench.path)/\(name)")
    bytes[30] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    #expect(try bench.open().compact().quarantined == ["quarantine/\(name)"])
    let after = try bench.open(.readOnly)
    #expect(try after.lookup(key(1))?.payload == noise(1, count: 60_000))
    #expect(try after.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func theLastGoodEntryDoesNotGoForABetterOneThatIsDamaged() throws {
    try fits(1, keys: 1)
    let best = try #require(try bench.open().lookupBest(key(0)))
    // In a segment too large to be merged with the other.
    let store = try bench.open { $0.segmentLimit = 64 << 10 }
    try store.save(noise(5, count: 60_000), for: key(0), kind: .final, objective: -9)
    try store.close()
    let name = try #require(segments.last)
    var bytes = contents("\(bench.path)/\(name)")
    bytes[5000] ^= 1
    write(bytes, to: "\(bench.path)/\(name)")
    try bench.open { $0.segmentLimit = 64 << 10 }.compact()
    #expect(try bench.open(.readOnly).lookupBest(key(0)) == best)
  }

  // MARK: Trouble

  @Test(arguments: [ENOSPC, EIO])
  func whereTheDiskRefusesEverythingThatCountsIsAsBefore(_ errno: Int32) throws {
    try fits(5)
    let (before, names) = (try answers(0..<3), segments)
    let store = try bench.open(host: bench.host(files))
    files.failWrites { _ in errno }
    let error = #expect(throws: StoreError.self) { try store.compact() }
    #expect(error?.description.contains("errno \(errno)") == true)
    files.failWrites(nil)
    // What is wholly dead needs no space to go.
    #expect(segments.count == 4 && Set(segments).isSubset(of: names))
    #expect(try answers(0..<3) == before)
    files.failSyncs { EIO }
    #expect(throws: StoreError.self) { try store.compact() }
    files.failSyncs(nil)
    #expect(segments.count == 4 && Set(segments).isSubset(of: names))
    #expect(try store.compact().mergedSegments == 4)
    #expect(segments.count == 1)
    #expect(try answers(0..<3) == before)
  }

  @Test func whatACompactionLeftIsClearedAwayByTheNext() throws {
    try fits(3)
    let names = segments
    let copies = names.map { ($0, contents("\(bench.path)/\($0)")) }
    try bench.open().compact()
    let before = try answers(0..<3)
    // Killed before it unlinked; and another before its output had a name.
    for (name, bytes) in copies { write(bytes, to: "\(bench.path)/\(name)") }
    write([1, 2, 3], to: "\(bench.path)/\(names[0].dropLast(3))tmp")
    #expect(try answers(0..<3) == before)
    try bench.open().compact()
    #expect(segments.count == 1)
    #expect(try answers(0..<3) == before)
  }

  @Test func aReadOnlyStoreDoesNotCompact() throws {
    try fits(2)
    let before = everything(in: bench.path)
    let store = try bench.open(.readOnly)
    #expect(throws: StoreError.readOnly(path: store.path)) { try store.compact() }
    #expect(everything(in: bench.path) == before)
  }

  @Test func compactingWhileOthersWriteAndReadLosesNothing() throws {
    let path = bench.path
    try fits(4)
    onThreads(4) { number in
      guard let store = try? WarmStartStore.open(at: path) else { return }
      for step in 0..<60 {
        if number == 0 {
          _ = try? store.compact()
        } else {
          let payload = noise(number * 1000 + step, count: 3000)
          let saved = try? store.save(payload, for: key(100 + number), objective: Double(-step))
          let found = try? store.lookup(key(100 + number))
          if saved == nil || found?.payload != payload {
            Issue.record("writer \(number), step \(step): \(String(describing: found))")
          }
          if step % 10 == 9 { _ = try? store.compact() }
        }
      }
      try? store.close()
    }
    let last = try bench.open(host: .system)
    try last.compact()
    for number in 1..<4 {
      #expect(try last.lookup(key(100 + number))?.payload == noise(number * 1000 + 59, count: 3000))
    }
    #expect(try last.engine().verify(.payloads).damage.isEmpty)
    #expect(segments.count == 1)
  }
}
