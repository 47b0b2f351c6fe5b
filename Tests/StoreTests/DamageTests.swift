// A damaged entry never hides a good one.

import TestSupport
import Testing
import WarmStart

@Suite struct DamageTests {
  private let bench = Bench()

  init() {
    // What was looked up before the damage would be given from memory.
    bench.options.cacheMemory = 0
  }

  /// Where a record stands.
  private struct Spot {
    var file: String
    var offset: Int
    var headerLength: Int
    var storedLength: Int
  }

  /// The record with this iteration.
  private func spot(_ iteration: UInt64, of number: Int) throws -> Spot {
    let store = try bench.open(.readOnly)
    let listed = try #require(
      try store.engine().entries(of: key(number)).first { $0.record.header.iteration == iteration })
    return Spot(
      file: "\(bench.path)/\(listed.segment)", offset: Int(listed.record.offset),
      headerLength: listed.record.header.length, storedLength: listed.record.header.storedLength)
  }

  private func flip(_ file: String, at offset: Int) {
    var bytes = contents(file)
    bytes[offset] ^= 0x40
    write(bytes, to: file)
  }

  /// Five entries of one key, the third the best, the fourth the second best, the last the newest.
  private func fill(_ store: WarmStartStore) throws {
    for (number, objective) in [9.0, 5, 1, 3, 7].enumerated() {
      try store.save(
        noise(number, count: 300), for: key(1), objective: objective, iteration: UInt64(number))
      try store.save(payload(number), for: key(2 + number))
    }
  }

  /// Where the segment is when a record of it is damaged.
  enum Place: CaseIterable { case sealed, log }

  /// A store whose records lie in a sealed segment, or in the log of a writer that was killed.
  private func filled(_ place: Place) throws -> WarmStartStore? {
    var store: WarmStartStore? = try bench.open()
    try fill(store!)
    try bench.witness(place == .sealed ? .reopened : .killed, of: &store)
    return store
  }

  @Test(arguments: Place.allCases)
  func aDamagedPayloadOfTheBestGivesTheNextBest(_ place: Place) throws {
    let store = try #require(try filled(place))
    let spot = try spot(2, of: 1)
    for at in [0, 150, 299] {
      flip(spot.file, at: spot.offset + spot.headerLength + at)
      let before = everything(in: bench.path)
      for store in [store, try bench.open(.readOnly)] {
        #expect(try store.lookup(key(1))?.payload == noise(3, count: 300))
        #expect(try store.lookupBest(key(1))?.payload == noise(3, count: 300))
        #expect(try store.lookupLatest(key(1))?.payload == noise(4, count: 300))
        #expect(try store.statistics.damagedRecords > 0)
        #expect(try store.entries(for: key(1)).count == 4)
        #expect(try store.keys.count == 6)
      }
      #expect(everything(in: bench.path) == before)
      flip(spot.file, at: spot.offset + spot.headerLength + at)
    }
  }

  @Test func whatADiskTookBackOfAnothersLogIsItsTornTail() throws {
    // As btrfs does when a sync fails: what was read a moment ago is not there any more.
    var store: WarmStartStore? = try bench.open { $0.durability = .buffered }
    for objective in [3.0, 2, 1] {
      try store!.save(
        noise(Int(objective), count: 300), for: key(1), objective: objective,
        iteration: UInt64(objective))
    }
    try bench.witness(.killed, of: &store)
    let other = try #require(store)
    #expect(try other.lookup(key(1))?.iteration == 1)
    let spot = try spot(1, of: 1)
    let name = try #require(listing(bench.path).first)
    var bytes = contents(spot.file)
    for at in spot.offset..<bytes.count { bytes[at] = 0 }
    write(bytes, to: spot.file)
    #expect(try other.lookup(key(1))?.iteration == 2)
    #expect(try other.statistics.damagedRecords == 0)
    let report = try other.compact()
    // What it was, somebody may look at.
    #expect(report.damage.isEmpty && report.quarantined == ["quarantine/\(name)"])
    #expect(try other.lookup(key(1))?.iteration == 2)
  }

  @Test(arguments: Place.allCases)
  func damageIsMetOneByOneUntilNothingIsLeft(_ place: Place) throws {
    let store = try #require(try filled(place))
    for (iteration, next) in [(2, 3), (3, 1), (1, 4), (4, 0)] as [(UInt64, Int)] {
      let spot = try spot(iteration, of: 1)
      flip(spot.file, at: spot.offset + spot.headerLength + 10)
      #expect(try store.lookup(key(1))?.payload == noise(next, count: 300))
    }
    let spot = try spot(0, of: 1)
    flip(spot.file, at: spot.offset + spot.headerLength + 10)
    #expect(try store.lookup(key(1)) == nil)
    #expect(try store.lookupLatest(key(1)) == nil)
    #expect(try store.statistics.damagedRecords == 5)
    #expect(try store.lookup(key(4))?.payload == payload(2))
  }

  @Test func aDamagedNewestEntryGivesTheOneBefore() throws {
    let store = try #require(try filled(.sealed))
    let spot = try spot(4, of: 1)
    flip(spot.file, at: spot.offset + spot.headerLength)
    #expect(try store.lookupLatest(key(1))?.payload == noise(3, count: 300))
    #expect(try store.lookupBest(key(1))?.payload == noise(2, count: 300))
  }

  @Test func aDamagedFinalGivesTheFinalBefore() throws {
    let store = try bench.open()
    for number in 0..<3 {
      try store.save(
        noise(number, count: 300), for: key(1), kind: .final, objective: Double(number),
        iteration: UInt64(number))
    }
    let spot = try spot(2, of: 1)
    flip(spot.file, at: spot.offset + spot.headerLength)
    let found = try #require(try store.lookup(key(1)))
    #expect(found.payload == noise(1, count: 300) && found.kind == .final)
  }

  @Test func aDamagedHeaderInASealedSegmentLosesNothingAndIsReported() throws {
    let store = try #require(try filled(.sealed))
    let spot = try spot(2, of: 1)
    for at in [0, 5, 20, 45, 70, 100, spot.headerLength - 1] {
      flip(spot.file, at: spot.offset + at)
      let reader = try bench.open(.readOnly)
      #expect(try reader.lookup(key(1))?.payload == noise(2, count: 300), "byte \(at)")
      #expect(try reader.lookup(key(1))?.iteration == 2)
      #expect(try reader.statistics.damagedRecords == 1, "byte \(at)")
      flip(spot.file, at: spot.offset + at)
    }
    #expect(try store.lookup(key(1))?.payload == noise(2, count: 300))
  }

  @Test func aDamagedHeaderInALogGivesTheNextBest() throws {
    _ = try filled(.log)
    let spot = try spot(2, of: 1)
    for at in [0, 5, 20, 45, 70, 100, spot.headerLength - 1] {
      flip(spot.file, at: spot.offset + at)
      let before = everything(in: bench.path)
      let reader = try bench.open(.readOnly)
      #expect(try reader.lookup(key(1))?.payload == noise(3, count: 300), "byte \(at)")
      #expect(try reader.lookupLatest(key(1))?.payload == noise(4, count: 300))
      #expect(try reader.statistics.damagedRecords == 1)
      #expect(try reader.keys.count == 6)
      #expect(everything(in: bench.path) == before)
      flip(spot.file, at: spot.offset + at)
    }
  }

  @Test func aHeaderInALogThatIsDamagedWhileTheStoreIsOpenGivesTheNextBest() throws {
    let store = try #require(try filled(.log))
    #expect(try store.lookup(key(1))?.payload == noise(2, count: 300))
    let spot = try spot(2, of: 1)
    flip(spot.file, at: spot.offset + 70)
    #expect(try store.lookup(key(1))?.payload == noise(3, count: 300))
    #expect(try store.statistics.damagedRecords > 0)
  }

  @Test func aSmallLogWhoseHeadNeverReachedTheDiskIsNoDamage() throws {
    let store = try bench.open()
    try store.save(payload(1), for: key(1))
    try store.close()
    let reader = try bench.open()
    _ = try reader.lookup(key(1))
    try reader.close()
    let marks = try #require(listing(bench.path).first { $0.hasSuffix(".log") })
    // A power cut may take the first sector of a log that was never synced.
    write([UInt8](repeating: 0, count: 512) + [1, 2, 3], to: "\(bench.path)/\(marks)")
    let found = try bench.open()
    #expect(try found.lookup(key(1))?.payload == payload(1))
    #expect(try found.statistics.damagedRecords == 0)
    #expect(try found.engine().verify(.payloads).damage.isEmpty)
  }

  @Test func aDamagedFooterLosesNothingAndIsReported() throws {
    var store = try filled(.sealed)
    store = nil
    let spot = try spot(2, of: 1)
    let size = contents(spot.file).count
    for back in [1, 60, 128, 140, 300, 700] {
      flip(spot.file, at: size - back)
      let reader = try bench.open(.readOnly)
      #expect(try reader.lookup(key(1))?.payload == noise(2, count: 300))
      #expect(try reader.keys.count == 6)
      #expect(try reader.statistics.damagedRecords > 0)
      flip(spot.file, at: size - back)
    }
    #expect(store == nil)
  }

  @Test func aRecordThatBecomesReadableAgainIsFoundByTheNextStore() throws {
    let store = try #require(try filled(.sealed))
    let spot = try spot(2, of: 1)
    flip(spot.file, at: spot.offset + spot.headerLength)
    #expect(try store.lookup(key(1))?.payload == noise(3, count: 300))
    flip(spot.file, at: spot.offset + spot.headerLength)
    #expect(try bench.open().lookup(key(1))?.payload == noise(2, count: 300))
  }

  @Test func aSegmentThatIsGoneCostsOnlyWhatWasInIt() throws {
    let first = try bench.open()
    try first.save(payload(1), for: key(1), objective: 5)
    try first.close()
    let name = try #require(listing(bench.path).first)
    let second = try bench.open()
    try second.save(payload(2), for: key(1), objective: 1)
    try second.save(payload(3), for: key(2))
    try second.close()
    let third = try bench.open()
    try third.save(payload(4), for: key(1), objective: 9)
    #expect(try third.lookup(key(1))?.payload == payload(2))
    for other in listing(bench.path) where other != name && other.hasSuffix(".seg") {
      #expect(bench.remove(other))
    }
    #expect(try third.lookup(key(1))?.payload == payload(1))
    #expect(try third.lookupLatest(key(1))?.payload == payload(4))
    #expect(try third.keys == [key(1)])
  }

  @Test func theStoreGoesOnWritingAfterDamage() throws {
    let store = try #require(try filled(.sealed))
    let spot = try spot(2, of: 1)
    flip(spot.file, at: spot.offset + spot.headerLength)
    #expect(try store.lookup(key(1))?.objective == 3)
    try store.save(payload(50), for: key(1), objective: 2)
    #expect(try store.lookup(key(1))?.payload == payload(50))
    try store.close()
    #expect(try bench.open().lookup(key(1))?.payload == payload(50))
  }
}
