// Clocks that jump, and clocks that differ.

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
