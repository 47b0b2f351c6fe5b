// Clocks that jump, and clocks that differ.

import Glibc
import Synchronization
import TestSupport
import Testing
import WarmStart

@Suite struct ClockTests {
  /// The stamps of a key's entries, newest first.
  private func stamps(of number: Int, in store: WarmStartStore) throws -> [UInt64] {
    try store.engine().entries(of: key(number)).map(\.record.header.stamp)
  }

  @Test func aClockThatGoesBackChangesNoOrder() throws {
    let bench = Bench()
    let store = try bench.open()
    let start = bench.clock.now
    for number in 0..<20 {
      bench.clock.set(wall: start - UInt64(number) * 60_000_000_000)
      try store.save(payload(number), for: key(1))
      #expect(try store.lookupLatest(key(1))?.payload == payload(number))
    }
    let stamps = try stamps(of: 1, in: store)
    #expect(stamps == Array(Set(stamps)).sorted(by: >))
    try store.close()
    let reopened = try bench.open()
    let expected = (0..<20).reversed().map { payload($0) }
    #expect(try reopened.entries(for: key(1)).map(\.payload) == expected)
    // The write time stays what the clock said.
    #expect(try reopened.lookupLatest(key(1))?.writtenNanoseconds == bench.clock.now)
  }

  @Test func aClockThatWentForwardAndBackUnseenChangesNoOrder() throws {
    let bench = Bench()
    let idle = try bench.open()
    try idle.save(payload(0), for: key(9))
    let other = try bench.open()
    let start = bench.clock.now
    bench.clock.set(wall: start + 86_400_000_000_000)
    try other.save(payload(1), for: key(1))
    // Ahead of where the idle one saw it, and behind the other's stamp.
    bench.clock.set(wall: start + 3_600_000_000_000)
    try idle.save(payload(2), for: key(1))
    #expect(try bench.open().lookupLatest(key(1))?.payload == payload(2))
  }

  @Test func aSegmentIsSeenThoughTheDirectoryHasATimeThatItHadBefore() throws {
    let bench = Bench(wall: 10_000_000_000)
    let files = FaultyFiles()
    files.setDirectoryTime(10_000_000_000)
    let store = try bench.open(host: bench.host(files))
    bench.clock.advance(seconds: 10)
    #expect(try store.lookup(key(1)) == nil)
    // The clock is set back, and the directory changes in the very tick that it had changed in before.
    bench.clock.set(wall: 10_000_000_000)
    try bench.open().save(payload(1), for: key(1))
    #expect(try store.lookup(key(1))?.payload == payload(1))
  }

  @Test func aClockThatStandsStillChangesNoOrder() throws {
    let bench = Bench()
    let stores = [try bench.open(), try bench.open()]
    for number in 0..<40 {
      try stores[number % 2].save(payload(number), for: key(1))
      for store in stores {
        #expect(try store.lookupLatest(key(1))?.payload == payload(number))
      }
    }
    let stamps = try stamps(of: 1, in: stores[0])
    #expect(stamps.count == 40 && Set(stamps).count == 40)
  }

  @Test func aStoreOpenedAfterTheClockWentBackGoesOnBehindTheNewest() throws {
    let bench = Bench()
    try bench.open().save(payload(1), for: key(1))
    bench.clock.set(wall: bench.clock.now - 3_600_000_000_000)
    let store = try bench.open()
    try store.save(payload(2), for: key(1))
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    #expect(try stamps(of: 1, in: store).count == 2)
    try store.close()
    #expect(try bench.open().lookupLatest(key(1))?.payload == payload(2))
  }

  @Test func theClockGoesBackWhileTwoStoresAreOpen() throws {
    let bench = Bench()
    let first = try bench.open()
    try first.save(payload(0), for: key(9))
    let second = try bench.open()
    // The second one has not seen what the first one saves now.
    bench.clock.advance(seconds: 3600)
    try first.save(payload(1), for: key(1))
    bench.clock.set(wall: bench.clock.now - 1_800_000_000_000)
    try second.save(payload(2), for: key(1))
    #expect(try first.lookupLatest(key(1))?.payload == payload(2))
    #expect(try second.lookupLatest(key(1))?.payload == payload(2))
  }

  /// Who was there when a far stamp was, and who came when all that had it was evicted, agree on what is newest.
  @Test func aStampThatIsGoneFromTheDiskOrdersNothing() throws {
    let bench = Bench()
    let future = try bench.open()
    try future.save(payload(0), for: key(9))
    try future.close()
    let veteran = try bench.open()
    #expect(try veteran.lookup(key(9))?.payload == payload(0))
    bench.clock.set(wall: bench.clock.now - 86_400_000_000_000)
    try veteran.remove(key(9))
    try veteran.close()
    let witness = try bench.open()
    #expect(try witness.lookup(key(9)) == nil)
    try bench.open().compact()
    #expect(!listing(bench.path).contains { SegmentName($0) != nil })
    let newcomer = try bench.open()
    try witness.save(payload(1), for: key(1))
    try newcomer.save(payload(2), for: key(1))
    for store in [witness, newcomer, try bench.open()] {
      #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    }
  }

  /// The one forgets the far stamp, since all that had it is gone; the other had chosen the next one just before.
  @Test func whoForgetsAStampLooksForWhoStillGoesOnFromIt() throws {
    let bench = Bench()
    let future = try bench.open()
    try future.save(payload(0), for: key(9))
    try future.close()
    bench.clock.set(wall: bench.clock.now - Self.year)
    let files = FaultyFiles()
    let slow = try bench.open(host: bench.host(files))
    let quickFiles = FaultyFiles()
    let quick = try bench.open(host: bench.host(quickFiles))
    for store in [slow, quick] { #expect(try store.lookup(key(9)) != nil) }
    bench.clock.advance(seconds: 60)
    let remover = try bench.open()
    try remover.remove(key(9))
    try remover.close()
    bench.clock.advance(seconds: 60)
    let other = try bench.open()
    let hasChosen = Atomic(false)
    files.failWrites { bytes in
      guard isRecord(bytes, .checkpoint), !hasChosen.exchange(true, ordering: .relaxed) else {
        return nil
      }
      do {
        try other.compact()
        try quick.save(payload(1), for: key(1))
      } catch { Issue.record(error) }
      return nil
    }
    try slow.save(payload(2), for: key(1))
    let hasHappened = hasChosen.load(ordering: .relaxed)
    #expect(hasHappened)
    bench.clock.advance(seconds: 60)
    // What it cannot read may be newer than its removal would be.
    quickFiles.failReads { $0.hasSuffix(".log") ? EIO : nil }
    #expect(throws: StoreError.self) { try quick.remove(key(1)) }
    quickFiles.failReads(nil)
    try quick.save(payload(3), for: key(1))
    for store in [slow, quick, try bench.open()] {
      #expect(try store.lookupLatest(key(1))?.payload == payload(3))
    }
  }

  /// What it replaces expired, and was swept out between the look at it and the write.
  @Test func aSaveOverWhatExpiredWithAStampAheadIsNotHidden() throws {
    let bench = Bench()
    bench.options.timeToLive = 3600
    let future = try bench.open()
    try future.save(payload(0), for: key(9))
    try future.close()
    bench.clock.set(wall: bench.clock.now - Self.year)
    let old = try bench.open()
    try old.save(payload(1), for: key(1))
    try old.remove(key(9))
    try old.close()
    bench.clock.advance(seconds: 7200)
    let files = FaultyFiles()
    let store = try bench.open(host: bench.host(files))
    let other = try bench.open()
    let hasLooked = Atomic(false)
    files.failRenames { _ in
      guard !hasLooked.exchange(true, ordering: .relaxed) else { return nil }
      do { try other.compact() } catch { Issue.record(error) }
      return nil
    }
    try store.save(payload(2), for: key(1))
    let hasHappened = hasLooked.load(ordering: .relaxed)
    #expect(hasHappened)
    for store in [store, try bench.open()] {
      #expect(try store.lookupLatest(key(1))?.payload == payload(2))
    }
  }

  @Test func aClockAtTheBeginningOfTimeWorks() throws {
    let bench = Bench(wall: 0)
    let store = try bench.open()
    for number in 0..<5 { try store.save(payload(number), for: key(1), objective: 1) }
    #expect(try store.lookup(key(1))?.payload == payload(4))
    #expect(try store.lookup(key(1))?.writtenNanoseconds == 0)
    try store.remove(key(1))
    #expect(try store.lookup(key(1)) == nil)
    try store.save(payload(5), for: key(1))
    try store.close()
    #expect(try bench.open().lookup(key(1))?.payload == payload(5))
    #expect(try bench.open().entries(for: key(1)).count == 1)
  }

  @Test func aClockThatIsSetToTodayLaterWorks() throws {
    let bench = Bench(wall: 5)
    bench.options.timeToLive = 0
    try bench.open().save(payload(1), for: key(1))
    bench.clock.set(wall: 1_700_000_000_000_000_000)
    let store = try bench.open()
    #expect(try store.lookupLatest(key(1))?.payload == payload(1))
    try store.save(payload(2), for: key(1))
    #expect(try store.lookupLatest(key(1))?.payload == payload(2))
  }

  // MARK: Clocks that are set

  private static let year: UInt64 = 365 * 86_400 * 1_000_000_000

  @Test func aYearBackWhileStoresRunLosesNothing() throws {
    let bench = Bench()
    let stores = try (0..<2).map { _ in try bench.open { $0.segmentLimit = 64 << 10 } }
    let day = bench.clock.now
    for store in stores {
      try store.save(payload(0), for: key(1), objective: 9)
      bench.clock.advance(seconds: 1)
    }
    bench.clock.set(wall: day - Self.year)
    for number in 1..<30 {
      let store = stores[number % 2]
      try store.save(noise(number, count: 9000), for: key(1), objective: Double(-number))
      try store.save(payload(number), for: key(number + 1))
      for other in stores {
        #expect(try other.lookupLatest(key(1))?.payload == noise(number, count: 9000))
        #expect(try other.lookup(key(number + 1))?.payload == payload(number))
      }
      bench.clock.advance(seconds: 60)
    }
    #expect(listing(bench.path).count > 4)
    #expect(Set(listing(bench.path).map { $0.prefix(32) }).count == listing(bench.path).count)
    for store in stores { try store.close() }
    let reopened = try bench.open()
    #expect(try reopened.keys.count == 30)
    let stamps = try stamps(of: 1, in: reopened)
    #expect(stamps.count == 31 && stamps == Array(Set(stamps)).sorted(by: >))
    #expect(try reopened.lookupLatest(key(1))?.payload == noise(29, count: 9000))
  }

  /// Each run a year before the last.
  @Test func aYearBackBetweenRunsLosesNothing() throws {
    let bench = Bench()
    for number in 0..<6 {
      let store = try bench.open()
      try store.save(payload(number), for: key(1), objective: Double(number))
      try store.save(payload(number), for: key(number + 10))
      try store.close()
      bench.clock.set(wall: bench.clock.now - Self.year)
      let next = try bench.open(.readOnly)
      #expect(try next.lookupLatest(key(1))?.payload == payload(number))
      #expect(try next.lookupBest(key(1))?.payload == payload(0))
      // What was written in the future counts as written now.
      #expect(try next.keys.count == number + 2)
      let newestFirst = (0...number).reversed().map { payload($0) }
      #expect(try next.entries(for: key(1)).map(\.payload) == newestFirst)
    }
    // A segment of the last run sorts before those of the first, and loses to none of them.
    #expect(listing(bench.path).count == 6)
  }

  @Test(arguments: [0, 1, 999_999_999, 86_400_000_000_000] as [UInt64])
  func aSystemDateOf1970LosesNothingWhileItLasts(_ wall: UInt64) throws {
    let bench = Bench(wall: wall)
    for run in 0..<3 {
      let store = try bench.open()
      for number in 0..<5 {
        try store.save(payload(run * 5 + number), for: key(1), objective: 1)
        #expect(try store.lookupLatest(key(1))?.payload == payload(run * 5 + number))
      }
      try store.close()
    }
    let store = try bench.open()
    #expect(try store.entries(for: key(1)).count == 15)
    #expect(try store.statistics.damagedRecords == 0)
    #expect(listing(bench.path).count == 3)
    // A month passes, as far as this clock can tell.
    bench.clock.advance(seconds: 29 * 86_400)
    #expect(try store.lookup(key(1))?.payload == payload(14))
  }

  /// A clock that was not set yet says nothing of how old a key is.
  @Test func whatWasSavedIn1970IsNotOldOnceTheClockIsRight() throws {
    let bench = Bench(wall: 5)
    let store = try bench.open()
    try store.save(payload(1), for: key(1), objective: 1)
    try store.save(payload(2), for: key(2))
    bench.clock.set(wall: 1_700_000_000_000_000_000)
    try store.save(payload(3), for: key(1), objective: 9)
    #expect(try store.keys == [key(1), key(2)])
    #expect(try store.lookupBest(key(1))?.payload == payload(1))
    #expect(try store.lookupLatest(key(1))?.payload == payload(3))
    #expect(try store.lookup(key(2))?.payload == payload(2))
  }

  @Test func aClockInTheFarFutureThatIsSetRightHidesNothing() throws {
    let bench = Bench()
    let today = bench.clock.now
    let store = try bench.open()
    try store.save(payload(1), for: key(1), objective: 5)
    bench.clock.set(wall: today + 200 * Self.year)
    // As far as this clock can tell nobody has used the key for two hundred years.
    #expect(try store.lookup(key(1)) == nil)
    try store.save(payload(2), for: key(2), objective: 5)
    try store.close()
    bench.clock.set(wall: today + 60_000_000_000)
    let next = try bench.open()
    #expect(try next.keys == [key(1), key(2)])
    #expect(try next.lookup(key(1))?.payload == payload(1))
    for number in 3..<6 {
      try next.save(payload(number), for: key(2), objective: Double(number))
      try next.save(payload(number), for: key(number))
      #expect(try next.lookupLatest(key(2))?.payload == payload(number))
    }
    #expect(try next.lookupBest(key(2))?.payload == payload(3))
    try next.close()
    #expect(try bench.open().keys == (1..<6).map { key($0) })
    #expect(try bench.open().lookupLatest(key(2))?.payload == payload(5))
  }

  @Test func noTimeOfTheSystemIsOutOfBounds() {
    #expect(Host.nanoseconds(seconds: 0, nanoseconds: 0) == 0)
    #expect(Host.nanoseconds(seconds: 1, nanoseconds: 5) == 1_000_000_005)
    #expect(Host.nanoseconds(seconds: -1, nanoseconds: 999_999_999) == 0)
    #expect(Host.nanoseconds(seconds: .min, nanoseconds: 0) == 0)
    #expect(Host.nanoseconds(seconds: .max, nanoseconds: 999_999_999) == .max)
    #expect(Host.nanoseconds(seconds: 18_446_744_073, nanoseconds: 999_999_999) == .max)
    #expect(Host.nanoseconds(seconds: 18_446_744_073, nanoseconds: 709_551_614) == UInt64.max - 1)
  }

  @Test func atTheEndOfTimeASaveIsRefusedAndReadingGoesOn() throws {
    let bench = Bench(wall: 1 << 63 - 3)
    bench.options.timeToLive = 0
    let store = try bench.open()
    var saved = 0
    #expect(throws: StoreError.stampsExhausted(path: bench.path)) {
      while saved < 10 {
        try store.save(payload(saved), for: key(1))
        saved += 1
      }
    }
    #expect(saved < 10)
    if saved > 0 {
      #expect(try store.lookupLatest(key(1))?.payload == payload(saved - 1))
    }
    bench.clock.set(wall: .max)
    #expect(throws: StoreError.stampsExhausted(path: bench.path)) {
      try store.save(payload(1), for: key(2))
    }
  }
}
